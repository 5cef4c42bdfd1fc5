//! The domain document: its top, and how it is read and printed.

mod abi;
pub mod address;
pub mod backing;
pub mod boot;
pub mod chardev;
pub mod clock;
pub mod controller;
pub mod cpu;
mod defaults;
pub mod device;
pub mod devices;
pub mod disk;
mod displays;
pub mod features;
pub mod graphics;
pub mod hostdev;
mod implicit;
mod inputs;
pub mod interface;
mod load;
pub mod memory;
pub mod misc;
mod numa;
pub mod rules;
mod scheduling;
mod seclabel;
pub mod small;
pub mod source;
pub mod sysinfo;
pub mod tune;
pub(crate) mod unsaid;
mod validate;
mod validate_disks;
mod validate_hardware;

use virt_error::Result;
use virt_types::Uuid;
use virt_xml::Element;

pub use address::{Address, DeviceInfo};
pub use boot::Os;
pub use clock::Clock;
pub use cpu::Cpu;
pub use defaults::disk_index;
pub use device::Device;
pub use devices::Devices;
pub use disk::Disk;
pub use features::Features;
pub use interface::Interface;
pub use memory::MemoryBacking;
pub use rules::{DomainRules, DriverFeatures};
pub use seclabel::{Seclabel, SeclabelType};
pub use sysinfo::Sysinfo;

use crate::schema::{Body, Out, ParseFlags, PrintFlags, error, explain, kinds};

words! {
    /// The hypervisor a domain is for.
    pub enum VirtType {
        None = "none",
        Qemu = "qemu",
        Kqemu = "kqemu",
        Kvm = "kvm",
        Xen = "xen",
        Lxc = "lxc",
        Uml = "uml",
        OpenVz = "openvz",
        Test = "test",
        VMware = "vmware",
        HyperV = "hyperv",
        VBox = "vbox",
        Phyp = "phyp",
        Parallels = "parallels",
        Bhyve = "bhyve",
        Vz = "vz",
        Hvf = "hvf",
        Ldoms = "ldoms",
        Kvmtool = "kvmtool",
    }
}

words! {
    /// What to do when the guest powers off, reboots or crashes.
    pub enum LifecycleAction {
        Destroy = "destroy",
        Restart = "restart",
        RenameRestart = "rename-restart",
        Preserve = "preserve",
        CoredumpDestroy = "coredump-destroy",
        CoredumpRestart = "coredump-restart",
    }
}

words! {
    pub enum LockFailure {
        Poweroff = "poweroff",
        Restart = "restart",
        Pause = "pause",
        Ignore = "ignore",
    }
}

element! {
    /// A domain.
    pub struct Domain {
        virt_type: VirtType = virt_type("type"),
        /// Absent, or -1, for a domain that does not run.
        id: Option<i32> = domain_id("id") when live,
        namespaces: Vec<Namespace> = namespaces(),
        name: String = name_of("name", virt_error::Origin::Domain),
        uuid: Option<Uuid> = uuid_of("uuid", virt_error::Origin::Domain),
        hwuuid: Option<Uuid> = text("hwuuid"),
        genid: Option<Genid> = child("genid"),
        title: Option<String> = text("title"),
        description: Option<String> = text("description"),
        /// Kept as it came.
        metadata: Option<Element<'static>> = metadata("metadata"),
        max_memory: Option<memory::MaxMemory> = child("maxMemory"),
        memory: memory::Memory = child_always("memory"),
        /// What the balloon leaves the guest; all of it where absent.
        current_memory_kib: Option<u64> = kib_text("currentMemory"),
        blkiotune: Option<tune::Blkiotune> = child_some("blkiotune"),
        memtune: Option<memory::Memtune> = child_some("memtune"),
        memory_backing: Option<MemoryBacking> = child_some("memoryBacking"),
        vcpu: Vcpu = child_always("vcpu"),
        vcpus: Vec<VcpuState> = wrapped("vcpus", "vcpu"),
        iothreads: Option<u32> = text_said("iothreads", |text| {
            error::xml(format!("invalid iothreads count '{text}'"))
        }),
        iothread_ids: Vec<IothreadId> = wrapped("iothreadids", "iothread"),
        default_iothread: Option<DefaultIothread> = child_some("defaultiothread"),
        throttle_groups: Vec<disk::Iotune> = throttle_groups("throttlegroups", "throttlegroup"),
        cputune: tune::Cputune = child_def("cputune"),
        numatune: tune::Numatune = child_def("numatune"),
        resource: Option<tune::Resource> = child_some("resource"),
        sysinfo: Vec<Sysinfo> = guest_sysinfo("sysinfo"),
        bootloader: Option<String> = text("bootloader"),
        bootloader_args: Option<String> = text("bootloader_args"),
        os: Os = child_always("os"),
        idmap: Option<IdMap> = child_some("idmap"),
        features: Features = features("features"),
        cpu: Option<Cpu> = child_some("cpu"),
        clock: Clock = child_always("clock"),
        on_poweroff: Option<LifecycleAction> = lifecycle("on_poweroff"),
        on_reboot: Option<LifecycleAction> = lifecycle("on_reboot"),
        on_crash: Option<LifecycleAction> = lifecycle("on_crash"),
        on_lockfailure: Option<LockFailure> = text("on_lockfailure"),
        pm: Option<Pm> = child_some("pm"),
        perf: Vec<PerfEvent> = wrapped("perf", "event"),
        devices: Devices = child_long("devices"),
        seclabels: Vec<Seclabel> = seclabels("seclabel"),
        keywrap: Vec<Cipher> = wrapped("keywrap", "cipher"),
        launch_security: Option<LaunchSecurity> = child("launchSecurity"),
        /// Elements of the hypervisors' own namespaces, as `qemu:commandline`.
        foreign: Vec<Element<'static>> = foreign(),
    }
}

/// A namespace declared on the root, as `xmlns:qemu='...'`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    pub prefix: String,
    pub uri: String,
}

element! {
    /// An identifier that changes when the guest goes back in time; random where it has no text.
    pub struct Genid {
        uuid: Option<Uuid> = content(),
    }
}

words! {
    pub enum Placement {
        Static = "static",
        Auto = "auto",
    }
}

element! {
    /// The number of virtual CPUs.
    pub struct Vcpu {
        /// Automatic also where memory is placed so.
        placement: Placement = attr_def("placement"),
        cpuset: Option<crate::schema::text::NumberSet> = cpuset("cpuset"),
        /// How many are there at start, where fewer than all.
        current: Option<u32> = vcpu_current("current"),
        count: u32 = vcpu_count(),
    }
}

element! {
    pub struct VcpuState {
        id: u32 = attr_req("id"),
        enabled: crate::schema::text::YesNo = attr_req("enabled"),
        hotpluggable: Option<crate::schema::text::YesNo> = attr("hotpluggable"),
        order: Option<u32> = attr("order"),
    }
}

element! {
    pub struct IothreadId {
        id: u32 = attr_req("id"),
        thread_pool_min: Option<i32> = attr("thread_pool_min"),
        thread_pool_max: Option<i32> = attr("thread_pool_max"),
        poll: Option<IothreadPoll> = child_some("poll"),
    }
}

element! {
    pub struct IothreadPoll {
        max_ns: Option<u64> = attr("max"),
        grow: Option<u64> = attr("grow"),
        shrink: Option<u64> = attr("shrink"),
    }
}

element! {
    pub struct DefaultIothread {
        thread_pool_min: Option<i32> = attr("thread_pool_min"),
        thread_pool_max: Option<i32> = attr("thread_pool_max"),
    }
}

element! {
    /// Which sleep states the guest sees.
    pub struct Pm {
        suspend_to_mem: Option<misc::Enabled> = sleep_state("suspend-to-mem"),
        suspend_to_disk: Option<misc::Enabled> = sleep_state("suspend-to-disk"),
    }
}

element! {
    /// How ids inside a container map to the host's.
    pub struct IdMap {
        uids: Vec<IdRange> = list("uid"),
        gids: Vec<IdRange> = list("gid"),
    }
}

element! {
    pub struct IdRange {
        start: u32 = attr_req("start"),
        target: u32 = attr_req("target"),
        count: u32 = attr_req("count"),
    }
}

words! {
    /// What the host's counters may count, in libvirt's order.
    pub enum PerfEventName {
        Cmt = "cmt",
        Mbmt = "mbmt",
        Mbml = "mbml",
        CpuCycles = "cpu_cycles",
        Instructions = "instructions",
        CacheReferences = "cache_references",
        CacheMisses = "cache_misses",
        BranchInstructions = "branch_instructions",
        BranchMisses = "branch_misses",
        BusCycles = "bus_cycles",
        StalledCyclesFrontend = "stalled_cycles_frontend",
        StalledCyclesBackend = "stalled_cycles_backend",
        RefCpuCycles = "ref_cpu_cycles",
        CpuClock = "cpu_clock",
        TaskClock = "task_clock",
        PageFaults = "page_faults",
        ContextSwitches = "context_switches",
        CpuMigrations = "cpu_migrations",
        PageFaultsMin = "page_faults_min",
        PageFaultsMaj = "page_faults_maj",
        AlignmentFaults = "alignment_faults",
        EmulationFaults = "emulation_faults",
    }
}

element! {
    pub struct PerfEvent {
        name: PerfEventName = attr_req("name"),
        enabled: crate::schema::text::YesNo = attr_req("enabled"),
    }
}

words! {
    pub enum CipherName {
        Aes = "aes",
        Dea = "dea",
    }
}

element! {
    pub struct Cipher {
        name: CipherName = attr_req("name"),
        state: crate::schema::text::OnOff = attr_req("state"),
    }
}

element! {
    /// Encrypted memory.
    pub struct LaunchSecurity {
        kind: String = attr_req("type"),
        kernel_hashes: Option<crate::schema::text::YesNo> = attr("kernelHashes"),
        author_key: Option<crate::schema::text::YesNo> = attr("authorKey"),
        vcek: Option<crate::schema::text::YesNo> = attr("vcek"),
        cbitpos: Option<u32> = text("cbitpos"),
        reduced_phys_bits: Option<u32> = text("reducedPhysBits"),
        policy: Option<String> = sev_policy("policy"),
        dh_cert: Option<String> = text("dhCert"),
        session: Option<String> = text("session"),
        guest_visible_workarounds: Option<String> = text("guestVisibleWorkarounds"),
        id_block: Option<String> = text("idBlock"),
        id_auth: Option<String> = text("idAuth"),
        host_data: Option<String> = text("hostData"),
    }
}

impl Domain {
    /// Reads a domain document. Defaults that depend on the driver come after, by
    /// [`crate::domain::Domain`]'s post-parse step.
    pub fn parse(xml: &str, flags: ParseFlags) -> Result<Self> {
        explain::reading(xml, virt_error::Origin::Domain, |tree| Self::from_tree(tree, flags))
    }

    /// The same from a tree.
    pub fn from_tree(tree: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        if let Some(devices) = tree.child("devices")
            && devices.elements().count() > Devices::LEN_MAX
        {
            // Limit: seen before anything is judged or made of them.
            let place = format!("line {}, column {}", devices.line, devices.column);
            let what = format!("more than {} devices", Devices::LEN_MAX);
            return Err(error::unsupported(what).with_hint(format!("{place}, in domain/devices")));
        }
        crate::schema::document::expect_root(tree, "domain", flags.validate)?;
        // Compat: a name is missed before a wrong type or id is, but after a type that is not there.
        if tree.attr("type").is_some() {
            kinds::name_of::read(tree, flags, "name", virt_error::Origin::Domain)?;
        }
        Self::read(tree, flags)
    }

    /// Prints the document.
    pub fn to_xml(&self, flags: PrintFlags) -> String {
        // Compat: what does not run has no live form.
        let inactive = flags.inactive || self.id.is_none();
        let mut out = Out::new(PrintFlags { inactive, ..flags });
        out.element("domain", self);
        out.w.finish()
    }

    /// The current memory, which is all of it unless said otherwise.
    pub fn current_memory_kib(&self) -> u64 {
        self.current_memory_kib.unwrap_or(self.memory.kib)
    }
}
