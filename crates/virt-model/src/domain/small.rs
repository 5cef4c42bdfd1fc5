//! Devices that came late: security modules, shared memory, cryptography, stores for crashes, and
//! memory that is plugged in.

use virt_xml::Element;

use crate::domain::DeviceInfo;
use crate::domain::memory::Access;
use crate::domain::misc::VirtioOptions;
use crate::schema::form;
use crate::schema::text::{OnOff, YesNo};

element! {
    pub struct Tpm {
        model: Option<String> = attr("model"),
        backend: Option<TpmBackend> = child("backend"),
        info: DeviceInfo = flat(),
    }
}

words! {
    pub enum TpmBackendType {
        Passthrough = "passthrough",
        Emulator = "emulator",
        External = "external",
    }
}

element! {
    pub struct TpmBackend {
        kind: TpmBackendType = attr_req("type"),
        version: Option<String> = attr("version"),
        persistent_state: Option<YesNo> = attr("persistent_state"),
        debug: Option<u32> = attr("debug"),
        device: Option<Element<'static>> = tree_of("device", &form::TPM_DEVICE),
        encryption: Option<Element<'static>> = tree_of("encryption", &form::TPM_ENCRYPTION),
        active_pcr_banks: Option<Element<'static>> = tree_of("active_pcr_banks", &form::TPM_BANKS),
        source: Option<Element<'static>> = tree_of("source", &form::TPM_SOURCE),
        profile: Option<Element<'static>> = tree_of("profile", &form::TPM_PROFILE),
    }
}

element! {
    /// Memory that several guests see.
    pub struct Shmem {
        name: String = attr_req("name"),
        role: Option<String> = attr("role"),
        model: Option<ShmemModel> = child("model"),
        size_bytes: Option<u64> = mib_text("size"),
        server: Option<ShmemServer> = child("server"),
        msi: Option<ShmemMsi> = child("msi"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct ShmemModel {
        kind: String = attr_req("type"),
    }
}

element! {
    pub struct ShmemServer {
        path: Option<String> = attr("path"),
    }
}

element! {
    pub struct ShmemMsi {
        vectors: Option<u32> = attr("vectors"),
        ioeventfd: Option<OnOff> = attr("ioeventfd"),
    }
}

element! {
    pub struct Crypto {
        model: String = attr_req("model"),
        kind: String = attr_req("type"),
        backend: Option<Element<'static>> = tree_of("backend", &form::CRYPTO_BACKEND),
        driver: Option<VirtioOptions> = child_some("driver"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// Where a crashing guest leaves its last words.
    pub struct Pstore {
        backend: String = attr_req("backend"),
        path: Option<String> = text("path"),
        size_kib: Option<u64> = kib_text("size"),
        info: DeviceInfo = flat(),
    }
}

element! {
    /// Which USB devices a client may hand on.
    pub struct Redirfilter {
        devices: Vec<UsbRule> = list("usbdev"),
    }
}

element! {
    pub struct UsbRule {
        class: Option<u32> = usb_number("class", 2),
        vendor: Option<u32> = usb_number("vendor", 4),
        product: Option<u32> = usb_number("product", 4),
        version: Option<String> = usb_version("version"),
        allow: YesNo = attr_req("allow"),
    }
}

words! {
    pub enum MemoryModel {
        Dimm = "dimm",
        Nvdimm = "nvdimm",
        VirtioPmem = "virtio-pmem",
        VirtioMem = "virtio-mem",
        SgxEpc = "sgx-epc",
    }
}

element! {
    /// Memory beside that of the start.
    pub struct MemoryDevice {
        model: MemoryModel = attr_req("model"),
        access: Option<Access> = attr("access"),
        discard: Option<YesNo> = attr("discard"),
        uuid: Option<virt_types::Uuid> = text("uuid"),
        source: Option<MemorySource> = child_some("source"),
        target: MemoryTarget = child_always("target"),
        info: DeviceInfo = flat(),
    }
}

element! {
    pub struct MemorySource {
        path: Option<String> = text("path"),
        alignsize_kib: Option<u64> = kib_text("alignsize"),
        pmem: bool = flag("pmem"),
        nodemask: Option<String> = text("nodemask"),
        pagesize_kib: Option<u64> = kib_text("pagesize"),
    }
}

element! {
    pub struct MemoryTarget {
        dynamic_memslots: Option<YesNo> = attr("dynamicMemslots"),
        size_kib: Option<u64> = kib_text("size"),
        node: Option<u32> = text("node"),
        label: Option<MemoryLabel> = child_some("label"),
        readonly: bool = flag("readonly"),
        block_kib: Option<u64> = kib_text("block"),
        requested_kib: Option<u64> = kib_text("requested"),
        current_kib: Option<u64> = kib_text("current") when live,
        address: Option<MemoryBase> = child("address"),
    }
}

element! {
    pub struct MemoryLabel {
        size_kib: Option<u64> = kib_text("size"),
    }
}

element! {
    pub struct MemoryBase {
        base: Option<u64> = hex_long("base"),
    }
}
