//! The domains of the daemon, as `xm` looks at them.

use virt_driver::{Connection, Registry};
use virt_types::{DomainInfo, DomainRef, api};

use crate::Failure;
use crate::options::Options;

/// A domain, and what there is to be seen of it.
pub(crate) struct Seen {
    pub(crate) dom: DomainRef,
    pub(crate) info: DomainInfo,
}

pub(crate) fn connect(options: &Options) -> Result<Connection, Failure> {
    let settings =
        driver_remote::Settings { keepalive_interval_s: 5, keepalive_count: 6, ask: None };
    let registry = Registry::new().with(driver_remote::opener(settings));
    Ok(registry.open(Some(&options.uri), false)?)
}

/// By name, number or UUID.
pub(crate) fn find(connection: &Connection, word: &str) -> Result<DomainRef, Failure> {
    if let Ok(id) = word.parse()
        && let Ok(dom) = connection.domain_lookup_by_id(id)
    {
        return Ok(dom);
    }
    if let Some(uuid) = virt_types::Uuid::parse(word) {
        return Ok(connection.domain_lookup_by_uuid(&uuid)?);
    }
    Ok(connection.domain_lookup_by_name(word)?)
}

/// All of them, or those that run; one that goes meanwhile is left out.
pub(crate) fn all(connection: &Connection, active: bool) -> Result<Vec<Seen>, Failure> {
    let flags = if active { api::CONNECT_LIST_DOMAINS_ACTIVE } else { 0 };
    let doms = connection.connect_list_all_domains(flags)?;
    let seen = |dom: DomainRef| {
        let info = connection.domain_get_info(&dom).ok()?;
        Some(Seen { dom, info })
    };
    Ok(doms.into_iter().filter_map(seen).collect())
}

/// `rbpscd`, each at its place; a domain that does not run has none.
pub(crate) fn letters(state: u8) -> String {
    let place = match i32::from(state) {
        api::DOMAIN_RUNNING => 0,
        api::DOMAIN_BLOCKED => 1,
        api::DOMAIN_PAUSED => 2,
        api::DOMAIN_SHUTDOWN => 3,
        api::DOMAIN_CRASHED => 4,
        _ => return String::new(),
    };
    "rbpscd"
        .chars()
        .enumerate()
        .map(|(at, letter)| if at == place { letter } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_letter_and_place() {
        assert_eq!(letters(1), "r-----");
        assert_eq!(letters(2), "-b----");
        assert_eq!(letters(6), "----c-");
        assert_eq!(letters(5), "");
    }
}
