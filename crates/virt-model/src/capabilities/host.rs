//! The capabilities document: the host's processor and memory, and the kinds of guests it can run.

use virt_error::{Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::domain::cpu::MaxPhysAddr;
use crate::schema::text::YesNo;
use crate::schema::{Body, Document, Out, ParseFlags, Row, kinds};

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capabilities {
    pub host: Option<Host>,
    pub guests: Vec<Guest>,
}

impl Body for Capabilities {
    const ROWS: &'static [Row] =
        &[Row { kind: "child", name: "host" }, Row { kind: "list", name: "guest" }];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let host = kinds::child::read(element, flags, "host")?;
        Ok(Self { host, guests: kinds::list::read(element, flags, "guest")? })
    }

    fn attrs(&self, _: &mut Out) {}

    /// Compat: an empty line stands before each part and after the last.
    fn children(&self, out: &mut Out) {
        out.w.raw("\n");
        if let Some(host) = &self.host {
            out.element("host", host);
            out.w.raw("\n");
        }
        for guest in &self.guests {
            out.element("guest", guest);
            out.w.raw("\n");
        }
    }
}

element! {
    pub struct Host {
        uuid: Option<Uuid> = text("uuid"),
        cpu: Option<HostCpu> = child("cpu"),
        power_management: Option<Element<'static>> = tree("power_management"),
        iommu: Option<Iommu> = child("iommu"),
        migration_features: Option<Element<'static>> = tree("migration_features"),
        netprefix: Option<String> = text("netprefix"),
        topology: Option<Element<'static>> = tree("topology"),
        cache: Option<Element<'static>> = tree("cache"),
        memory_bandwidth: Option<Element<'static>> = tree("memory_bandwidth"),
        security_models: Vec<SecurityModel> = list("secmodel"),
    }
}

element! {
    pub struct HostCpu {
        arch: Option<String> = text("arch"),
        model: Option<String> = text("model"),
        vendor: Option<String> = text("vendor"),
        microcode: Option<Microcode> = child("microcode"),
        signature: Option<Element<'static>> = tree("signature"),
        counters: Vec<Element<'static>> = trees("counter"),
        topology: Option<Element<'static>> = tree("topology"),
        maxphysaddr: Option<MaxPhysAddr> = child("maxphysaddr"),
        named_features: Option<Element<'static>> = tree("features"),
        features: Vec<HostFeature> = list("feature"),
        pages: Vec<PageSize> = list("pages"),
    }
}

/// A host's processor by itself.
impl Document for HostCpu {
    const ROOT: &'static str = "cpu";
    const ORIGIN: Origin = Origin::Cpu;
}

element! {
    pub struct Microcode {
        version: u32 = attr_req("version"),
    }
}

element! {
    pub struct HostFeature {
        name: String = attr_req("name"),
    }
}

element! {
    pub struct PageSize {
        unit: Option<String> = attr("unit"),
        size: u64 = attr_req("size"),
    }
}

element! {
    pub struct Iommu {
        support: YesNo = attr_req("support"),
    }
}

element! {
    pub struct SecurityModel {
        model: Option<String> = text("model"),
        doi: Option<Element<'static>> = tree("doi"),
        base_labels: Vec<BaseLabel> = list("baselabel"),
    }
}

element! {
    pub struct BaseLabel {
        kind: String = attr_req("type"),
        label: Option<String> = content(),
    }
}

element! {
    /// One kind of guests.
    pub struct Guest {
        os_type: Option<String> = text("os_type"),
        arch: Option<GuestArch> = child("arch"),
        features: Option<GuestFeatures> = child("features"),
    }
}

element! {
    pub struct GuestArch {
        name: String = attr_req("name"),
        wordsize: Option<u32> = text("wordsize"),
        emulator: Option<String> = text("emulator"),
        loader: Option<String> = text("loader"),
        machines: Vec<Machine> = list("machine"),
        domains: Vec<GuestDomain> = list("domain"),
    }
}

element! {
    pub struct Machine {
        /// What an alias stands for.
        canonical: Option<String> = attr("canonical"),
        max_cpus: Option<u32> = attr("maxCpus"),
        deprecated: Option<YesNo> = attr("deprecated"),
        name: Option<String> = content(),
    }
}

element! {
    /// A type of domains; it may have an emulator and machines of its own.
    pub struct GuestDomain {
        kind: String = attr_req("type"),
        emulator: Option<String> = text("emulator"),
        loader: Option<String> = text("loader"),
        machines: Vec<Machine> = list("machine"),
    }
}

/// What guests of a kind can have, by name and in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuestFeatures(pub Vec<(String, GuestFeature)>);

element! {
    pub struct GuestFeature {
        default: Option<String> = attr("default"),
        toggle: Option<YesNo> = attr("toggle"),
    }
}

impl Body for GuestFeatures {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let read = |e: &Element<'_>| Ok((e.name.to_string(), GuestFeature::read(e, flags)?));
        element.elements().map(read).collect::<Result<_>>().map(Self)
    }

    fn attrs(&self, _: &mut Out) {}

    fn children(&self, out: &mut Out) {
        for (name, feature) in &self.0 {
            out.element(name, feature);
        }
    }
}

impl Document for Capabilities {
    const ROOT: &'static str = "capabilities";
    const ORIGIN: Origin = Origin::Capabilities;
}
