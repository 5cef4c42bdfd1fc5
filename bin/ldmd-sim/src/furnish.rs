//! A new machine: the control domain with its services, and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::actions::list::DEVICES;
use crate::console::Consoles;
use crate::message::Item;
use crate::model::{CONTROL, Domain, Machine, State, Wanted, hostid, now_s};
use crate::options::{ConsolePorts, Settings};

/// The address of the machine; the addresses that the manager chooses are from another pool.
const MAC: &str = "00:14:4f:00:00:01";

impl Machine {
    pub(crate) fn new(settings: &Settings) -> io::Result<Self> {
        let are_chosen = settings.console_ports == ConsolePorts::Chosen;
        let consoles = Consoles::new(settings.console_address, are_chosen)?;
        Ok(Self {
            profile: settings.profile,
            hardware: settings.hardware.clone(),
            domains: Vec::new(),
            spconfigs: vec!["factory-default".to_owned()],
            spconfig: "factory-default".to_owned(),
            next_number: 1,
            next_mac: 0,
            consoles: Arc::new(consoles),
            changed: BTreeSet::new(),
            removed: BTreeSet::new(),
        })
    }

    /// Puts the control domain there, with a service of each kind under its usual name.
    pub(crate) fn furnish(&mut self, settings: &Settings) -> Result<(), String> {
        let (min, max) = match settings.console_ports {
            ConsolePorts::Range(min, max) => (min, max),
            ConsolePorts::Chosen => (1024, u16::MAX),
        };
        let mut items = vec![
            Item::new("vds").with("service_name", "primary-vds0"),
            Item::new("vcc")
                .with("service_name", "primary-vcc0")
                .with("min_port", min.to_string())
                .with("max_port", max.to_string()),
            Item::new("vsw").with("service_name", "primary-vsw0").with("dev_path", "e1000g0"),
        ];
        if let Some(switch) = items.last_mut() {
            switch.address = Some(self.new_mac());
        }
        items.extend(DEVICES.iter().map(|device| Item::new("physio_device").with("name", *device)));
        let mut control = Domain::new(0, CONTROL);
        control.info.address = Some(MAC.to_owned());
        control.info.set("hostid", &hostid(MAC));
        if self.profile.has_uuid() {
            control.info.uuid = Some("5a1d7f90-3c20-4e0b-8f5e-0a1b2c3d4e5f".to_owned());
        }
        control.wanted = Wanted {
            vcpus: settings.control_vcpus,
            cores: None,
            maus: 1,
            memory_bytes: settings.control_memory_bytes,
            items,
        };
        self.domains.push(control);
        self.bind(CONTROL).map_err(|why| format!("the machine is too small: {why}"))?;
        let control = self.domain_mut(CONTROL)?;
        control.state = State::Active;
        control.started_s = now_s();
        Ok(())
    }

    /// Opens the ports of consoles again; another one where a port is taken by now.
    pub(crate) fn reopen(&mut self) {
        let bound =
            self.domains.iter().filter_map(|domain| Some((domain.number, domain.bound.port?)));
        let bound: Vec<(u64, u16)> = bound.collect();
        let mut opened: Vec<u16> = Vec::new();
        for (_, port) in &bound {
            if !opened.contains(port) && self.consoles.open(*port).is_ok() {
                opened.push(*port);
            }
        }
        for (number, _) in bound.into_iter().filter(|(_, port)| !opened.contains(port)) {
            let Some(at) = self.domains.iter().position(|domain| domain.number == number) else {
                continue;
            };
            let name = self.domains.get(at).map(|domain| domain.name.clone()).unwrap_or_default();
            if let Some(domain) = self.domains.get_mut(at) {
                domain.bound.port = None;
            }
            let port = self.pick_port(&name).unwrap_or(None);
            if let Some(domain) = self.domains.get_mut(at) {
                domain.bound.port = port;
                self.changed.insert(number);
            }
        }
    }
}
