//! Virtual networks.

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_error::Code;
use virt_types::{NetworkRef, Uuid, api};

use crate::clock;
use crate::commands::documents::{
    MetadataChange, check_metadata_change, metadata_change, new_text,
};
use crate::commands::edit::edit_metadata;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::{By, network, network_by};
use crate::options::{flags_of, impact};
use crate::report::cells;
use crate::shell::{Shell, extra, say, sayln};

const LIST_FLAGS: &[(&str, u32)] = &[
    ("persistent", api::CONNECT_LIST_NETWORKS_PERSISTENT),
    ("transient", api::CONNECT_LIST_NETWORKS_TRANSIENT),
    ("autostart", api::CONNECT_LIST_NETWORKS_AUTOSTART),
    ("no-autostart", api::CONNECT_LIST_NETWORKS_NO_AUTOSTART),
];

pub(crate) fn cmd_net_list(shell: &mut Shell, args: &Args) -> Done {
    let plain = [args.flag("name"), args.flag("uuid")];
    if [args.flag("table"), plain[0], plain[1]].iter().filter(|given| **given).count() > 1 {
        return fail("Only one argument from --table, --name and --uuid may be specified.");
    }
    let mut flags = flags_of(args, LIST_FLAGS);
    if !args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_NETWORKS_ACTIVE;
    }
    if args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_NETWORKS_INACTIVE;
    }
    let connection = shell.connection()?;
    let mut networks =
        connection.connect_list_all_networks(flags).during(|| "Failed to list networks")?;
    networks.sort_by_cached_key(|network| network.name.to_ascii_lowercase());
    if plain != [false; 2] && !shell.reports() {
        for network in &networks {
            match plain[0] {
                true => sayln!(shell, "{}", network.name),
                false => sayln!(shell, "{}", network.uuid),
            }
        }
        return Ok(());
    }
    let mut header = vec![
        ("Name", "name"),
        ("State", "state"),
        ("Autostart", "autostart"),
        ("Persistent", "persistent"),
    ];
    header.extend(args.flag("title").then_some(("Title", "title")));
    header.extend(shell.reports().then_some(("UUID", "uuid")));
    let mut list = shell.listing(&header);
    for network in &networks {
        let autostart = connection.network_get_autostart(network);
        let mut row = vec![
            Cell::word(&network.name),
            active_word(connection.network_is_active(network)?).into(),
            cells::yes_or(autostart, "no autostart"),
            cells::yes(connection.network_is_persistent(network)?),
        ];
        if args.flag("title") {
            let kind = api::NETWORK_METADATA_TITLE;
            let title = connection.network_get_metadata(network, kind, None, 0);
            row.push(title.unwrap_or_default().into());
        }
        row.extend(shell.reports().then(|| Cell::word(network.uuid)));
        list.row(row);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn active_word(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

pub(crate) fn cmd_net_info(shell: &mut Shell, args: &Args) -> Done {
    let found = network(shell, args)?;
    let connection = shell.connection()?;
    shell.field("Name", "name", Cell::word(&found.name));
    shell.field("UUID", "uuid", Cell::word(found.uuid));
    if let Ok(active) = connection.network_is_active(&found) {
        shell.field("Active", "active", cells::yes(active));
    }
    let persistent = connection.network_is_persistent(&found);
    shell.field("Persistent", "persistent", cells::yes_or(persistent, "unknown"));
    let autostart = connection.network_get_autostart(&found);
    shell.field("Autostart", "autostart", cells::yes_or(autostart, "no autostart"));
    if let Ok(bridge) = connection.network_get_bridge_name(&found) {
        shell.field("Bridge", "bridge", bridge);
    }
    Ok(())
}

pub(crate) fn cmd_net_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = network(shell, args)?;
    let flags = flags_of(args, &[("inactive", api::NETWORK_XML_INACTIVE)]);
    check_path(args)?;
    let text = shell.connection()?.network_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_net_name(shell: &mut Shell, args: &Args) -> Done {
    let found = network_by(shell, args, "network", By::UUID)?;
    shell.answer("name", Cell::word(&found.name));
    Ok(())
}

pub(crate) fn cmd_net_uuid(shell: &mut Shell, args: &Args) -> Done {
    let found = network_by(shell, args, "network", By::NAME)?;
    shell.answer("uuid", Cell::word(found.uuid));
    Ok(())
}

pub(crate) fn cmd_net_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let connection = shell.connection()?;
    let defined = match args.flag("validate") {
        true => connection.network_define_xml_flags(&xml, api::NETWORK_DEFINE_VALIDATE),
        false => connection.network_define_xml(&xml),
    };
    let defined = defined.during(|| format!("Failed to define network from {file}"))?;
    extra!(shell, "Network {} defined from {}", defined.name, file);
    Ok(())
}

pub(crate) fn cmd_net_create(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let connection = shell.connection()?;
    let created = match args.flag("validate") {
        true => connection.network_create_xml_flags(&xml, api::NETWORK_CREATE_VALIDATE),
        false => connection.network_create_xml(&xml),
    };
    let created = created.during(|| format!("Failed to create network from {file}"))?;
    extra!(shell, "Network {} created from {}", created.name, file);
    Ok(())
}

/// A command that is one call on a network.
fn change(
    shell: &mut Shell,
    args: &Args,
    failed: &str,
    done: &str,
    call: impl FnOnce(&Connection, &NetworkRef) -> virt_error::Result<()>,
) -> Done {
    let found = network(shell, args)?;
    let connection = shell.connection()?;
    // Compat: it is called what the caller called it.
    let name = args.needed("network")?;
    call(&connection, &found).during(|| format!("Failed to {failed} network {name}"))?;
    extra!(shell, "Network {} {}", name, done);
    Ok(())
}

pub(crate) fn cmd_net_start(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "start", "started", |connection, net| connection.network_create(net))
}

pub(crate) fn cmd_net_destroy(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "destroy", "destroyed", |connection, net| connection.network_destroy(net))
}

pub(crate) fn cmd_net_undefine(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "undefine", "has been undefined", |connection, net| {
        connection.network_undefine(net)
    })
}

pub(crate) fn cmd_net_autostart(shell: &mut Shell, args: &Args) -> Done {
    let found = network_by(shell, args, "network", By::ANY)?;
    let on = !args.flag("disable");
    let mark = if on { "mark" } else { "unmark" };
    let changed = shell.connection()?.network_set_autostart(&found, i32::from(on));
    let name = args.needed("network")?;
    changed.during(|| format!("failed to {mark} network {name} as autostarted"))?;
    extra!(shell, "Network {} {}ed as autostarted", name, mark);
    Ok(())
}

pub(crate) fn cmd_net_desc(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let (kind, what) = match args.flag("title") {
        true => (api::NETWORK_METADATA_TITLE, "title"),
        false => (api::NETWORK_METADATA_DESCRIPTION, "description"),
    };
    let found = network(shell, args)?;
    let connection = shell.connection()?;
    // Compat: what there is is asked for first, and must be had, even where it is to be replaced.
    let before = match connection.network_get_metadata(&found, kind, None, flags) {
        Err(error) if !error.is(Code::NoNetworkMetadata) => return Err(error.into()),
        before => before.unwrap_or_default(),
    };
    if let Some(text) = new_text(shell, args, ("Network", what), &before)? {
        let Some(text) = text else { return Ok(()) };
        connection
            .network_set_metadata(&found, kind, Some(&text), None, None, flags)
            .during(|| format!("Failed to set new network {what}"))?;
        shell.print_extra(format_args!("Network {what} updated successfully"));
        return Ok(());
    }
    match before.is_empty() {
        true => shell.print_extra(format_args!("No {what} for network: {}", found.name)),
        false => say!(shell, "{before}"),
    }
    shell.fact(what, before);
    Ok(())
}

pub(crate) fn cmd_net_metadata(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    check_metadata_change(args)?;
    let found = network(shell, args)?;
    let uri = Some(args.needed("uri")?);
    let change = metadata_change(args)?;
    let connection = shell.connection()?;
    let kind = api::NETWORK_METADATA_ELEMENT;
    match change {
        MetadataChange::Set { key, text } => {
            connection.network_set_metadata(&found, kind, Some(text), Some(key), uri, flags)?;
            extra!(shell, "Metadata modified");
        }
        MetadataChange::Edit { key } => {
            let now = || connection.network_get_metadata(&found, kind, uri, flags);
            let put = |xml: &str| {
                connection.network_set_metadata(&found, kind, Some(xml), Some(key), uri, flags)
            };
            edit_metadata(shell, &now, &put)?;
        }
        MetadataChange::Remove => {
            connection.network_set_metadata(&found, kind, None, None, uri, flags)?;
            extra!(shell, "Metadata removed");
        }
        MetadataChange::Show => match connection.network_get_metadata(&found, kind, uri, flags) {
            Ok(text) => shell.answer("xml", text),
            Err(error) if error.is(Code::NoNetworkMetadata) => shell.answer("xml", Cell::none("")),
            Err(error) => return Err(error.into()),
        },
    }
    Ok(())
}

/// Parts of a network's document that can be changed alone, by number.
pub(crate) const SECTIONS: &[&str] = &[
    "none",
    "bridge",
    "domain",
    "ip",
    "ip-dhcp-host",
    "ip-dhcp-range",
    "forward",
    "forward-interface",
    "forward-pf",
    "portgroup",
    "dns-host",
    "dns-txt",
    "dns-srv",
];

/// `VIR_NETWORK_UPDATE_COMMAND_ADD_LAST`.
const NETWORK_UPDATE_COMMAND_ADD_LAST: i32 = 3;

pub(crate) fn cmd_net_update(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = network(shell, args)?;
    let text = args.needed("command")?;
    let command = match text {
        "modify" => api::NETWORK_UPDATE_COMMAND_MODIFY,
        "delete" => api::NETWORK_UPDATE_COMMAND_DELETE,
        "add" | "add-last" => NETWORK_UPDATE_COMMAND_ADD_LAST,
        "add-first" => api::NETWORK_UPDATE_COMMAND_ADD_FIRST,
        _ => return fail(format!("unrecognized command name '{text}'")),
    };
    let section = args.needed("section")?;
    let Some(number) = SECTIONS.iter().position(|name| *name == section).filter(|at| *at > 0)
    else {
        return fail(format!("unrecognized section name '{section}'"));
    };
    let parent = args.number::<i32>("parent-index")?.unwrap_or(-1);
    let given = args.needed("xml")?;
    let xml = match given.starts_with('<') {
        true => given.to_owned(),
        false => read_document(given)?,
    };
    let (command, number) =
        (u32::try_from(command).unwrap_or_default(), u32::try_from(number).unwrap_or_default());
    let changed = shell.connection()?.network_update(&found, command, number, parent, &xml, flags);
    changed.during(|| format!("Failed to update network {}", found.name))?;
    let where_to = match (args.flag("config"), args.flag("live")) {
        (true, true) => "persistent config and live state",
        (true, false) => "persistent config",
        _ => "live state",
    };
    shell.print_extra(format_args!("Updated network {} {where_to}", found.name));
    Ok(())
}

pub(crate) fn cmd_net_dhcp_leases(shell: &mut Shell, args: &Args) -> Done {
    let mac = args.text("mac")?;
    let found = network(shell, args)?;
    let leases = shell.connection()?.network_get_dhcp_leases(&found, mac, 0).during(|| {
        format!("Failed to get leases info for {}", args.raw_text("network").unwrap_or_default())
    })?;
    let mut list = shell.listing(&[
        ("Expiry Time", "expires_s"),
        ("MAC address", "mac"),
        ("Protocol", "protocol"),
        ("IP address", "address"),
        ("Hostname", "hostname"),
        ("Client ID or DUID", "client_id"),
    ]);
    for lease in leases {
        list.row([
            Cell::new(clock::unzoned(lease.expirytime), lease.expirytime),
            cells::or_dash(lease.mac),
            if lease.kind == 0 { "ipv4" } else { "ipv6" }.into(),
            format!("{}/{}", lease.ipaddr, lease.prefix).into(),
            cells::or_dash(lease.hostname),
            cells::or_dash(lease.clientid),
        ]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_net_port_list(shell: &mut Shell, args: &Args) -> Done {
    if args.flag("table") && args.flag("uuid") {
        return fail("Only one argument from --table and --uuid may be specified.");
    }
    let found = network(shell, args)?;
    let ports = shell.connection()?.network_list_all_ports(&found, 0)?;
    if args.flag("uuid") && !shell.reports() {
        ports.iter().for_each(|port| sayln!(shell, "{}", port.uuid));
        return Ok(());
    }
    let mut list = shell.listing(&[("UUID", "uuid")]);
    ports.iter().for_each(|port| list.row([Cell::word(port.uuid)]));
    shell.print_listing(list);
    Ok(())
}

fn port(shell: &mut Shell, args: &Args) -> Result<virt_types::NetworkPortRef, Failure> {
    let found = network(shell, args).map_err(|mut failure| {
        failure.lines.truncate(1);
        failure
    })?;
    let text = args.needed("port")?;
    // Compat: why a port was not found is not said.
    let port = Uuid::parse(text)
        .and_then(|uuid| shell.connection().ok()?.network_port_lookup_by_uuid(&found, &uuid).ok());
    port.ok_or_else(|| Failure::new(format!("failed to get network port '{text}'")))
}

pub(crate) fn cmd_net_port_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = match port(shell, args) {
        Ok(found) => found,
        Err(failure) => {
            // Compat: said, and yet no failure of the command.
            shell.report(&failure);
            return Ok(());
        }
    };
    check_path(args)?;
    let text = shell.connection()?.network_port_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_net_port_create(shell: &mut Shell, args: &Args) -> Done {
    let found = network(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let flags = flags_of(args, &[("validate", api::NETWORK_PORT_CREATE_VALIDATE)]);
    let created = shell.connection()?.network_port_create_xml(&found, &xml, flags);
    let created = created.during(|| format!("Failed to create network from {file}"))?;
    extra!(shell, "Network port {} created from {}", created.uuid, file);
    Ok(())
}

pub(crate) fn cmd_net_port_delete(shell: &mut Shell, args: &Args) -> Done {
    let found = match port(shell, args) {
        Ok(found) => found,
        // Compat: a port that is not there is reported, but counts as deleted.
        Err(failure) => {
            shell.report(&failure);
            return Ok(());
        }
    };
    let deleted = shell.connection()?.network_port_delete(&found, 0);
    deleted.during(|| format!("Failed to delete network port {}", found.uuid))?;
    extra!(shell, "Network port {} deleted", found.uuid);
    Ok(())
}
