//! A domain's memory: its size, what backs it, how it is limited.

use virt_error::Result;
use virt_xml::Element;

use crate::schema::text::{NumberSet, OnOff};
use crate::schema::{Body, Out, ParseFlags, Row, kinds};

/// `<memory>`: all the guest may have at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pub kib: u64,
    pub dump_core: Option<OnOff>,
}

impl Body for Memory {
    const ROWS: &'static [Row] =
        &[Row { kind: "attr", name: "dumpCore" }, Row { kind: "attr", name: "unit" }];

    fn read(element: &Element<'_>, _: ParseFlags) -> Result<Self> {
        let dump_core = kinds::read_value(element, "dumpCore")?;
        // Built from nothing where the element is absent.
        let kib = if element.children.is_empty() { 0 } else { kinds::read_kib(element)? };
        Ok(Self { kib, dump_core })
    }

    fn attrs(&self, out: &mut Out) {
        kinds::attr::attrs(&self.dump_core, out, "dumpCore");
        out.w.attr("unit", "KiB");
    }

    fn children(&self, out: &mut Out) {
        out.w.text(&self.kib.to_string());
    }
}

element! {
    /// The ceiling for memory that is plugged in later.
    pub struct MaxMemory {
        slots: u32 = attr_odd("slots"),
        kib: u64 = kib_content(),
    }
}

element! {
    pub struct Memtune {
        hard_limit_kib: Option<u64> = kib_text("hard_limit"),
        soft_limit_kib: Option<u64> = kib_text("soft_limit"),
        min_guarantee_kib: Option<u64> = kib_text("min_guarantee"),
        swap_hard_limit_kib: Option<u64> = kib_text("swap_hard_limit"),
    }
}

element! {
    pub struct MemoryBacking {
        hugepages: Option<Hugepages> = child("hugepages"),
        nosharepages: bool = flag("nosharepages"),
        locked: bool = flag("locked"),
        source: Option<SourceType> = child("source"),
        access: Option<AccessMode> = child("access"),
        allocation: Option<Allocation> = child("allocation"),
        discard: bool = flag("discard"),
    }
}

element! {
    pub struct Hugepages {
        pages: Vec<Page> = list("page"),
    }
}

element! {
    pub struct Page {
        size_kib: u64 = kib_attr("size"),
        nodeset: Option<NumberSet> = cpuset("nodeset"),
    }
}

words! {
    pub enum Source {
        File = "file",
        Anonymous = "anonymous",
        Memfd = "memfd",
    }
}

element! {
    pub struct SourceType {
        kind: Source = attr_req("type"),
    }
}

words! {
    pub enum Access {
        Shared = "shared",
        Private = "private",
    }
}

element! {
    pub struct AccessMode {
        mode: Access = attr_req("mode"),
    }
}

words! {
    pub enum AllocationMode {
        Immediate = "immediate",
        Ondemand = "ondemand",
    }
}

element! {
    pub struct Allocation {
        mode: Option<AllocationMode> = attr("mode"),
        threads: Option<u32> = attr("threads"),
    }
}
