//! Controllers: the buses that devices sit on.

use crate::domain::DeviceInfo;
use crate::domain::misc::VirtioOptions;
use crate::schema::text::OnOff;
use virt_xml::Element;

words! {
    pub enum ControllerType {
        Ide = "ide",
        Fdc = "fdc",
        Scsi = "scsi",
        Sata = "sata",
        VirtioSerial = "virtio-serial",
        Ccid = "ccid",
        Usb = "usb",
        Pci = "pci",
        Xenbus = "xenbus",
        Isa = "isa",
        Nvme = "nvme",
    }
}

element! {
    pub struct Controller {
        kind: ControllerType = attr_req("type"),
        /// Given by the post-parse step where absent.
        index: Option<u32> = controller_index("index"),
        model: Option<String> = attr("model"),
        ports: Option<u32> = attr("ports"),
        vectors: Option<u32> = attr("vectors"),
        max_grant_frames: Option<u32> = attr("maxGrantFrames"),
        max_event_channels: Option<u32> = attr("maxEventChannels"),
        /// Of PCI: the device that makes it.
        model_name: Option<super::chardev::Name> = child("model"),
        target: Option<ControllerTarget> = child_some("target"),
        driver: Option<ControllerDriver> = child_some("driver"),
        pcihole64_kib: Option<u64> = kib_text("pcihole64"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct ControllerTarget {
        chassis_nr: Option<u32> = attr("chassisNr"),
        chassis: Option<u32> = attr("chassis"),
        port: Option<u32> = hex_opt("port"),
        bus_nr: Option<u32> = attr("busNr"),
        index: Option<u32> = attr("index"),
        hotplug: Option<OnOff> = attr("hotplug"),
        mem_reserve_kib: Option<u64> = attr("memReserve"),
        node: Option<u32> = text("node"),
    }
}

element! {
    pub struct ControllerDriver {
        queues: Option<u32> = attr("queues"),
        cmd_per_lun: Option<u32> = attr("cmd_per_lun"),
        max_sectors: Option<u32> = attr("max_sectors"),
        ioeventfd: Option<OnOff> = attr("ioeventfd"),
        iothread: Option<u32> = attr("iothread"),
        virtio: VirtioOptions = flat(),
        iothreads: Option<Element<'static>> = tree("iothreads"),
    }
}
