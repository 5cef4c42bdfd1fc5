//! The list of devices, in print order, and the smaller ones.

use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::chardev::{Channel, Console, Parallel, Serial};
use crate::domain::controller::Controller;
use crate::domain::disk::Disk;
use crate::domain::graphics::{Graphics, Video};
use crate::domain::hostdev::{Hostdev, Redirdev};
use crate::domain::interface::Interface;
use crate::domain::misc::VirtioOptions;
use crate::domain::small::{Crypto, MemoryDevice, Pstore, Redirfilter, Shmem, Tpm};
use crate::schema::text::OnOff;
use crate::schema::{error, form};

element! {
    pub struct Devices {
        emulator: Option<String> = text("emulator"),
        disks: Vec<Disk> = list("disk"),
        controllers: Vec<Controller> = list("controller"),
        leases: Vec<Element<'static>> = trees_of("lease", &form::LEASE),
        filesystems: Vec<Filesystem> = list("filesystem"),
        interfaces: Vec<Interface> = list("interface"),
        smartcards: Vec<Smartcard> = list("smartcard"),
        serials: Vec<Serial> = list("serial"),
        parallels: Vec<Parallel> = list("parallel"),
        consoles: Vec<Console> = list("console"),
        channels: Vec<Channel> = list("channel"),
        inputs: Vec<Input> = list("input"),
        tpms: Vec<Tpm> = list("tpm"),
        graphics: Vec<Graphics> = list("graphics"),
        sounds: Vec<Sound> = list("sound"),
        audios: Vec<Audio> = list("audio"),
        videos: Vec<Video> = list("video"),
        hostdevs: Vec<Hostdev> = list("hostdev"),
        redirdevs: Vec<Redirdev> = list_long("redirdev"),
        redirfilter: Option<Redirfilter> = child_some("redirfilter"),
        hubs: Vec<Hub> = list("hub"),
        watchdogs: Vec<Watchdog> = list("watchdog"),
        memballoon: Option<Memballoon> = child("memballoon"),
        rngs: Vec<Rng> = list("rng"),
        nvram: Option<Nvram> = child_long_opt("nvram"),
        panics: Vec<Panic> = list("panic"),
        shmems: Vec<Shmem> = list("shmem"),
        memories: Vec<MemoryDevice> = list("memory"),
        cryptos: Vec<Crypto> = list("crypto"),
        iommus: Vec<Iommu> = list("iommu"),
        vsock: Option<Vsock> = child("vsock"),
        pstore: Option<Pstore> = child("pstore"),
    }
}

words! {
    pub enum SmartcardMode {
        Host = "host",
        HostCertificates = "host-certificates",
        Passthrough = "passthrough",
    }
}

element! {
    pub struct Smartcard {
        mode: SmartcardMode = attr_req("mode"),
        /// Of `passthrough`.
        source: Option<super::chardev::ChardevSource> = card_source(),
        certificates: Vec<String> = texts("certificate"),
        database: Option<String> = text("database"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct Filesystem {
        kind: FilesystemType = attr_def("type"),
        /// Absent where a socket leads to a daemon that decides for itself.
        accessmode: Option<AccessMode> = attr("accessmode"),
        model: Option<FilesystemModel> = attr("model"),
        multidevs: Option<Multidevs> = attr_not_default("multidevs"),
        fmode: Option<u32> = octal("fmode"),
        dmode: Option<u32> = octal("dmode"),
        driver: Option<Element<'static>> = tree_of("driver", &form::FILESYSTEM_DRIVER),
        binary: Option<Element<'static>> = tree_of("binary", &form::FILESYSTEM_BINARY),
        idmap: Option<super::IdMap> = child_some("idmap"),
        source: Option<FilesystemSource> = child("source"),
        target: Option<FilesystemTarget> = child("target"),
        readonly: bool = flag("readonly"),
        info: DeviceInfo = flat(),
        space_hard_limit_bytes: Option<u64> = bytes_text("space_hard_limit"),
        space_soft_limit_bytes: Option<u64> = bytes_text("space_soft_limit"),
    }
}

words! {
    pub enum FilesystemModel {
        Virtio = "virtio",
        VirtioTransitional = "virtio-transitional",
        VirtioNonTransitional = "virtio-non-transitional",
    }
}

words! {
    /// How files of several of the host's devices are told apart.
    pub enum Multidevs {
        Default = "default",
        Remap = "remap",
        Forbid = "forbid",
        Warn = "warn",
    }
}

words! {
    pub enum AccessMode {
        Passthrough = "passthrough",
        Mapped = "mapped",
        Squash = "squash",
    }
}

words! {
    pub enum FilesystemType {
        Mount = "mount",
        Block = "block",
        File = "file",
        Template = "template",
        Ram = "ram",
        Bind = "bind",
        Volume = "volume",
    }
}

element! {
    /// What the guest sees; which field it is depends on the type.
    pub struct FilesystemSource {
        dev: Option<String> = attr("dev"),
        dir: Option<String> = attr("dir"),
        file: Option<String> = attr("file"),
        name: Option<String> = attr("name"),
        usage_kib: Option<u64> = usage_kib("usage"),
        pool: Option<String> = attr("pool"),
        volume: Option<String> = attr("volume"),
        socket: Option<String> = attr("socket"),
    }
}

element! {
    pub struct FilesystemTarget {
        dir: String = attr_req("dir"),
    }
}

words! {
    pub enum InputType {
        Mouse = "mouse",
        Tablet = "tablet",
        Keyboard = "keyboard",
        Passthrough = "passthrough",
        Evdev = "evdev",
    }
}

words! {
    pub enum InputBus {
        Ps2 = "ps2",
        Usb = "usb",
        Xen = "xen",
        Parallels = "parallels",
        Virtio = "virtio",
        None = "none",
    }
}

element! {
    pub struct Input {
        kind: InputType = attr_said_req("type", |word| match word {
            Some(word) => error::unsupported(format!("unknown input device type '{word}'")),
            None => error::internal("missing input device type"),
        }),
        bus: Option<InputBus> = attr_said("bus", |word| {
            error::unsupported(format!("unknown input bus type '{word}'"))
        }),
        model: Option<String> = attr("model"),
        driver: Option<VirtioOptions> = child_some("driver"),
        source: Option<Element<'static>> = tree_of("source", &form::INPUT_SOURCE),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum SoundModel {
        Sb16 = "sb16",
        Es1370 = "es1370",
        Pcspk = "pcspk",
        Ac97 = "ac97",
        Ich6 = "ich6",
        Ich9 = "ich9",
        Usb = "usb",
        Ich7 = "ich7",
        Virtio = "virtio",
    }
}

element! {
    pub struct Sound {
        model: SoundModel = attr_req("model"),
        multichannel: Option<crate::schema::text::YesNo> = attr("multichannel"),
        streams: Option<u32> = attr("streams"),
        codecs: Vec<Element<'static>> = trees_of("codec", &form::CODEC),
        audio: Option<Element<'static>> = tree("audio"),
        info: DeviceInfo = flat(),
        driver: Option<VirtioOptions> = child_some("driver"),
    }
}

words! {
    pub enum AudioType {
        None = "none",
        Alsa = "alsa",
        CoreAudio = "coreaudio",
        Jack = "jack",
        Oss = "oss",
        PulseAudio = "pulseaudio",
        Sdl = "sdl",
        Spice = "spice",
        File = "file",
        Dbus = "dbus",
        PipeWire = "pipewire",
    }
}

element! {
    /// A backend that sound devices play to.
    pub struct Audio {
        id: u32 = attr_req("id"),
        kind: AudioType = attr_req("type"),
        timer_period_us: Option<u32> = attr("timerPeriod"),
        path: Option<String> = attr("path"),
        try_mmap: Option<String> = attr("tryMMap"),
        exclusive: Option<String> = attr("exclusive"),
        dsp_policy: Option<i32> = attr("dspPolicy"),
        server_name: Option<String> = attr("serverName"),
        runtime_dir: Option<String> = attr("runtimeDir"),
        driver: Option<String> = attr("driver"),
        input: Option<Element<'static>> = tree_of("input", &form::AUDIO_SIDE),
        output: Option<Element<'static>> = tree_of("output", &form::AUDIO_SIDE),
    }
}

element! {
    pub struct Hub {
        kind: String = attr_req("type"),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum WatchdogModel {
        I6300esb = "i6300esb",
        Ib700 = "ib700",
        Diag288 = "diag288",
        Itco = "itco",
    }
}

words! {
    pub enum WatchdogAction {
        Reset = "reset",
        Shutdown = "shutdown",
        Poweroff = "poweroff",
        Pause = "pause",
        Dump = "dump",
        None = "none",
        InjectNmi = "inject-nmi",
    }
}

element! {
    pub struct Watchdog {
        model: WatchdogModel = attr_req("model"),
        action: WatchdogAction = attr_def("action"),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum BalloonModel {
        Virtio = "virtio",
        Xen = "xen",
        None = "none",
        VirtioTransitional = "virtio-transitional",
        VirtioNonTransitional = "virtio-non-transitional",
    }
}

element! {
    pub struct Memballoon {
        model: BalloonModel = attr_req("model"),
        autodeflate: Option<OnOff> = attr("autodeflate"),
        free_page_reporting: Option<OnOff> = attr("freePageReporting"),
        stats: Option<Stats> = child_some("stats"),
        info: DeviceInfo = flat(),
        driver: Option<VirtioOptions> = child_some("driver"),
    }
}

element! {
    pub struct Stats {
        period_s: u32 = attr_req("period"),
    }
}

words! {
    pub enum RngModel {
        Virtio = "virtio",
        VirtioTransitional = "virtio-transitional",
        VirtioNonTransitional = "virtio-non-transitional",
    }
}

element! {
    pub struct Rng {
        model: RngModel = attr_req("model"),
        rate: Option<Rate> = rng_rate("rate"),
        backend: Option<RngBackend> = rng_backend("backend"),
        driver: Option<VirtioOptions> = child_some("driver"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct Rate {
        bytes: u32 = attr_req("bytes"),
        period_ms: Option<u32> = attr("period"),
    }
}

words! {
    pub enum RngBackendModel {
        Random = "random",
        Egd = "egd",
        Builtin = "builtin",
    }
}

element! {
    pub struct RngBackend {
        model: RngBackendModel = attr_req("model"),
        /// Of `random`.
        device: Option<String> = rng_device(),
        /// Of `egd`.
        chardev: Option<super::chardev::ChardevSource> = egd_source(),
    }
}

words! {
    pub enum PanicModel {
        Default = "default",
        Isa = "isa",
        Pseries = "pseries",
        Hyperv = "hyperv",
        S390 = "s390",
        Pvpanic = "pvpanic",
    }
}

element! {
    pub struct Panic {
        model: Option<PanicModel> = attr("model"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// A store of settings on a bus of its own.
    pub struct Nvram {
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct Iommu {
        model: String = attr_req("model"),
        driver: Option<Element<'static>> = tree_of("driver", &form::IOMMU_DRIVER),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct Vsock {
        model: Option<String> = attr("model"),
        cid: Cid = child_def("cid"),
        driver: Option<VirtioOptions> = child_some("driver"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// The guest's address for sockets between guest and host.
    pub struct Cid {
        auto: Option<crate::schema::text::YesNo> = attr("auto"),
        address: Option<u32> = attr("address"),
    }
}
