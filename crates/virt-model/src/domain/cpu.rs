//! The guest's CPU: model, features, topology, NUMA cells.

use virt_error::{Code, Error, Origin};

use crate::schema::Document;
use crate::schema::text::{NumberSet, OnOff, YesNo};

words! {
    pub enum Mode {
        Custom = "custom",
        HostModel = "host-model",
        HostPassthrough = "host-passthrough",
        Maximum = "maximum",
    }
}

words! {
    pub enum Match {
        Minimum = "minimum",
        Exact = "exact",
        Strict = "strict",
    }
}

words! {
    pub enum Check {
        None = "none",
        Partial = "partial",
        Full = "full",
    }
}

element! {
    pub struct Cpu {
        mode: Option<Mode> = attr_said("mode", |word| {
            let what = format!("Invalid mode attribute '{word}'");
            Error::new(Code::ConfigUnsupported, Origin::Cpu, what)
        }),
        match_: Option<Match> = attr("match"),
        check: Option<Check> = attr("check"),
        migratable: Option<OnOff> = attr("migratable"),
        deprecated_features: Option<OnOff> = attr("deprecated_features"),
        model: Option<Model> = child_some("model"),
        vendor: Option<String> = text("vendor"),
        topology: Option<Topology> = child("topology"),
        cache: Option<Cache> = child("cache"),
        maxphysaddr: Option<MaxPhysAddr> = child("maxphysaddr"),
        features: Vec<Feature> = list("feature"),
        numa: Option<Numa> = child("numa"),
    }
}

/// A guest's processor by itself, as `virsh cpu-compare` takes it.
impl Document for Cpu {
    const ROOT: &'static str = "cpu";
    const ORIGIN: Origin = Origin::Cpu;
}

words! {
    pub enum Fallback {
        Allow = "allow",
        Forbid = "forbid",
    }
}

element! {
    pub struct Model {
        /// Said only of a model that is named.
        fallback: Option<Fallback> = model_fallback("fallback"),
        vendor_id: Option<String> = attr("vendor_id"),
        name: Option<String> = content(),
    }
}

element! {
    pub struct Topology {
        sockets: u32 = attr_positive("sockets"),
        dies: u32 = attr_or_one("dies"),
        clusters: u32 = attr_or_one("clusters"),
        cores: u32 = attr_positive("cores"),
        threads: u32 = attr_positive("threads"),
    }
}

words! {
    pub enum CacheMode {
        Emulate = "emulate",
        Passthrough = "passthrough",
        Disable = "disable",
    }
}

element! {
    pub struct Cache {
        level: Option<u32> = attr("level"),
        mode: CacheMode = attr_req("mode"),
    }
}

words! {
    pub enum MaxPhysAddrMode {
        Emulate = "emulate",
        Passthrough = "passthrough",
    }
}

element! {
    pub struct MaxPhysAddr {
        mode: MaxPhysAddrMode = attr_req("mode"),
        bits: Option<u32> = attr("bits"),
        limit: Option<u32> = attr("limit"),
    }
}

words! {
    pub enum Policy {
        Force = "force",
        Require = "require",
        Optional = "optional",
        Disable = "disable",
        Forbid = "forbid",
    }
}

element! {
    pub struct Feature {
        policy: Option<Policy> = attr_policy("policy"),
        name: String = attr_said_req("name", |_| {
            Error::new(Code::XmlError, Origin::Cpu, "Invalid CPU feature name")
        }),
    }
}

element! {
    pub struct Numa {
        cells: Vec<Cell> = list("cell"),
        interconnects: Option<Interconnects> = child_some("interconnects"),
    }
}

element! {
    pub struct Cell {
        id: Option<u32> = attr("id"),
        cpus: Option<NumberSet> = cpuset("cpus"),
        memory_kib: u64 = kib_attr("memory"),
        mem_access: Option<super::memory::Access> = attr("memAccess"),
        discard: Option<YesNo> = attr("discard"),
        distances: Vec<Distance> = wrapped("distances", "sibling"),
        caches: Vec<CellCache> = list("cache"),
    }
}

element! {
    pub struct Distance {
        id: u32 = attr_req("id"),
        value: u32 = attr_req("value"),
    }
}

element! {
    pub struct CellCache {
        level: u32 = attr_req("level"),
        associativity: String = attr_req("associativity"),
        policy: String = attr_req("policy"),
        size: Option<CellCacheSize> = child("size"),
        line: Option<CellCacheSize> = child("line"),
    }
}

element! {
    pub struct CellCacheSize {
        value: u32 = attr_req("value"),
        unit: String = attr_req("unit"),
    }
}

element! {
    /// How far the cells are from each other.
    pub struct Interconnects {
        latencies: Vec<Latency> = list("latency"),
        bandwidths: Vec<Bandwidth> = list("bandwidth"),
    }
}

element! {
    pub struct Latency {
        initiator: u32 = attr_req("initiator"),
        target: u32 = attr_req("target"),
        cache: Option<u32> = attr("cache"),
        kind: String = attr_req("type"),
        value: u64 = attr_req("value"),
    }
}

element! {
    pub struct Bandwidth {
        initiator: u32 = attr_req("initiator"),
        target: u32 = attr_req("target"),
        cache: Option<u32> = attr("cache"),
        kind: String = attr_req("type"),
        value_kib: u64 = kib_attr("value"),
    }
}
