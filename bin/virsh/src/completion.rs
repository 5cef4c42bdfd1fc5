//! Names that only the connection or the file system knows: for completion, and for hints.

use virt_cli::{Ask, Values};
use virt_driver::Connection;
use virt_types::{DomainRef, StoragePoolRef, api};

use crate::shell::Shell;
use crate::xml;

/// What is asked for and begins with what was typed; nothing where it cannot be had.
pub(crate) fn objects(shell: &mut Shell, ask: &Ask) -> Option<Vec<String>> {
    let names = match ask.values {
        Values::File => files(&ask.typed),
        Values::Object(kind) => names(shell, kind, &ask.others)?,
        _ => return None,
    };
    let mut fitting: Vec<String> =
        names.into_iter().filter(|name| name.starts_with(&ask.typed)).collect();
    fitting.sort_unstable();
    Some(fitting)
}

fn files(typed: &str) -> Vec<String> {
    let (folder, _) = typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
    let place = match (folder, typed.starts_with('/')) {
        ("", true) => "/",
        ("", false) => ".",
        (folder, _) => folder,
    };
    let prefix = if typed.contains('/') { format!("{folder}/") } else { String::new() };
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| format!("{prefix}{}", entry.file_name().to_string_lossy()))
        .collect()
}

/// What was typed for other options of the command.
type Others = [(&'static str, String)];

/// The names of all objects of a kind, in what other options name where the kind needs it.
fn names(shell: &mut Shell, kind: &str, others: &Others) -> Option<Vec<String>> {
    let connection = shell.connection().ok()?;
    macro_rules! listed {
        ($list:ident($($arg:expr),*), $field:ident) => {
            connection.$list($($arg,)* 0).ok()?.iter().map(|found| found.$field.to_string()).collect()
        };
    }
    Some(match kind {
        "domain" | "active domain" | "inactive domain" => {
            let flags = match kind {
                "active domain" => api::CONNECT_LIST_DOMAINS_ACTIVE,
                "inactive domain" => api::CONNECT_LIST_DOMAINS_INACTIVE,
                _ => 0,
            };
            let list = connection.connect_list_all_domains(flags).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "network" => listed!(connect_list_all_networks(), name),
        "pool" => listed!(connect_list_all_storage_pools(), name),
        "interface" => listed!(connect_list_all_interfaces(), name),
        "device" => listed!(connect_list_all_node_devices(), name),
        "secret" => listed!(connect_list_all_secrets(), uuid),
        "nwfilter" => listed!(connect_list_all_nwfilters(), name),
        "binding" => listed!(connect_list_all_nwfilter_bindings(), portdev),
        "volume" => {
            let pool = pool(&connection, others)?;
            listed!(storage_pool_list_all_volumes(&pool), name)
        }
        "snapshot" => {
            let domain = domain(&connection, others)?;
            listed!(domain_list_all_snapshots(&domain), name)
        }
        "checkpoint" => {
            let domain = domain(&connection, others)?;
            listed!(domain_list_all_checkpoints(&domain), name)
        }
        "disk" | "nic" => {
            let domain = domain(&connection, others)?;
            let text = connection.domain_get_xml_desc(&domain, 0).ok()?;
            let root = xml::parse(&text).ok()?;
            match kind {
                "disk" => xml::disks(&root).into_iter().map(|disk| disk.target).collect(),
                _ => {
                    xml::nics(&root).into_iter().filter_map(|nic| nic.target.or(nic.mac)).collect()
                }
            }
        }
        _ => return None,
    })
}

fn typed<'a>(others: &'a Others, option: &str) -> Option<&'a str> {
    others.iter().find(|(name, _)| *name == option).map(|(_, value)| value.as_str())
}

fn domain(connection: &Connection, others: &Others) -> Option<DomainRef> {
    let text = typed(others, "domain")?;
    let by_id = text.parse().ok().and_then(|id| connection.domain_lookup_by_id(id).ok());
    by_id.or_else(|| connection.domain_lookup_by_name(text).ok())
}

/// The pool that is named, or the only one there is.
fn pool(connection: &Connection, others: &Others) -> Option<StoragePoolRef> {
    if let Some(name) = typed(others, "pool") {
        return connection.storage_pool_lookup_by_name(name).ok();
    }
    let mut pools = connection.connect_list_all_storage_pools(0).ok()?;
    if pools.len() == 1 { pools.pop() } else { None }
}
