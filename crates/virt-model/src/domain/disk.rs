//! Disks of a domain document: where each comes from, how it is driven, where the guest sees it.

use crate::domain::DeviceInfo;
use crate::domain::misc::VirtioOptions;
use crate::domain::source::{BackingStore, StorageSource};
use crate::schema::text::{OnOff, YesNo};
use virt_xml::Element;

words! {
    /// What a disk's content is.
    pub enum DiskType {
        File = "file",
        Block = "block",
        Dir = "dir",
        Network = "network",
        Volume = "volume",
        Nvme = "nvme",
        VhostUser = "vhostuser",
        VhostVdpa = "vhostvdpa",
    }
}

words! {
    pub enum DiskDevice {
        Disk = "disk",
        Cdrom = "cdrom",
        Floppy = "floppy",
        Lun = "lun",
    }
}

words! {
    pub enum DiskBus {
        Ide = "ide",
        Fdc = "fdc",
        Scsi = "scsi",
        Virtio = "virtio",
        Xen = "xen",
        Usb = "usb",
        Uml = "uml",
        Sata = "sata",
        Sd = "sd",
        Vdisk = "vdisk",
    }
}

words! {
    pub enum Cache {
        Default = "default",
        None = "none",
        Writethrough = "writethrough",
        Writeback = "writeback",
        Directsync = "directsync",
        Unsafe = "unsafe",
    }
}

words! {
    pub enum ErrorPolicy {
        Stop = "stop",
        Report = "report",
        Ignore = "ignore",
        Enospace = "enospace",
    }
}

words! {
    pub enum Io {
        Default = "default",
        Native = "native",
        Threads = "threads",
        IoUring = "io_uring",
    }
}

words! {
    pub enum Discard {
        Default = "default",
        Unmap = "unmap",
        Ignore = "ignore",
    }
}

words! {
    pub enum DetectZeroes {
        Default = "default",
        Off = "off",
        On = "on",
        Unmap = "unmap",
    }
}

words! {
    pub enum SnapshotMode {
        No = "no",
        Internal = "internal",
        External = "external",
        Manual = "manual",
    }
}

element! {
    pub struct Disk {
        kind: DiskType = attr_def("type"),
        device: DiskDevice = attr_def("device"),
        model: Option<String> = attr("model"),
        rawio: Option<YesNo> = attr("rawio"),
        sgio: Option<String> = attr("sgio"),
        snapshot: Option<SnapshotMode> = attr("snapshot"),
        driver: Option<DiskDriver> = child_some("driver"),
        auth: Option<Auth> = child("auth"),
        source: Option<StorageSource> = disk_source("source"),
        backing_store: Option<BackingStore> = backing_store("backingStore"),
        backenddomain: Option<super::chardev::Name> = child("backenddomain"),
        geometry: Option<Geometry> = child("geometry"),
        blockio: Option<BlockIo> = child_some("blockio"),
        mirror: Option<Element<'static>> = tree("mirror") when live,
        target: DiskTarget = child_always("target"),
        throttle_filters: Vec<ThrottleFilter> = wrapped("throttlefilters", "throttlefilter"),
        iotune: Option<Iotune> = child_some("iotune"),
        readonly: bool = flag("readonly"),
        shareable: bool = flag("shareable"),
        transient: Option<Transient> = child("transient"),
        serial: Option<String> = text("serial"),
        wwn: Option<String> = text("wwn"),
        vendor: Option<String> = text("vendor"),
        product: Option<String> = text("product"),
        encryption: Option<Encryption> = child("encryption"),
        info: DeviceInfo = flat(),
        secrets_placement: Option<Element<'static>> = own_tree("diskSecretsPlacement") when status,
    }
}

element! {
    pub struct DiskDriver {
        name: Option<String> = attr("name"),
        format: Option<String> = attr("type"),
        cache: Option<Cache> = attr_not_default("cache"),
        error_policy: Option<ErrorPolicy> = attr("error_policy"),
        rerror_policy: Option<ErrorPolicy> = attr("rerror_policy"),
        io: Option<Io> = attr_not_default("io"),
        ioeventfd: Option<OnOff> = attr("ioeventfd"),
        event_idx: Option<OnOff> = attr("event_idx"),
        copy_on_read: Option<OnOff> = attr("copy_on_read"),
        discard: Option<Discard> = attr_not_default("discard"),
        discard_no_unref: Option<OnOff> = attr("discard_no_unref"),
        iothread: Option<u32> = attr("iothread"),
        detect_zeroes: Option<DetectZeroes> = attr_not_default("detect_zeroes"),
        queues: Option<u32> = attr("queues"),
        queue_size: Option<u32> = attr("queue_size"),
        virtio: VirtioOptions = flat(),
        iothreads: Vec<DiskIothread> = wrapped("iothreads", "iothread"),
        metadata_cache: Option<MetadataCache> = child_some("metadata_cache"),
    }
}

words! {
    pub enum Tray {
        Closed = "closed",
        Open = "open",
    }
}

words! {
    pub enum RemovableState {
        On = "on",
        Off = "off",
    }
}

element! {
    pub struct DiskTarget {
        dev: String = attr_odd("dev"),
        bus: Option<DiskBus> = attr("bus"),
        tray: Tray = attr_odd("tray"),
        removable: Option<RemovableState> = attr("removable"),
        rotation_rate_rpm: Option<u32> = attr("rotation_rate"),
    }
}

element! {
    /// Limits on the disk's throughput.
    pub struct Iotune {
        total_bytes_sec: Option<u64> = text_odd("total_bytes_sec"),
        read_bytes_sec: Option<u64> = text_odd("read_bytes_sec"),
        write_bytes_sec: Option<u64> = text_odd("write_bytes_sec"),
        total_iops_sec: Option<u64> = text_odd("total_iops_sec"),
        read_iops_sec: Option<u64> = text_odd("read_iops_sec"),
        write_iops_sec: Option<u64> = text_odd("write_iops_sec"),
        total_bytes_sec_max: Option<u64> = text_odd("total_bytes_sec_max"),
        read_bytes_sec_max: Option<u64> = text_odd("read_bytes_sec_max"),
        write_bytes_sec_max: Option<u64> = text_odd("write_bytes_sec_max"),
        total_iops_sec_max: Option<u64> = text_odd("total_iops_sec_max"),
        read_iops_sec_max: Option<u64> = text_odd("read_iops_sec_max"),
        write_iops_sec_max: Option<u64> = text_odd("write_iops_sec_max"),
        size_iops_sec: Option<u64> = text_odd("size_iops_sec"),
        group_name: Option<String> = text("group_name"),
        total_bytes_sec_max_length: Option<u64> = text_odd("total_bytes_sec_max_length"),
        read_bytes_sec_max_length: Option<u64> = text_odd("read_bytes_sec_max_length"),
        write_bytes_sec_max_length: Option<u64> = text_odd("write_bytes_sec_max_length"),
        total_iops_sec_max_length: Option<u64> = text_odd("total_iops_sec_max_length"),
        read_iops_sec_max_length: Option<u64> = text_odd("read_iops_sec_max_length"),
        write_iops_sec_max_length: Option<u64> = text_odd("write_iops_sec_max_length"),
    }
}

element! {
    /// How to log in to a storage server.
    pub struct Auth {
        username: String = attr_req("username"),
        secret: Option<SecretRef> = child("secret"),
    }
}

element! {
    /// A secret by its UUID or by what it is for.
    pub struct SecretRef {
        kind: Option<String> = attr("type"),
        uuid: Option<virt_types::Uuid> = attr("uuid"),
        usage: Option<String> = attr("usage"),
    }
}

element! {
    pub struct Encryption {
        format: String = attr_req("format"),
        engine: Option<String> = attr("engine"),
        secrets: Vec<SecretRef> = list("secret"),
        cipher: Option<Element<'static>> = tree("cipher"),
        ivgen: Option<Element<'static>> = tree("ivgen"),
    }
}

element! {
    pub struct Geometry {
        cyls: u32 = attr_req("cyls"),
        heads: u32 = attr_req("heads"),
        secs: u32 = attr_req("secs"),
        trans: Option<String> = attr("trans"),
    }
}

element! {
    pub struct BlockIo {
        logical_block_size: Option<u32> = attr_not_default("logical_block_size"),
        physical_block_size: Option<u32> = attr_not_default("physical_block_size"),
        discard_granularity: Option<u32> = attr_not_default("discard_granularity"),
    }
}

element! {
    pub struct ThrottleFilter {
        group: String = attr_req("group"),
    }
}

element! {
    pub struct Transient {
        share_backing: Option<YesNo> = attr("shareBacking"),
    }
}

element! {
    pub struct DiskIothread {
        id: u32 = attr_req("id"),
        queues: Vec<QueueId> = list("queue"),
    }
}

element! {
    pub struct QueueId {
        id: u32 = attr_req("id"),
    }
}

element! {
    pub struct MetadataCache {
        max_size_bytes: Option<u64> = bytes_text("max_size"),
    }
}

impl Disk {
    /// The file or block device behind the disk, where it is one.
    pub fn path(&self) -> Option<&str> {
        self.source.as_ref().and_then(StorageSource::path)
    }

    /// The image format; raw where nothing is said.
    pub fn format(&self) -> Option<&str> {
        self.driver.as_ref().and_then(|driver| driver.format.as_deref())
    }
}
