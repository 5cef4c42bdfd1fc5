//! Scheduling and NUMA placement of the guest's threads.

use crate::domain::Placement;
use crate::schema::error;
use crate::schema::text::NumberSet;

element! {
    pub struct Cputune {
        shares: Option<u64> = text_said("shares", |_| {
            error::xml("can't parse cputune shares value")
        }),
        period_us: Option<u64> = text_said("period", |_| {
            error::xml("can't parse cputune period value")
        }),
        quota_us: Option<i64> = text_said("quota", |_| {
            error::xml("can't parse cputune quota value")
        }),
        global_period_us: Option<u64> = text_said("global_period", |_| {
            error::xml("can't parse cputune global period value")
        }),
        global_quota_us: Option<i64> = text_said("global_quota", |_| {
            error::xml("can't parse cputune global quota value")
        }),
        emulator_period_us: Option<u64> = text_said("emulator_period", |_| {
            error::xml("can't parse cputune emulator period value")
        }),
        emulator_quota_us: Option<i64> = text_said("emulator_quota", |_| {
            error::xml("can't parse cputune emulator quota value")
        }),
        iothread_period_us: Option<u64> = text_said("iothread_period", |_| {
            error::xml("can't parse cputune iothread period value")
        }),
        iothread_quota_us: Option<i64> = text_said("iothread_quota", |_| {
            error::xml("can't parse cputune iothread quota value")
        }),
        vcpupins: Vec<VcpuPin> = list("vcpupin"),
        emulatorpin: Option<Pin> = child("emulatorpin"),
        iothreadpins: Vec<IothreadPin> = list("iothreadpin"),
        emulatorsched: Option<Sched> = child("emulatorsched"),
        vcpuscheds: Vec<VcpuSched> = list("vcpusched"),
        iothreadscheds: Vec<IothreadSched> = list("iothreadsched"),
        cachetunes: Vec<Cachetune> = list("cachetune"),
        memorytunes: Vec<Memorytune> = list("memorytune"),
    }
}

element! {
    pub struct Pin {
        cpuset: NumberSet = attr_req("cpuset"),
    }
}

element! {
    pub struct VcpuPin {
        vcpu: u32 = attr_req("vcpu"),
        cpuset: NumberSet = attr_req("cpuset"),
    }
}

element! {
    pub struct IothreadPin {
        iothread: u32 = attr_req("iothread"),
        cpuset: NumberSet = attr_req("cpuset"),
    }
}

words! {
    pub enum Scheduler {
        Other = "other",
        Batch = "batch",
        Idle = "idle",
        Fifo = "fifo",
        Rr = "rr",
    }
}

element! {
    pub struct Sched {
        scheduler: Scheduler = attr_req("scheduler"),
        priority: Option<i32> = attr("priority"),
    }
}

element! {
    pub struct VcpuSched {
        vcpus: NumberSet = attr_req("vcpus"),
        sched: Sched = flat(),
    }
}

element! {
    pub struct IothreadSched {
        iothreads: NumberSet = attr_req("iothreads"),
        sched: Sched = flat(),
    }
}

words! {
    pub enum NumaMode {
        Strict = "strict",
        Preferred = "preferred",
        Interleave = "interleave",
        Restrictive = "restrictive",
    }
}

element! {
    pub struct Numatune {
        memory: Option<NumaMemory> = child("memory"),
        memnodes: Vec<Memnode> = list("memnode"),
    }
}

element! {
    pub struct NumaMemory {
        mode: Option<NumaMode> = attr("mode"),
        nodeset: Option<NumberSet> = nodeset("nodeset"),
        placement: Option<Placement> = attr("placement"),
    }
}

element! {
    pub struct Memnode {
        cellid: u32 = attr_req("cellid"),
        mode: Option<NumaMode> = attr("mode"),
        nodeset: Option<NumberSet> = nodeset("nodeset"),
    }
}

words! {
    pub enum CacheType {
        Both = "both",
        Code = "code",
        Data = "data",
    }
}

element! {
    /// A share of the host's caches for some virtual CPUs.
    pub struct Cachetune {
        vcpus: NumberSet = attr_req("vcpus"),
        /// The host's name of the allocation.
        id: Option<String> = attr("id") when live,
        caches: Vec<CacheShare> = list("cache"),
        monitors: Vec<CacheMonitor> = list("monitor"),
    }
}

element! {
    pub struct CacheShare {
        id: u32 = attr_req("id"),
        level: u32 = attr_req("level"),
        kind: CacheType = attr_req("type"),
        size_bytes: u64 = pretty_size("size"),
    }
}

element! {
    pub struct CacheMonitor {
        level: u32 = attr_req("level"),
        vcpus: NumberSet = attr_req("vcpus"),
    }
}

element! {
    /// A share of the host's memory bandwidth for some virtual CPUs.
    pub struct Memorytune {
        vcpus: NumberSet = attr_req("vcpus"),
        id: Option<String> = attr("id") when live,
        nodes: Vec<Bandwidth> = list("node"),
        monitors: Vec<MemoryMonitor> = list("monitor"),
    }
}

element! {
    pub struct Bandwidth {
        id: u32 = attr_req("id"),
        bandwidth: u32 = attr_req("bandwidth"),
    }
}

element! {
    pub struct MemoryMonitor {
        vcpus: NumberSet = attr_req("vcpus"),
    }
}

element! {
    pub struct Blkiotune {
        weight: Option<u32> = text_odd("weight"),
        devices: Vec<BlkioDevice> = blkio_devices("device"),
    }
}

element! {
    pub struct BlkioDevice {
        path: Option<String> = text("path"),
        weight: Option<u32> = text_odd("weight"),
        read_iops_sec: Option<u32> = text_odd("read_iops_sec"),
        write_iops_sec: Option<u32> = text_odd("write_iops_sec"),
        read_bytes_sec: Option<u64> = text_odd("read_bytes_sec"),
        write_bytes_sec: Option<u64> = text_odd("write_bytes_sec"),
    }
}

element! {
    /// The control group that holds the guest.
    pub struct Resource {
        partition: Option<String> = text("partition"),
        fibrechannel: Option<AppId> = child("fibrechannel"),
    }
}

element! {
    pub struct AppId {
        appid: String = attr_req("appid"),
    }
}
