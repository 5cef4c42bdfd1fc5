//! Names that only the connection or the file system knows, for completion.

use virt_cli::Values;
use virt_types::api;

use crate::shell::Shell;

/// Names of the wanted kind that begin with what was typed; none where they cannot be had.
pub(crate) fn objects(shell: &mut Shell, values: Values, typed: &str) -> Vec<String> {
    let names = match values {
        Values::File => files(typed),
        Values::Object(kind) => names(shell, kind).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut fitting: Vec<String> =
        names.into_iter().filter(|name| name.starts_with(typed)).collect();
    fitting.sort_unstable();
    fitting
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

fn names(shell: &mut Shell, kind: &str) -> Option<Vec<String>> {
    let connection = shell.connection().ok()?;
    let names = match kind {
        "domain" | "active domain" | "inactive domain" => {
            let flags = match kind {
                "active domain" => api::CONNECT_LIST_DOMAINS_ACTIVE,
                "inactive domain" => api::CONNECT_LIST_DOMAINS_INACTIVE,
                _ => 0,
            };
            let list = connection.connect_list_all_domains(flags).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "network" => {
            let list = connection.connect_list_all_networks(0).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "pool" => {
            let list = connection.connect_list_all_storage_pools(0).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "interface" => {
            let list = connection.connect_list_all_interfaces(0).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "device" => {
            let list = connection.connect_list_all_node_devices(0).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        "secret" => {
            let list = connection.connect_list_all_secrets(0).ok()?;
            list.iter().map(|object| object.uuid.to_string()).collect()
        }
        "nwfilter" => {
            let list = connection.connect_list_all_nwfilters(0).ok()?;
            list.iter().map(|object| object.name.to_string()).collect()
        }
        _ => return None,
    };
    Some(names)
}
