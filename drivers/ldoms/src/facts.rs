//! What a list says about a domain.

use virt_types::{Uuid, api};

use crate::link::tls_sum;
use crate::message::{Content, parse_size};

/// Where a domain is on its way from a name to a running guest.
///
/// ```text
/// inactive ⇄ binding/unbinding ⇄ bound ⇄ starting/stopping ⇄ active
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Inactive,
    Binding,
    Unbinding,
    Bound,
    Starting,
    Active,
    Stopping,
    Suspended,
    /// Said in a word that nobody knows, or not said.
    Unknown,
}

impl State {
    fn of(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "inactive" => Self::Inactive,
            "binding" => Self::Binding,
            "unbinding" => Self::Unbinding,
            "bound" => Self::Bound,
            "starting" => Self::Starting,
            "active" => Self::Active,
            "stopping" => Self::Stopping,
            "suspended" => Self::Suspended,
            _ => Self::Unknown,
        }
    }

    /// Whether the guest runs.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Active | Self::Stopping | Self::Suspended)
    }

    /// Whether resources are bound to it.
    pub(crate) fn is_bound(self) -> bool {
        self.is_active() || self == Self::Bound
    }

    /// `virDomainState`.
    pub(crate) fn public(self) -> i32 {
        match self {
            Self::Starting | Self::Active => api::DOMAIN_RUNNING,
            Self::Stopping => api::DOMAIN_SHUTDOWN,
            Self::Suspended => api::DOMAIN_PAUSED,
            Self::Inactive | Self::Binding | Self::Unbinding | Self::Bound => api::DOMAIN_SHUTOFF,
            Self::Unknown => api::DOMAIN_NOSTATE,
        }
    }

    pub(crate) fn reason(self) -> i32 {
        match self {
            Self::Starting | Self::Active => api::DOMAIN_RUNNING_BOOTED,
            Self::Stopping => api::DOMAIN_SHUTDOWN_USER,
            Self::Suspended => api::DOMAIN_PAUSED_MIGRATION,
            _ => 0,
        }
    }
}

/// A domain as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// The driver's own number: the protocol has none.
    pub(crate) id: i32,
    pub(crate) state: State,
    /// Whether it is the domain that the manager itself runs in.
    pub(crate) control: bool,
    /// Whether changes wait for its restart.
    pub(crate) delayed: bool,
    pub(crate) vcpus: u32,
    pub(crate) memory_kib: u64,
}

impl Facts {
    /// Reads them from a list's entry. `seed` makes UUIDs for managers that know none.
    pub(crate) fn of(content: &Content, seed: &str, id: i32) -> Self {
        let info = content.first("ldom_info");
        let uuid = info.and_then(|info| info.uuid.as_deref()).and_then(Uuid::parse);
        Self {
            name: content.id.clone(),
            uuid: uuid.unwrap_or_else(|| made_uuid(seed, &content.id)),
            id,
            state: State::of(content.property("state").unwrap_or_default()),
            control: is_control(content),
            delayed: flags(content).any(|flag| flag.starts_with("delayed")),
            vcpus: vcpus(content),
            memory_kib: memory_kib(content),
        }
    }

    /// The id of a running domain; -1 for others.
    pub(crate) fn public_id(&self) -> i32 {
        if self.state.is_active() { self.id } else { -1 }
    }

    pub(crate) fn to_ref(&self) -> virt_types::DomainRef {
        let name = self.name.as_str().into();
        virt_types::DomainRef { name, uuid: self.uuid, id: self.public_id() }
    }
}

/// Compat: the control domain of every release has this name.
pub(crate) fn is_control(content: &Content) -> bool {
    content.id == "primary" || flags(content).any(|flag| flag == "control")
}

/// The words of a domain's flags.
fn flags(content: &Content) -> impl Iterator<Item = &str> {
    content.property("flags").unwrap_or_default().split(',').map(str::trim)
}

/// Virtual CPUs, that is strands.
pub(crate) fn vcpus(content: &Content) -> u32 {
    let counts = content.of("cpu").filter_map(|cpu| cpu.units.as_deref()?.parse::<u32>().ok());
    counts.fold(0, u32::saturating_add)
}

/// Memory in KiB; a part of one counts whole.
pub(crate) fn memory_kib(content: &Content) -> u64 {
    let sizes = content.of("memory").filter_map(|memory| parse_size(memory.units.as_deref()?));
    sizes.fold(0, u64::saturating_add).div_ceil(1024)
}

/// The UUID of a domain whose manager gives none: the same for the same machine and name.
pub(crate) fn made_uuid(seed: &str, name: &str) -> Uuid {
    let sum = tls_sum(format!("ldoms\0{seed}\0{name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(sum).for_each(|(to, from)| *to = from);
    // RFC 9562: version 8, whose bits are the maker's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_uuids_stay_the_same_and_differ() {
        let uuid = made_uuid("00:14:4f:00:00:01", "web1");
        assert_eq!(uuid, made_uuid("00:14:4f:00:00:01", "web1"));
        assert_ne!(uuid, made_uuid("00:14:4f:00:00:01", "web2"));
        assert_ne!(uuid, made_uuid("00:14:4f:00:00:02", "web1"));
    }

    #[test]
    fn states_are_libvirts() {
        for (text, state, active) in [
            ("active", api::DOMAIN_RUNNING, true),
            ("Starting", api::DOMAIN_RUNNING, true),
            ("stopping", api::DOMAIN_SHUTDOWN, true),
            ("bound", api::DOMAIN_SHUTOFF, false),
            ("inactive", api::DOMAIN_SHUTOFF, false),
            ("suspended", api::DOMAIN_PAUSED, true),
            ("hibernating", api::DOMAIN_NOSTATE, false),
        ] {
            let found = State::of(text);
            assert_eq!((found.public(), found.is_active()), (state, active), "{text}");
        }
    }
}
