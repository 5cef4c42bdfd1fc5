//! `virNetworkUpdate`: one entry of a network comes, goes or changes.

use virt_error::{Code, Error, Origin, Result};
use virt_types::api;

use super::{DhcpHost, DhcpRange, DnsHost, ForwardDev, Network, NetworkIp, Portgroup, Srv, Txt};
use crate::schema::{Body, ParseFlags, explain};

/// What is asked for, in the numbers of the public API.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    pub command: u32,
    pub section: u32,
    /// Which of several parents is meant; negative: the first that fits.
    pub parent_index: i32,
    /// The entry.
    pub xml: &'a str,
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

impl Network {
    /// Changes one entry. What fails may have left something behind: the caller changes a copy.
    pub fn update(&mut self, update: &Update<'_>) -> Result<()> {
        let name = self.name.clone();
        change(self, &Edit { network: &name, command: Command::of(update.command), update })
    }
}

fn change(network: &mut Network, edit: &Edit<'_>) -> Result<()> {
    let (name, update) = (edit.network, edit.update);
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
        explain::reading(self.update.xml, Origin::Network, |tree| {
            if tree.name != tag {
                let detail = format!(
                    "unexpected element <{}>, expecting <{tag}>, while updating network '{}'",
                    tree.name, self.network
                );
                return Err(Error::new(Code::XmlError, Origin::Network, detail));
            }
            T::read(tree, ParseFlags::default())
        })
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

    /// Whether the entry is only looked for, and may say less than one that is to stay.
    fn partial(&self) -> bool {
        self.command == Command::Delete
    }

    fn cannot_modify(what: &str) -> Error {
        unsupported(format!("{what} cannot be modified, only added or deleted"))
    }

    fn unknown_command(&self) -> Error {
        let number = match self.command {
            Command::Unknown(number) => number,
            _ => 0,
        };
        unsupported(format!("unrecognized network update command code {number}"))
    }

    /// The address whose DHCP entries are meant: the one of that index, or the first with any.
    ///
    /// Compat: for ranges too libvirt speaks of hosts here.
    fn ip<'n>(&self, network: &'n mut Network) -> Result<&'n mut NetworkIp> {
        let name = self.network;
        let missing = |place: &str| {
            invalid(format!(
                "couldn't update dhcp host entry - no <ip> element found {place}in network '{name}'"
            ))
        };
        if let Ok(at) = usize::try_from(self.update.parent_index) {
            let place = format!("at index {at} ");
            return network.ips.get_mut(at).ok_or_else(|| missing(&place));
        }
        let has_any = |ip: &NetworkIp| {
            ip.dhcp.as_ref().is_some_and(|dhcp| !dhcp.ranges.is_empty() || !dhcp.hosts.is_empty())
        };
        let at = network.ips.iter().position(has_any);
        let at = at.or_else(|| network.ips.iter().position(|ip| !ip.is_v6()));
        at.and_then(|at| network.ips.get_mut(at)).ok_or_else(|| missing(""))
    }

    fn dhcp_host(&self, network: &mut Network) -> Result<()> {
        let name = self.network;
        let new: DhcpHost = self.read("host")?;
        let ip = self.ip(network)?;
        let v6 = ip.is_v6();
        new.check(v6, self.partial(), name)?;
        if !self.partial() && new.ip.as_ref().is_some_and(|ip| ip.contains(':') != v6) {
            let what = "the address family of a host entry IP must match the address family of the dhcp \
                        element's parent";
            return Err(invalid(what.to_owned()));
        }
        let dhcp = ip.dhcp.get_or_insert_default();
        let same = |a: &Option<String>, b: &Option<String>| {
            a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let word =
            |text: &Option<String>, none: &str| text.clone().unwrap_or_else(|| none.to_owned());
        let (host, ip) = (word(&new.name, "(null)"), word(&new.ip, "(null)"));
        match self.command {
            Command::Modify => {
                let known = dhcp.hosts.iter_mut().find(|known| {
                    same(&known.mac, &new.mac)
                        || same(&known.name, &new.name)
                        || same(&known.ip, &new.ip)
                });
                let Some(known) = known else {
                    let mac = word(&new.mac, "unknown");
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
                    let mac = word(&new.mac, "unknown");
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

    fn dhcp_range(&self, network: &mut Network) -> Result<()> {
        let name = self.network;
        let new: DhcpRange = self.read("range")?;
        let ip = self.ip(network)?;
        if self.command == Command::Modify {
            return Err(Self::cannot_modify("dhcp ranges"));
        }
        new.check(ip, name)?;
        let dhcp = ip.dhcp.get_or_insert_default();
        let at = dhcp.ranges.iter().position(|r| r.start == new.start && r.end == new.end);
        match self.command {
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
            Command::Modify | Command::Unknown(_) => Err(self.unknown_command()),
        }
    }

    fn forward_interface(&self, network: &mut Network) -> Result<()> {
        let name = self.network;
        let new: ForwardDev = self.read("interface")?;
        let forward = network.forward.get_or_insert_default();
        let list = &mut forward.interfaces;
        let dev = new.dev.clone();
        let at = list.iter().position(|known| known.dev == dev);
        match (self.command, at) {
            (Command::Modify, _) => return Err(Self::cannot_modify("forward interface entries")),
            (Command::Unknown(_), _) => return Err(self.unknown_command()),
            (Command::Delete, Some(at)) => drop(list.remove(at)),
            (Command::Delete, None) => {
                return Err(invalid(format!(
                    "couldn't find an interface entry in network '{name}' matching \
                     <interface dev='{dev}'>"
                )));
            }
            (_, Some(_)) => {
                return Err(invalid(format!(
                    "there is an existing interface entry in network '{name}' that matches \
                     \"<interface dev='{dev}'>\""
                )));
            }
            (_, None) => self.add(list, new),
        }
        // The document names the first of them once more.
        forward.dev = forward.interfaces.first().map(|first| first.dev.clone());
        Ok(())
    }

    fn portgroup(&self, network: &mut Network) -> Result<()> {
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

    /// The place of the one entry that fits; several are too many.
    fn only<T>(&self, list: &[T], what: &str, fits: impl Fn(&T) -> bool) -> Result<usize> {
        let name = self.network;
        let mut found = list.iter().enumerate().filter(|(_, known)| fits(known));
        match (found.next(), found.next()) {
            (Some((at, _)), None) => Ok(at),
            (None, _) => {
                Err(invalid(format!("couldn't locate a matching {what} record in network {name}")))
            }
            (Some(_), Some(_)) => Err(invalid(format!(
                "multiple {what} records matching all specified fields were found in network {name}"
            ))),
        }
    }

    fn dns_host(&self, network: &mut Network) -> Result<()> {
        let new: DnsHost = self.read("host")?;
        let name = self.network;
        new.check(self.partial(), name)?;
        let hosts = &mut network.dns.get_or_insert_default().hosts;
        let same_ip = |known: &DnsHost| known.ip == new.ip;
        let shares = |known: &DnsHost| known.hostnames.iter().any(|n| new.hostnames.contains(n));
        match self.command {
            Command::Unknown(_) => return Err(self.unknown_command()),
            Command::Delete => {
                let at = self.only(hosts, "DNS HOST", |known| same_ip(known) || shares(known))?;
                hosts.remove(at);
            }
            Command::Modify => {
                let at = self.only(hosts, "DNS HOST", same_ip)?;
                hosts.splice(at..=at, [new]);
            }
            _ if hosts.iter().any(same_ip) => {
                return Err(invalid(format!(
                    "there is already at least one DNS HOST record with a matching field in network {name}"
                )));
            }
            _ => self.add(hosts, new),
        }
        Ok(())
    }

    fn dns_txt(&self, network: &mut Network) -> Result<()> {
        let new: Txt = self.read("txt")?;
        let name = self.network;
        new.check(!self.adds(), name)?;
        let txts = &mut network.dns.get_or_insert_default().txts;
        let same = |known: &Txt| known.name == new.name;
        match self.command {
            Command::Unknown(_) => return Err(self.unknown_command()),
            Command::Delete => drop(txts.remove(self.only(txts, "DNS TXT", same)?)),
            Command::Modify => {
                let at = self.only(txts, "DNS TXT", same)?;
                if new.value.is_none() {
                    let what = "missing value of modifying DNS TXT record in network";
                    return Err(invalid(format!("{what} {name}")));
                }
                txts.splice(at..=at, [new]);
            }
            _ if txts.iter().any(same) => {
                return Err(invalid(format!(
                    "there is already a DNS TXT record with name '{}' in network {name}",
                    new.name
                )));
            }
            _ => self.add(txts, new),
        }
        Ok(())
    }

    fn dns_srv(&self, network: &mut Network) -> Result<()> {
        if self.command == Command::Modify {
            return Err(Self::cannot_modify("DNS SRV records"));
        }
        let new: Srv = self.read("srv")?;
        let name = self.network;
        new.check(self.partial(), name)?;
        let srvs = &mut network.dns.get_or_insert_default().srvs;
        let is = |known: &String, given: &String| given.is_empty() || known == given;
        let fits =
            |known: &Option<String>, given: &Option<String>| given.is_none() || known == given;
        let same = |known: &Srv| {
            is(&known.service, &new.service)
                && is(&known.protocol, &new.protocol)
                && fits(&known.domain, &new.domain)
                && fits(&known.target, &new.target)
        };
        match self.command {
            Command::Delete => drop(srvs.remove(self.only(srvs, "DNS SRV", same)?)),
            Command::AddFirst | Command::AddLast if srvs.iter().any(same) => {
                return Err(invalid(format!(
                    "there is already at least one DNS SRV record matching all specified fields in network {name}"
                )));
            }
            Command::AddFirst | Command::AddLast => self.add(srvs, new),
            Command::Modify | Command::Unknown(_) => return Err(self.unknown_command()),
        }
        Ok(())
    }
}
