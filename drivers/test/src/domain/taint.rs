//! What is wrong with a guest though it runs: what support staff wants to know first.
//!
//! Compat: only guests of a node file are looked at, once, when the file is read; what was found stays
//! with them whatever becomes of their definition.

use virt_model::domain::Domain as Definition;
use virt_model::domain::disk::{DiskDevice, DiskType};
use virt_model::schema::text::YesNo;
use virt_types::api;

/// The one model that is deprecated here, for programs that want to see such a message.
const DEPRECATED_MODEL: &str = "Deprecated-Test";

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taints {
    taints: Vec<&'static str>,
    deprecations: Vec<String>,
}

impl Taints {
    pub(crate) fn of(definition: &Definition) -> Self {
        let devices = &definition.devices;
        let raw = |rawio: Option<YesNo>| rawio == Some(YesNo::Yes);
        let privileged = devices.disks.iter().any(|disk| raw(disk.rawio))
            || devices.hostdevs.iter().any(|hostdev| raw(hostdev.rawio));
        let host_cdrom = devices.disks.iter().any(|disk| {
            let block = disk.source.as_ref().is_some_and(|source| source.kind == DiskType::Block);
            disk.device == DiskDevice::Cdrom && block && disk.path().is_some()
        });
        let cpu = definition.cpu.as_ref().and_then(|cpu| cpu.model.as_ref());
        let deprecated =
            cpu.and_then(|model| model.name.as_deref()).filter(|name| *name == DEPRECATED_MODEL);
        let found = [
            (privileged, "running with undesirable elevated privileges"),
            (
                devices.interfaces.iter().any(|interface| interface.script.is_some()),
                "network configuration using opaque shell scripts",
            ),
            (host_cdrom, "use of host cdrom passthrough"),
            (definition.os.dtb.is_some(), "custom device tree blob used"),
            (deprecated.is_some(), "use of deprecated configuration settings"),
        ];
        Self {
            taints: found.into_iter().filter_map(|(found, words)| found.then_some(words)).collect(),
            deprecations: deprecated.map(|name| format!("CPU model {name}")).into_iter().collect(),
        }
    }

    /// `virDomainGetMessages`: of the kinds asked for, or all.
    pub(crate) fn messages(&self, flags: u32) -> Vec<String> {
        let wanted = |flag: i32| flags == 0 || flags & flag.cast_unsigned() != 0;
        let taints = self.taints.iter().map(|words| format!("tainted: {words}"));
        let deprecations =
            self.deprecations.iter().map(|what| format!("deprecated configuration: {what}"));
        let taints = taints.filter(|_| wanted(api::DOMAIN_MESSAGE_TAINTING));
        taints.chain(deprecations.filter(|_| wanted(api::DOMAIN_MESSAGE_DEPRECATION))).collect()
    }
}
