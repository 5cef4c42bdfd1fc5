//! `virNetworkUpdate`: one entry of a network comes, goes or changes.

use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::network::Network as Definition;
use virt_model::network::{
    DhcpHost, DhcpRange, DnsHost, ForwardDev, NetworkIp, Portgroup, Srv, Txt,
};
use virt_model::schema::{Body, ParseFlags};
use virt_types::api;

use super::State;

/// What is asked for.
pub(super) struct Update<'a> {
    pub(super) command: u32,
    pub(super) section: u32,
    pub(super) parent_index: i32,
    pub(super) xml: &'a str,
}

/// Where an entry comes in, or what happens to it.
#[derive(Clone, Copy, PartialEq)]
enum Command {
    Modify,
    Delete,
    AddLast,
    AddFirst,
    Unknown(u32),
}

impl Command {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::Modify,
            2 => Self::Delete,
            3 => Self::AddLast,
            4 => Self::AddFirst,
            other => Self::Unknown(other),
        }
    }
}

fn invalid(detail: String) -> Error {
    Error::new(Code::OperationInvalid, Origin::Network, detail)
}

fn unsupported(detail: String) -> Error {
    Error::new(Code::OperationUnsupported, Origin::Network, detail)
}

/// Changes the definitions that the flags are for, all or none.
pub(super) fn apply(state: &mut State, update: &Update<'_>, flags: u32) -> Result<()> {
    let flags = state.explicit(flags)?;
    let mut stored = None;
    if flags & api::NETWORK_UPDATE_AFFECT_CONFIG != 0 {
        let mut definition = (**state.later.as_ref().unwrap_or(&state.current)).clone();
        change(&mut definition, update)?;
        stored = Some(Arc::new(definition));
    }
    if flags & api::NETWORK_UPDATE_AFFECT_LIVE != 0 {
        let mut definition = (*state.current).clone();
        change(&mut definition, update)?;
        state.current = Arc::new(definition);
    }
    if let Some(stored) = stored {
        if state.active {
            state.later = Some(stored);
        } else {
            // Compat: what was meant for later stays what the next change starts from.
            state.later.get_or_insert_with(|| Arc::clone(&state.current));
            state.current = stored;
        }
    }
    Ok(())
}

fn change(network: &mut Definition, update: &Update<'_>) -> Result<()> {
    let name = network.name.clone();
    let edit = Edit { network: &name, command: Command::of(update.command), update };
    let section = i32::try_from(update.section).unwrap_or(i32::MAX);
    let fixed =
        |what: &str| Err(unsupported(format!("can't update '{what}' section of network '{name}'")));
    match section {
        api::NETWORK_SECTION_BRIDGE => fixed("bridge"),
        api::NETWORK_SECTION_DOMAIN => fixed("domain"),
        api::NETWORK_SECTION_IP => fixed("ip"),
        api::NETWORK_SECTION_FORWARD => fixed("forward"),
        api::NETWORK_SECTION_FORWARD_PF => fixed("forward pf"),
        api::NETWORK_SECTION_IP_DHCP_HOST => edit.dhcp_host(network),
        api::NETWORK_SECTION_IP_DHCP_RANGE => edit.dhcp_range(network),
        api::NETWORK_SECTION_FORWARD_INTERFACE => edit.forward_interface(network),
        api::NETWORK_SECTION_PORTGROUP => edit.portgroup(network),
        api::NETWORK_SECTION_DNS_HOST => edit.dns_host(network),
        api::NETWORK_SECTION_DNS_TXT => edit.dns_txt(network),
        api::NETWORK_SECTION_DNS_SRV => edit.dns_srv(network),
        _ => Err(unsupported("can't update unrecognized section of network".to_owned())),
    }
}

struct Edit<'a> {
    network: &'a str,
    command: Command,
    update: &'a Update<'a>,
}

impl Edit<'_> {
    /// Reads the entry.
    fn read<T: Body>(&self, tag: &str) -> Result<T> {
        let tree = virt_xml::parse(self.update.xml)
            .map_err(|error| Error::new(Code::XmlDetail, Origin::Network, error.framed(None)))?;
        if tree.name != tag {
            let detail = format!(
                "unexpected element <{}>, expecting <{tag}>, while updating network '{}'",
                tree.name, self.network
            );
            return Err(Error::new(Code::XmlError, Origin::Network, detail));
        }
        T::read(&tree, ParseFlags::default())
    }

    /// Puts an entry at its end of a list.
    fn add<T>(&self, list: &mut Vec<T>, entry: T) {
        match self.command {
            Command::AddFirst => list.insert(0, entry),
            _ => list.push(entry),
        }
    }

    fn adds(&self) -> bool {
        matches!(self.command, Command::AddFirst | Command::AddLast)
    }

    fn cannot_modify(&self, what: &str) -> Error {
        unsupported(format!(
            "{what} entries cannot be modified, only added or deleted in network '{}'",
            self.network
        ))
    }

    fn unknown_command(&self) -> Error {
        let number = match self.command {
            Command::Unknown(number) => number,
            _ => 0,
        };
        unsupported(format!("unrecognized network update command code {number}"))
    }

    /// The address whose DHCP entries are meant: the one of that index, or the first with any.
    fn ip<'n>(&self, network: &'n mut Definition, what: &str) -> Result<&'n mut NetworkIp> {
        let name = self.network;
        if let Ok(at) = usize::try_from(self.update.parent_index) {
            return network.ips.get_mut(at).ok_or_else(|| {
                invalid(format!(
                    "couldn't update {what} entry - no <ip> element found at index {at} in \
                     network '{name}'"
                ))
            });
        }
        let has_any = |ip: &NetworkIp| {
            ip.dhcp.as_ref().is_some_and(|dhcp| !dhcp.ranges.is_empty() || !dhcp.hosts.is_empty())
        };
        let is_v4 = |ip: &NetworkIp| matches!(ip.family.as_deref(), None | Some("ipv4"));
        let at = network.ips.iter().position(has_any);
        let at = at.or_else(|| network.ips.iter().position(is_v4));
        at.and_then(|at| network.ips.get_mut(at)).ok_or_else(|| {
            invalid(format!(
                "couldn't update {what} entry - no <ip> element found in network '{name}'"
            ))
        })
    }

    fn dhcp_host(&self, network: &mut Definition) -> Result<()> {
        let name = self.network;
        let new: DhcpHost = self.read_host()?;
        let dhcp = self.ip(network, "dhcp host")?.dhcp.get_or_insert_default();
        let same = |a: &Option<String>, b: &Option<String>| {
            a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "(null)".to_owned());
        let (mac, host, ip) = (word(&new.mac), word(&new.name), word(&new.ip));
        match self.command {
            Command::Modify => {
                let known = dhcp.hosts.iter_mut().find(|known| {
                    same(&known.mac, &new.mac)
                        || same(&known.name, &new.name)
                        || same(&known.ip, &new.ip)
                });
                let Some(known) = known else {
                    return Err(invalid(format!(
                        "couldn't locate an existing dhcp host entry with \"mac='{mac}'\" \
                         \"name='{host}'\" \"ip='{ip}'\" in network '{name}'"
                    )));
                };
                *known = new;
            }
            Command::AddFirst | Command::AddLast => {
                let taken = dhcp.hosts.iter().any(|known| {
                    same(&known.mac, &new.mac)
                        || same(&known.ip, &new.ip)
                        || new.mac.is_none() && same(&known.name, &new.name)
                });
                if taken {
                    return Err(invalid(format!(
                        "there is an existing dhcp host entry in network '{name}' that matches \
                         \"<host mac='{mac}' name='{host}' ip='{ip}'/>\""
                    )));
                }
                self.add(&mut dhcp.hosts, new);
            }
            Command::Delete => {
                let fits = |given: &Option<String>, known: &Option<String>| {
                    given.is_none() || same(given, known)
                };
                let at = dhcp.hosts.iter().position(|known| {
                    fits(&new.mac, &known.mac)
                        && fits(&new.name, &known.name)
                        && fits(&new.ip, &known.ip)
                });
                let missing = || {
                    invalid(format!(
                        "couldn't locate a matching dhcp host entry in network '{name}'"
                    ))
                };
                dhcp.hosts.remove(at.ok_or_else(missing)?);
            }
            Command::Unknown(_) => return Err(self.unknown_command()),
        }
        Ok(())
    }

    /// A host must say who it is; one that is only looked for needs no more.
    fn read_host(&self) -> Result<DhcpHost> {
        let host: DhcpHost = self.read("host")?;
        let name = self.network;
        let refused = |detail| Err(Error::new(Code::XmlError, Origin::Network, detail));
        if host.mac.is_none() && host.name.is_none() && host.id.is_none() {
            return refused(format!(
                "Static host definition in IPv4 network '{name}' must have mac or name attribute"
            ));
        }
        if host.ip.is_none() && host.name.is_none() && self.command != Command::Delete {
            return refused(format!(
                "Missing IP address in static host definition for network '{name}'"
            ));
        }
        Ok(host)
    }

    fn dhcp_range(&self, network: &mut Definition) -> Result<()> {
        let name = self.network;
        let new: DhcpRange = self.read("range")?;
        let dhcp = self.ip(network, "dhcp range")?.dhcp.get_or_insert_default();
        let at = dhcp.ranges.iter().position(|r| r.start == new.start && r.end == new.end);
        match self.command {
            Command::Modify => Err(unsupported(format!(
                "dhcp ranges cannot be modified, only added or deleted in network '{name}'"
            ))),
            Command::AddFirst | Command::AddLast if at.is_some() => Err(invalid(format!(
                "there is an existing dhcp range entry in network '{name}' that matches \
                 \"<range start='{}' end='{}'/>\"",
                new.start, new.end
            ))),
            Command::AddFirst | Command::AddLast => {
                self.add(&mut dhcp.ranges, new);
                Ok(())
            }
            Command::Delete => match at {
                Some(at) => {
                    dhcp.ranges.remove(at);
                    Ok(())
                }
                None => Err(invalid(format!(
                    "couldn't locate a matching dhcp range entry in network '{name}'"
                ))),
            },
            Command::Unknown(_) => Err(self.unknown_command()),
        }
    }

    fn forward_interface(&self, network: &mut Definition) -> Result<()> {
        let name = self.network;
        let new: ForwardDev = self.read("interface")?;
        let forward = network.forward.get_or_insert_default();
        let dev = new.dev.clone();
        let at = forward.interfaces.iter().position(|known| known.dev == dev);
        match self.command {
            Command::Modify => Err(unsupported(format!(
                "forward interface entries cannot be modified, only added or deleted in network \
                 '{name}'"
            ))),
            Command::Unknown(_) => Err(self.unknown_command()),
            Command::Delete => match at {
                Some(at) => {
                    forward.interfaces.remove(at);
                    Ok(())
                }
                None => Err(invalid(format!(
                    "couldn't find an interface entry in network '{name}' matching \
                     <interface dev='{dev}'>"
                ))),
            },
            _ if at.is_some() => Err(invalid(format!(
                "there is an existing interface entry in network '{name}' that matches \
                 \"<interface dev='{dev}'>\""
            ))),
            _ => {
                self.add(&mut forward.interfaces, new);
                Ok(())
            }
        }
    }

    fn portgroup(&self, network: &mut Definition) -> Result<()> {
        let name = self.network;
        let new: Portgroup = self.read("portgroup")?;
        let group = new.name.clone();
        let list = &mut network.portgroups;
        let at = list.iter().position(|known| known.name == group);
        let other_default = list.iter().find(|known| known.default && known.name != group);
        if let Some(other) =
            other_default.filter(|_| new.default && self.command != Command::Delete)
        {
            return Err(invalid(format!(
                "a different portgroup entry in network '{name}' is already set as the default. \
                 Only one default is allowed. ('{}')",
                other.name
            )));
        }
        match (self.command, at) {
            (Command::Unknown(_), _) => Err(self.unknown_command()),
            (Command::Modify, Some(at)) => {
                if let Some(known) = list.get_mut(at) {
                    *known = new;
                }
                Ok(())
            }
            (Command::Delete, Some(at)) => {
                list.remove(at);
                Ok(())
            }
            (Command::Modify | Command::Delete, None) => Err(invalid(format!(
                "couldn't find a portgroup entry in network '{name}' matching <portgroup \
                 name='{group}'>"
            ))),
            (_, Some(_)) => Err(invalid(format!(
                "there is an existing portgroup entry in network '{name}' that matches \
                 \"<portgroup name='{group}'>\""
            ))),
            (_, None) => {
                self.add(list, new);
                Ok(())
            }
        }
    }

    /// Adds or deletes an entry of `<dns>`, which cannot be modified.
    fn dns_entry<T>(
        &self,
        (list, new): (&mut Vec<T>, T),
        what: &str,
        same: impl Fn(&T, &T) -> bool,
    ) -> Result<()> {
        let name = self.network;
        let found: Vec<usize> = (0..list.len())
            .filter(|at| list.get(*at).is_some_and(|known| same(known, &new)))
            .collect();
        match self.command {
            Command::Modify => Err(self.cannot_modify(what)),
            Command::Unknown(_) => Err(self.unknown_command()),
            Command::Delete => match found.as_slice() {
                [] => Err(invalid(format!(
                    "couldn't locate a matching {what} record in network {name}"
                ))),
                [at] => {
                    list.remove(*at);
                    Ok(())
                }
                _ => Err(invalid(format!(
                    "multiple matching {what} records were found in network {name}"
                ))),
            },
            _ if !found.is_empty() => Err(invalid(format!(
                "there is already at least one {what} record with a matching field in network \
                 {name}"
            ))),
            _ => {
                self.add(list, new);
                Ok(())
            }
        }
    }

    fn dns_host(&self, network: &mut Definition) -> Result<()> {
        let new: DnsHost = self.read("host")?;
        let adds = self.adds();
        let hosts = &mut network.dns.get_or_insert_default().hosts;
        self.dns_entry((hosts, new), "DNS HOST", |known, new| {
            let shared = known.hostnames.iter().any(|name| new.hostnames.contains(name));
            if adds { shared } else { shared || known.ip == new.ip }
        })
    }

    fn dns_txt(&self, network: &mut Definition) -> Result<()> {
        let new: Txt = self.read("txt")?;
        let txts = &mut network.dns.get_or_insert_default().txts;
        self.dns_entry((txts, new), "DNS TXT", |known, new| known.name == new.name)
    }

    fn dns_srv(&self, network: &mut Definition) -> Result<()> {
        let new: Srv = self.read("srv")?;
        let srvs = &mut network.dns.get_or_insert_default().srvs;
        self.dns_entry((srvs, new), "DNS SRV", |known, new| {
            let fits = |a: &Option<String>, b: &Option<String>| b.is_none() || a == b;
            known.service == new.service
                && known.protocol == new.protocol
                && fits(&known.domain, &new.domain)
                && fits(&known.target, &new.target)
        })
    }
}
