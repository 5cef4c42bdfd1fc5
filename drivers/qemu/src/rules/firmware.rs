//! Which firmware a guest gets: the best installed one that fits what the document says, spelled out
//! so that it stays the same.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain;
use virt_model::domain::boot::{Firmware as Choice, FirmwareFeature, Loader, LoaderType, Nvram};
use virt_model::domain::features::Smm;
use virt_model::{OnOff, YesNo};

use crate::firmware::{Firmware, Image, Mapping, Mode};

/// Compat: pairs of image and template from before there were descriptors.
const LEGACY: [(&str, &str); 4] = [
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/AAVMF/AAVMF32_CODE.fd", "/usr/share/AAVMF/AAVMF32_VARS.fd"),
];

/// Where the variables of guests are kept.
pub(super) const NVRAM_DIR: &str = "/var/lib/libvirt/qemu/nvram";

/// Fills in image, template and variables.
///
/// Compat: that nothing fits is an error of a new definition; an older one fails when it starts.
pub(super) fn complete(
    domain: &mut Domain,
    installed: &[Firmware],
    nvram: &str,
    new: bool,
) -> Result<()> {
    let found = installed.iter().find(|firmware| fits(domain, firmware, new));
    match found {
        Some(firmware) => take(domain, firmware),
        None => {
            if let Some(choice) = domain.os.firmware.filter(|_| new) {
                let detail = format!(
                    "Unable to find '{choice}' firmware that is compatible with the current configuration"
                );
                return Err(Error::new(Code::OperationFailed, Origin::Qemu, detail));
            }
            if let Some(loader) = &mut domain.os.loader
                && loader.path.is_some()
            {
                loader.format.get_or_insert_with(|| "raw".into());
                if domain.os.firmware.is_none() {
                    loader.kind.get_or_insert(LoaderType::Rom);
                }
            }
        }
    }
    if found.is_some() || domain.os.firmware.is_none() {
        variables(domain, nvram);
    }
    Ok(())
}

/// What the document asks for that is a feature of the image.
fn wanted_features(domain: &Domain) -> Vec<(&str, bool)> {
    let mut wanted: Vec<(&str, bool)> = Vec::new();
    for feature in &domain.os.firmware_features {
        wanted.push((&feature.name, feature.enabled.is_yes()));
    }
    if let Some(secure) = domain.os.loader.as_ref().and_then(|loader| loader.secure) {
        wanted.push(("requires-smm", secure.is_yes()));
    }
    if let Some(pm) = &domain.pm {
        let states = [("acpi-s3", &pm.suspend_to_mem), ("acpi-s4", &pm.suspend_to_disk)];
        let on = states.iter().filter(|(_, s)| s.as_ref().is_some_and(|s| s.enabled.is_yes()));
        wanted.extend(on.map(|(name, _)| (*name, true)));
    }
    if domain.features.smm.as_ref().is_some_and(|smm| smm.state == OnOff::Off) {
        wanted.push(("requires-smm", false));
    }
    match domain.launch_security.as_ref().map(|security| security.kind.as_str()) {
        Some("sev") => wanted.push(("amd-sev", true)),
        Some("sev-snp") => wanted.push(("amd-sev-snp", true)),
        _ => {}
    }
    wanted
}

fn fits(domain: &Domain, firmware: &Firmware, new: bool) -> bool {
    let interface = |name: &str| firmware.interfaces.iter().any(|known| known == name);
    let right_kind = match domain.os.firmware {
        Some(Choice::Efi) => interface("uefi"),
        Some(Choice::Bios) => interface("bios"),
        None => true,
    };
    let kind = &domain.os.kind;
    let arch = kind.arch.as_deref().unwrap_or_default();
    right_kind
        && firmware.suits(arch, kind.machine.as_deref().unwrap_or_default())
        && wanted_features(domain).iter().all(|(name, on)| firmware.has(name) == *on)
        && fits_mapping(domain, &firmware.mapping, new)
}

fn fits_mapping(domain: &Domain, mapping: &Mapping, new: bool) -> bool {
    let none = Loader::default();
    let loader = domain.os.loader.as_ref().unwrap_or(&none);
    let nvram = domain.os.nvram.as_ref();
    // A document that names its image by hand says how it is loaded, too.
    let kind = loader.kind.or(domain.os.firmware.is_none().then_some(LoaderType::Rom));
    let same = |given: &Option<String>, found: &str| given.as_deref().is_none_or(|it| it == found);
    match mapping {
        Mapping::Kernel { .. } => false,
        Mapping::Memory { filename } => {
            let secure = kind == Some(LoaderType::Rom) || domain.os.firmware == Some(Choice::Bios);
            secure
                && kind != Some(LoaderType::Pflash)
                && loader.stateless != Some(YesNo::No)
                && same(&loader.path, filename)
                && loader.format.as_deref().is_none_or(|format| format == "raw")
        }
        Mapping::Flash { mode, executable, template } => {
            let stateless = loader.stateless == Some(YesNo::Yes);
            let keeps = *mode == Mode::Split;
            let format = loader.format.as_deref();
            let format = format.or_else(|| nvram.and_then(|nvram| nvram.format.as_deref()));
            let named = loader.path.is_some();
            let format = format.or((!new && !named).then_some("raw"));
            kind != Some(LoaderType::Rom)
                && loader.readonly != Some(YesNo::No)
                && *mode != Mode::Combined
                && stateless != keeps
                && same(&loader.path, &executable.filename)
                && format.is_none_or(|format| format == executable.format)
                && fits_template(nvram, template.as_ref())
        }
    }
}

fn fits_template(nvram: Option<&Nvram>, template: Option<&Image>) -> bool {
    let Some(given) = nvram.and_then(|nvram| nvram.template.as_deref()) else { return true };
    template.is_some_and(|template| template.filename == given)
}

/// Writes down what was chosen.
fn take(domain: &mut Domain, firmware: &Firmware) {
    let efi = firmware.interfaces.iter().any(|name| name == "uefi");
    domain.os.firmware = Some(if efi { Choice::Efi } else { Choice::Bios });
    let elsewhere = domain.os.nvram.as_ref().is_some_and(|nvram| !is_local(nvram));
    let feature =
        |name: &str| FirmwareFeature { enabled: firmware.has(name).into(), name: name.to_owned() };
    // Compat: what keys are in variables on another host is not known.
    let names = if elsewhere { &["secure-boot"][..] } else { &["enrolled-keys", "secure-boot"] };
    domain.os.firmware_features = names.iter().map(|name| feature(name)).collect();
    let loader = domain.os.loader.get_or_insert_with(Loader::default);
    match &firmware.mapping {
        Mapping::Flash { mode, executable, template } => {
            loader.kind = Some(LoaderType::Pflash);
            loader.readonly = Some(YesNo::Yes);
            loader.path = Some(executable.filename.clone());
            loader.format = Some(executable.format.clone());
            if *mode == Mode::Split {
                let nvram = domain.os.nvram.get_or_insert_with(Nvram::default);
                if let Some(template) = template.as_ref().filter(|_| !elsewhere) {
                    nvram.template = Some(template.filename.clone());
                    nvram.template_format = Some(template.format.clone());
                    nvram.format = Some(template.format.clone());
                }
                nvram.format.get_or_insert_with(|| executable.format.clone());
            }
        }
        Mapping::Memory { filename } | Mapping::Kernel { filename } => {
            loader.kind = Some(LoaderType::Rom);
            loader.path = Some(filename.clone());
            loader.format = Some("raw".into());
        }
    }
    if firmware.has("requires-smm") {
        loader.secure = Some(YesNo::Yes);
        domain.features.smm.get_or_insert_with(Smm::default).state = OnOff::On;
    }
}

fn is_local(nvram: &Nvram) -> bool {
    nvram.source.is_none() || matches!(nvram.kind.as_deref(), None | Some("file"))
}

/// A guest whose image is only read needs a place for its variables.
fn variables(domain: &mut Domain, dir: &str) {
    let os = &mut domain.os;
    let Some(loader) = &os.loader else { return };
    let keeps = loader.kind == Some(LoaderType::Pflash)
        && loader.readonly == Some(YesNo::Yes)
        && loader.stateless != Some(YesNo::Yes);
    if !keeps {
        return;
    }
    let nvram = os.nvram.get_or_insert_with(Nvram::default);
    let legacy = LEGACY.iter().find(|(image, _)| Some(*image) == loader.path.as_deref());
    if let Some((_, template)) = legacy {
        nvram.template.get_or_insert_with(|| (*template).into());
        nvram.template_format.get_or_insert_with(|| "raw".into());
    }
    let format = nvram.format.get_or_insert_with(|| "raw".into());
    if nvram.path.is_none() && nvram.source.is_none() {
        let end = if format == "qcow2" { "qcow2" } else { "fd" };
        nvram.path = Some(format!("{dir}/{}_VARS.{end}", domain.name));
    }
}
