//! `domxml-to-native`: the command line that would start a document, with nothing started.

use std::path::Path;

use virt_error::{Code, Error, Origin, Result};
use virt_model::ParseFlags;
use virt_model::domain::Domain as Document;

use crate::core::Core;
use crate::dirs::Dirs;
use crate::{argv, cpu, lifecycle, prepare, rules};

/// The only native format of the driver.
const FORMAT: &str = "qemu-argv";

/// A document in a native format.
pub(crate) fn from_xml(core: &Core, format: &str, xml: &str) -> Result<String> {
    if format != FORMAT {
        let detail = format!("unsupported config type {format}");
        return Err(Error::new(Code::InvalidArg, Origin::Qemu, detail));
    }
    let mut document =
        core.guests.load(xml, ParseFlags { inactive: true, ..ParseFlags::default() })?;
    rules::place_on_usb(&mut document)?;
    let whom = core.security.label(&mut document)?;
    let emulator = document.devices.emulator.clone().unwrap_or_default();
    cpu::prepare(&mut document, &*core.capabilities(Path::new(&emulator))?)?;
    let words = words(&mut document, core.dirs(), &core.config.vnc_listen)?;
    let dir = core.dirs().guest(-1, &document.name);
    let mut line: Vec<String> = lifecycle::environment(&dir, &document, whom.as_ref())
        .into_iter()
        .map(|(name, value)| {
            format!("{}={}", name.to_string_lossy(), argv::quoted(&value.to_string_lossy()))
        })
        .collect();
    line.push(argv::quoted(&emulator));
    line.extend(words);
    Ok(line.join(" "))
}

/// The emulator's words, each as a shell would have to be told it.
pub(crate) fn words(document: &mut Document, dirs: &Dirs, vnc_listen: &str) -> Result<Vec<String>> {
    prepare::for_show(document, dirs, vnc_listen)?;
    let dir = dirs.guest(-1, &document.name);
    let monitor = argv::Monitor::Socket(dir.join("monitor.sock"));
    let words = argv::build(document, &dir, &monitor)?;
    Ok(words.iter().map(|word| argv::quoted(&word.to_string_lossy())).collect())
}
