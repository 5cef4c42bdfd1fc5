//! Entries of networks that come, go and change.

use virt_error::{Error, Origin};
use virt_model::network::{Network, Update};
use virt_model::{Document, ParseFlags, PrintFlags};
use virt_types::api;

use super::outcome;
use crate::{Case, Check, Suite};

pub(super) fn update(suite: &Suite, case: &Case) -> Vec<Check> {
    let odd = |what: String| Error::internal(Origin::None, what);
    let make = || {
        let mut network =
            Network::parse(&suite.input(case, 0).map_err(odd)?, ParseFlags::default())?;
        let entry = suite.input(case, 1).map_err(odd)?;
        let command = number(COMMANDS, case.column("command"))?;
        let section = number(SECTIONS, case.column("section"))?;
        let parent_index = case.column("parent_index").parse().unwrap_or(-1);
        network.update(&Update { command, section, parent_index, xml: &entry })?;
        Ok(network.to_xml(PrintFlags::default()))
    };
    outcome(suite, case, make())
}

const COMMANDS: &[(&str, i32)] = &[
    ("COMMAND_MODIFY", api::NETWORK_UPDATE_COMMAND_MODIFY),
    ("COMMAND_DELETE", api::NETWORK_UPDATE_COMMAND_DELETE),
    ("COMMAND_ADD_LAST", api::NETWORK_UPDATE_COMMAND_ADD_LAST),
    ("COMMAND_ADD_FIRST", api::NETWORK_UPDATE_COMMAND_ADD_FIRST),
];

const SECTIONS: &[(&str, i32)] = &[
    ("SECTION_BRIDGE", api::NETWORK_SECTION_BRIDGE),
    ("SECTION_DOMAIN", api::NETWORK_SECTION_DOMAIN),
    ("SECTION_IP", api::NETWORK_SECTION_IP),
    ("SECTION_IP_DHCP_HOST", api::NETWORK_SECTION_IP_DHCP_HOST),
    ("SECTION_IP_DHCP_RANGE", api::NETWORK_SECTION_IP_DHCP_RANGE),
    ("SECTION_FORWARD", api::NETWORK_SECTION_FORWARD),
    ("SECTION_FORWARD_INTERFACE", api::NETWORK_SECTION_FORWARD_INTERFACE),
    ("SECTION_FORWARD_PF", api::NETWORK_SECTION_FORWARD_PF),
    ("SECTION_PORTGROUP", api::NETWORK_SECTION_PORTGROUP),
    ("SECTION_DNS_HOST", api::NETWORK_SECTION_DNS_HOST),
    ("SECTION_DNS_TXT", api::NETWORK_SECTION_DNS_TXT),
    ("SECTION_DNS_SRV", api::NETWORK_SECTION_DNS_SRV),
];

/// The number of a constant, which the corpus names in full.
fn number(names: &[(&str, i32)], name: &str) -> virt_error::Result<u32> {
    let found = names.iter().find(|(known, _)| name.ends_with(&format!("_{known}")));
    let number = found.and_then(|(_, number)| u32::try_from(*number).ok());
    number.ok_or_else(|| Error::internal(Origin::None, format!("unknown constant {name}")))
}
