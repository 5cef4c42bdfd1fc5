//! The simulated guest behind a console: OpenBoot, and a system of few words.

use crate::actions::{Notice, guest_panicked, guest_powered_off, guest_reset};
use crate::manager::Manager;
use crate::model::{Domain, State};

/// Who is at the other end of the console.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// No guest runs.
    Nowhere,
    OpenBoot,
    System,
}

fn place(manager: &Manager, name: &str) -> Where {
    let boot_s = manager.live().boot_delay.as_secs();
    let machine = manager.machine();
    match machine.domain(name) {
        Ok(domain) if domain.state != State::Active => Where::Nowhere,
        Ok(domain) if domain.stays_in_openboot || domain.uptime_s() < boot_s => Where::OpenBoot,
        Ok(_) => Where::System,
        Err(_) => Where::Nowhere,
    }
}

fn prompt(place: Where, name: &str) -> String {
    match place {
        Where::Nowhere => String::new(),
        Where::OpenBoot => "{0} ok ".to_owned(),
        Where::System => format!("{name} console login: "),
    }
}

/// What is shown when a byte was typed: it is echoed only if a guest runs.
pub(crate) fn typed(manager: &Manager, name: &str, byte: u8) {
    let consoles = manager.consoles();
    let place = place(manager, name);
    if place == Where::Nowhere {
        return;
    }
    match byte {
        b'\r' => consoles.hub.show(name, "\r\n"),
        8 | 127 => consoles.hub.show(name, "\u{8} \u{8}"),
        byte => consoles.hub.show(name, &char::from(byte).to_string()),
    }
    if let Some(line) = consoles.hub.typed(name, byte) {
        command(manager, name, place, line.trim());
    }
}

/// A break stops the system and leads to OpenBoot.
pub(crate) fn interrupted(manager: &Manager, name: &str) {
    if place(manager, name) == Where::Nowhere {
        return;
    }
    stay(manager, name, true);
    manager.consoles().hub.show(name, "Type  'go' to resume\r\n{0} ok ");
}

fn stay(manager: &Manager, name: &str, stays: bool) {
    let mut machine = manager.machine();
    if let Ok(domain) = machine.domain_mut(name) {
        domain.stays_in_openboot = stays;
    }
    manager.save(&mut machine);
}

fn command(manager: &Manager, name: &str, place: Where, line: &str) {
    let show = |text: &str| manager.consoles().hub.show(name, text);
    match (place, line) {
        (Where::OpenBoot, "boot" | "go") => {
            stay(manager, name, false);
            show(&system(name));
            return;
        }
        (Where::OpenBoot, "reset-all") | (Where::System, "reboot" | "init 6") => {
            act(manager, name, |machine, name| guest_reset(machine, name).map(|one| vec![one]));
            return;
        }
        (Where::OpenBoot, "power-off") | (Where::System, "poweroff" | "init 5") => {
            act(manager, name, |machine, name| {
                guest_powered_off(machine, name).map(|one| vec![one])
            });
            return;
        }
        (Where::System, "panic") => {
            act(manager, name, guest_panicked);
            return;
        }
        (Where::System, "halt" | "init 0") => {
            stay(manager, name, true);
            show("Program terminated\r\n{0} ok ");
            return;
        }
        (Where::System, "uname") => show("SunOS\r\n"),
        (_, "") => {}
        (Where::OpenBoot, word) => show(&format!("{word} ?\r\n")),
        _ => show("Login incorrect\r\n"),
    }
    show(&prompt(place, name));
}

fn act(
    manager: &Manager,
    name: &str,
    action: fn(&mut crate::model::Machine, &str) -> Result<Vec<Notice>, String>,
) {
    let mut machine = manager.machine();
    let done = action(&mut machine, name);
    manager.save(&mut machine);
    drop(machine);
    match done {
        Ok(notices) => manager.publish(&notices),
        Err(why) => eprintln!("ldmd-sim: {name}: {why}"),
    }
}

fn system(name: &str) -> String {
    format!("Boot device: disk  File and args:\r\nHostname: {name}\r\n\r\n{name} console login: ")
}

/// What a guest that begins writes on its console.
pub(crate) fn begins(domain: &Domain) -> String {
    let mac = domain.info.address.as_deref().unwrap_or_default();
    let megabytes = domain.bound.memory_bytes() >> 20;
    let banner = format!(
        "\r\nSimulated sun4v domain, No Keyboard\r\nOpenBoot, {megabytes} MB memory available, \
         Serial #0.\r\nEthernet address {mac}, Host ID: {}.\r\n\r\n",
        domain.info.get("hostid").unwrap_or_default()
    );
    match domain.stays_in_openboot {
        true => format!("{banner}{{0}} ok "),
        false => format!("{banner}{}", system(&domain.name)),
    }
}
