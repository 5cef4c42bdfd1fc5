//! The machine and its domains, as data: what is wanted, what is bound, in which state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::console::Consoles;
use crate::message::Item;
use crate::profile::Profile;

/// The domain that the manager runs in.
pub(crate) const CONTROL: &str = "primary";

/// The states of a domain.
///
/// ```text
/// add → inactive → binding → bound → starting → active
///           ↑ unbinding ←———— ↑ ←———— stopping ←———┘   remove: from inactive only
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Inactive,
    Binding,
    Bound,
    Starting,
    Active,
    Stopping,
    Unbinding,
    /// Only inside a migration.
    Suspended,
}

impl State {
    pub(crate) const NAMES: &[(State, &'static str)] = &[
        (State::Inactive, "inactive"),
        (State::Binding, "binding"),
        (State::Bound, "bound"),
        (State::Starting, "starting"),
        (State::Active, "active"),
        (State::Stopping, "stopping"),
        (State::Unbinding, "unbinding"),
        (State::Suspended, "suspended"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("inactive", |(_, name)| name)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(state, _)| *state)
    }

    /// What a manager that was restarted makes of it: no change goes on without it.
    pub(crate) fn settled(self) -> Self {
        match self {
            Self::Binding | Self::Unbinding => Self::Inactive,
            Self::Starting | Self::Suspended => Self::Active,
            Self::Stopping => Self::Bound,
            settled => settled,
        }
    }

    pub(crate) fn is_settled(self) -> bool {
        self.settled() == self
    }

    /// Whether a domain in this state holds resources of the machine.
    pub(crate) fn holds(self) -> bool {
        !matches!(self, Self::Inactive | Self::Binding)
    }

    /// Whether a guest runs.
    pub(crate) fn runs(self) -> bool {
        matches!(self, Self::Active | Self::Stopping | Self::Suspended)
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) vcpus: u32,
    /// Whole cores: then the number of strands follows.
    pub(crate) cores: Option<u32>,
    pub(crate) maus: u32,
    pub(crate) memory_bytes: u64,
    /// Disks, networks, variables, devices, services with their volumes, the console, policies.
    pub(crate) items: Vec<Item>,
}

impl Wanted {
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }

    /// Where an item stands that is named `name` by its property `key`.
    pub(crate) fn position(&self, kind: &str, key: &str, name: &str) -> Option<usize> {
        let found = |item: &Item| item.kind == kind && item.get(key) == Some(name);
        self.items.iter().position(found)
    }

    /// Whether the domain serves others.
    pub(crate) fn serves(&self) -> bool {
        self.items.iter().any(|item| matches!(item.kind.as_str(), "vds" | "vsw" | "vcc"))
    }
}

/// A piece of memory: real address in the domain, physical address in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) real: u64,
    pub(crate) physical: u64,
    pub(crate) bytes: u64,
}

/// What a domain has of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) strands: Vec<u32>,
    pub(crate) maus: Vec<u32>,
    pub(crate) memory: Vec<Block>,
    pub(crate) port: Option<u16>,
}

impl Bound {
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.iter().map(|block| block.bytes).sum()
    }
}

/// Changes that wait for the domain's next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) wanted: Wanted,
    /// A virtual device was removed: this cannot be cancelled.
    pub(crate) is_final: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    /// The domain's place in lists, and its file's name.
    pub(crate) number: u64,
    pub(crate) name: String,
    /// `ldom_info`: identifier, address and policies.
    pub(crate) info: Item,
    pub(crate) state: State,
    pub(crate) wanted: Wanted,
    pub(crate) pending: Option<Pending>,
    pub(crate) bound: Bound,
    /// Seconds since 1970; 0 while it does not run.
    pub(crate) started_s: u64,
    /// The guest stays in OpenBoot until told otherwise.
    pub(crate) stays_in_openboot: bool,
}

impl Domain {
    pub(crate) fn new(number: u64, name: &str) -> Self {
        Self {
            number,
            name: name.to_owned(),
            info: Item::new("ldom_info"),
            state: State::Inactive,
            wanted: Wanted::default(),
            pending: None,
            bound: Bound::default(),
            started_s: 0,
            stays_in_openboot: false,
        }
    }

    pub(crate) fn is_control(&self) -> bool {
        self.name == CONTROL
    }

    /// What changes go to: what waits, if something does.
    pub(crate) fn target(&mut self) -> &mut Wanted {
        match &mut self.pending {
            Some(pending) => &mut pending.wanted,
            None => &mut self.wanted,
        }
    }

    /// What was asked for, changes that wait included.
    pub(crate) fn asked(&self) -> &Wanted {
        self.pending.as_ref().map_or(&self.wanted, |pending| &pending.wanted)
    }

    pub(crate) fn uptime_s(&self) -> u64 {
        match self.started_s {
            0 => 0,
            started => now_s().saturating_sub(started),
        }
    }

    /// The group that the domain's console is in.
    pub(crate) fn console_group(&self) -> &str {
        let console = self.wanted.of_kind("console").next();
        console.and_then(|console| console.get("group")).unwrap_or(&self.name)
    }
}

/// What the simulated machine has.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    pub(crate) strands: u32,
    pub(crate) threads_per_core: u32,
    pub(crate) memory_bytes: u64,
}

impl Hardware {
    pub(crate) fn cores(&self) -> u32 {
        self.strands / self.threads_per_core.max(1)
    }
}

/// Everything the manager manages.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) profile: Profile,
    pub(crate) hardware: Hardware,
    /// In the order they were added; the control domain is the first.
    pub(crate) domains: Vec<Domain>,
    /// Saved configurations, and which of them is current.
    pub(crate) spconfigs: Vec<String>,
    pub(crate) spconfig: String,
    pub(crate) next_number: u64,
    pub(crate) next_mac: u32,
    pub(crate) consoles: Arc<Consoles>,
    /// Domains by number that differ from what is on disk.
    pub(crate) changed: BTreeSet<u64>,
    pub(crate) removed: BTreeSet<u64>,
}

impl Machine {
    pub(crate) fn domain(&self, name: &str) -> Result<&Domain, String> {
        let found = self.domains.iter().find(|domain| domain.name == name);
        found.ok_or_else(|| no_domain(name))
    }

    /// The domain, for changing it.
    pub(crate) fn domain_mut(&mut self, name: &str) -> Result<&mut Domain, String> {
        let found = self.domains.iter_mut().find(|domain| domain.name == name);
        let domain = found.ok_or_else(|| no_domain(name))?;
        self.changed.insert(domain.number);
        Ok(domain)
    }

    /// The domain, if nothing is under way that changes it.
    pub(crate) fn settled_mut(&mut self, name: &str) -> Result<&mut Domain, String> {
        let domain = self.domain_mut(name)?;
        if domain.state.is_settled() {
            return Ok(domain);
        }
        Err(format!("LDom \"{name}\" is busy, it is in the {} state", domain.state.name()))
    }

    /// The domain that has a service of this type and name, and the service.
    pub(crate) fn service(&self, kind: &str, name: &str) -> Option<(&Domain, &Item)> {
        self.domains.iter().find_map(|domain| {
            let wanted = domain.asked();
            let at = wanted.position(kind, "service_name", name)?;
            Some((domain, wanted.items.get(at)?))
        })
    }

    /// The names of the domains that use a service, or one volume of it.
    pub(crate) fn users<'a>(
        &'a self,
        kind: &'a str,
        service: &'a str,
        volume: Option<&'a str>,
    ) -> impl Iterator<Item = &'a str> {
        let uses = move |item: &Item| {
            item.kind == kind
                && item.get("service_name") == Some(service)
                && (volume.is_none() || item.get("vol_name") == volume)
        };
        let domains = self.domains.iter();
        let using = domains.filter(move |domain| domain.asked().items.iter().any(uses));
        using.map(|domain| domain.name.as_str())
    }

    /// The next address of the pool for addresses chosen by the manager.
    pub(crate) fn new_mac(&mut self) -> String {
        loop {
            let [high, middle, low, _] = (self.next_mac << 8).to_be_bytes();
            self.next_mac = self.next_mac.wrapping_add(1) & 0x03_ffff;
            let mac = format!("00:14:4f:{:02x}:{middle:02x}:{low:02x}", 0xf8 | high & 3);
            if !self.has_mac(&mac) {
                return mac;
            }
        }
    }

    pub(crate) fn has_mac(&self, mac: &str) -> bool {
        let is =
            |item: &Item| item.address.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(mac));
        self.domains.iter().any(|domain| is(&domain.info) || domain.asked().items.iter().any(is))
    }
}

/// The words of every refusal of an unknown name.
pub(crate) fn no_domain(name: &str) -> String {
    format!("LDom \"{name}\" does not exist")
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The host identifier that goes with an address: `84` and its last three bytes.
pub(crate) fn hostid(mac: &str) -> String {
    let hex: String = mac.chars().filter(char::is_ascii_hexdigit).collect();
    format!("84{}", hex.get(hex.len().saturating_sub(6)..).unwrap_or_default().to_ascii_lowercase())
}
