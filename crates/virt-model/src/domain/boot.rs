//! How the guest boots: machine, firmware, kernel, order.

use crate::schema::error;
use crate::schema::text::YesNo;
use virt_xml::Element;

words! {
    pub enum OsType {
        Hvm = "hvm",
        Xen = "xen",
        Linux = "linux",
        XenPvh = "xenpvh",
        Exe = "exe",
        Uml = "uml",
        Bsd = "bsd",
        Ldom = "ldom",
    }
}

words! {
    pub enum BootDevice {
        Hd = "hd",
        Fd = "fd",
        Cdrom = "cdrom",
        Network = "network",
    }
}

words! {
    pub enum Firmware {
        Bios = "bios",
        Efi = "efi",
    }
}

element! {
    pub struct Os {
        firmware: Option<Firmware> = attr("firmware"),
        kind: OsKind = child_always("type"),
        init: Option<String> = text("init"),
        initargs: Vec<String> = texts("initarg"),
        initenvs: Vec<Element<'static>> = trees("initenv"),
        initdir: Option<String> = text("initdir"),
        inituser: Option<String> = text("inituser"),
        initgroup: Option<String> = text("initgroup"),
        firmware_features: Vec<FirmwareFeature> = wrapped("firmware", "feature"),
        loader: Option<Loader> = child_some("loader"),
        nvram: Option<Nvram> = child_some("nvram"),
        kernel: Option<String> = text("kernel"),
        initrd: Option<String> = text("initrd"),
        cmdline: Option<String> = text("cmdline"),
        shim: Option<String> = text("shim"),
        dtb: Option<String> = text("dtb"),
        root: Option<String> = text("root"),
        acpi_tables: Vec<AcpiTable> = wrapped("acpi", "table"),
        boot: Vec<Boot> = list("boot"),
        bootmenu: Option<BootMenu> = child_some("bootmenu"),
        bios: Option<Bios> = child_some("bios"),
        smbios: Option<Smbios> = child("smbios"),
    }
}

element! {
    /// What kind of guest, on which machine.
    pub struct OsKind {
        arch: Option<String> = attr("arch"),
        machine: Option<String> = attr("machine"),
        kind: Option<OsType> = os_type(),
    }
}

element! {
    pub struct FirmwareFeature {
        enabled: YesNo = attr_req("enabled"),
        name: String = attr_req("name"),
    }
}

words! {
    pub enum LoaderType {
        Rom = "rom",
        Pflash = "pflash",
    }
}

element! {
    pub struct Loader {
        readonly: Option<YesNo> = attr("readonly"),
        secure: Option<YesNo> = attr("secure"),
        kind: Option<LoaderType> = attr("type"),
        stateless: Option<YesNo> = attr("stateless"),
        format: Option<String> = attr("format"),
        path: Option<String> = content(),
    }
}

element! {
    pub struct Nvram {
        template: Option<String> = attr("template"),
        template_format: Option<String> = attr("templateFormat"),
        kind: Option<String> = attr("type"),
        format: Option<String> = attr("format"),
        path: Option<String> = nvram_path(),
        source: Option<Element<'static>> = tree("source"),
    }
}

element! {
    pub struct AcpiTable {
        kind: String = attr_req("type"),
        path: Option<String> = content(),
    }
}

element! {
    pub struct Boot {
        dev: BootDevice = attr_req("dev"),
    }
}

element! {
    pub struct BootMenu {
        enable: Option<YesNo> = attr("enable"),
        timeout_ms: Option<u32> = attr("timeout"),
    }
}

element! {
    pub struct Bios {
        useserial: Option<YesNo> = attr("useserial"),
        reboot_timeout_ms: Option<i32> = attr("rebootTimeout"),
    }
}

words! {
    pub enum SmbiosMode {
        None = "none",
        Emulate = "emulate",
        Host = "host",
        Sysinfo = "sysinfo",
    }
}

element! {
    pub struct Smbios {
        mode: SmbiosMode = attr_said_req("mode", |word| match word {
            Some(word) => error::unsupported(format!("unknown smbios mode '{word}'")),
            None => error::internal("missing smbios mode"),
        }),
    }
}
