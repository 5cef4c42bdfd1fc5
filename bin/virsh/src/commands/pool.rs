//! Storage pools.

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_types::{StoragePoolInfo, StoragePoolRef, api};
use virt_xml::{Element, to_string};

use crate::commands::info::word;
use crate::commands::network::active_word;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::{By, pool, pool_by};
use crate::options::{flags_of, words_of};
use crate::report::cells;
use crate::shell::{LEVEL_DEBUG, Shell, extra, say, sayln};

const LIST_FLAGS: &[(&str, u32)] = &[
    ("persistent", api::CONNECT_LIST_STORAGE_POOLS_PERSISTENT),
    ("transient", api::CONNECT_LIST_STORAGE_POOLS_TRANSIENT),
    ("autostart", api::CONNECT_LIST_STORAGE_POOLS_AUTOSTART),
    ("no-autostart", api::CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART),
];

/// The kinds of pool and the flag that lists only them.
const KINDS: [(&str, u32); 14] = [
    ("dir", api::CONNECT_LIST_STORAGE_POOLS_DIR),
    ("fs", api::CONNECT_LIST_STORAGE_POOLS_FS),
    ("netfs", api::CONNECT_LIST_STORAGE_POOLS_NETFS),
    ("logical", api::CONNECT_LIST_STORAGE_POOLS_LOGICAL),
    ("disk", api::CONNECT_LIST_STORAGE_POOLS_DISK),
    ("iscsi", api::CONNECT_LIST_STORAGE_POOLS_ISCSI),
    ("scsi", api::CONNECT_LIST_STORAGE_POOLS_SCSI),
    ("mpath", api::CONNECT_LIST_STORAGE_POOLS_MPATH),
    ("rbd", api::CONNECT_LIST_STORAGE_POOLS_RBD),
    ("sheepdog", api::CONNECT_LIST_STORAGE_POOLS_SHEEPDOG),
    ("gluster", api::CONNECT_LIST_STORAGE_POOLS_GLUSTER),
    ("zfs", api::CONNECT_LIST_STORAGE_POOLS_ZFS),
    ("vstorage", api::CONNECT_LIST_STORAGE_POOLS_VSTORAGE),
    ("iscsi-direct", api::CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT),
];

pub(crate) const KIND_WORDS: &[&str] = &words_of(&KINDS);

const STATES: &[&str] = &["inactive", "building", "running", "degraded", "inaccessible"];

fn list_flags(args: &Args) -> Result<u32, Failure> {
    args.exclusive("all", "inactive")?;
    let mut flags = flags_of(args, LIST_FLAGS);
    if !args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_STORAGE_POOLS_ACTIVE;
    }
    if args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_STORAGE_POOLS_INACTIVE;
    }
    for kind in args.text("type")?.into_iter().flat_map(|kinds| kinds.split(',')) {
        match KINDS.iter().find(|(name, _)| *name == kind) {
            Some((_, flag)) => flags |= flag,
            None => return fail(format!("Invalid pool type '{kind}'")),
        }
    }
    Ok(flags)
}

pub(crate) fn cmd_pool_list(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("details", "uuid")?;
    args.exclusive("details", "name")?;
    let flags = list_flags(args)?;
    let connection = shell.connection()?;
    let mut pools =
        connection.connect_list_all_storage_pools(flags).during(|| "Failed to list pools")?;
    pools.sort_by_cached_key(|pool| pool.name.to_ascii_lowercase());
    let (name, uuid) = (args.flag("name"), args.flag("uuid"));
    if (name || uuid) && !shell.reports() {
        for pool in &pools {
            let mut words = Vec::new();
            words.extend(uuid.then(|| pool.uuid.to_string()));
            words.extend(name.then(|| pool.name.to_string()));
            sayln!(shell, "{}", words.join(" "));
        }
        return Ok(());
    }
    let details = args.flag("details");
    let mut header = vec![("Name", "name"), ("State", "state"), ("Autostart", "autostart")];
    if details {
        header.extend([
            ("Persistent", "persistent"),
            ("Capacity", "capacity_bytes"),
            ("Allocation", "allocation_bytes"),
            ("Available", "available_bytes"),
        ]);
    }
    header.extend(shell.reports().then_some(("UUID", "uuid")));
    let mut list = shell.listing(&header);
    for pool in &pools {
        let autostart = connection.storage_pool_get_autostart(pool);
        let autostart = cells::yes_or(autostart, "no autostart");
        let mut row = vec![Cell::word(&pool.name)];
        if details {
            let info = connection
                .storage_pool_get_info(pool)
                .during(|| "Could not retrieve pool information")?;
            row.extend([state_of(&info).into(), autostart]);
            row.extend(detail_cells(&connection, pool, &info));
        } else {
            let active = connection.storage_pool_is_active(pool)?;
            row.extend([active_word(active).into(), autostart]);
        }
        row.extend(shell.reports().then(|| Cell::word(pool.uuid)));
        list.row(row);
    }
    shell.print_listing(list);
    Ok(())
}

fn state_of(info: &StoragePoolInfo) -> &'static str {
    word(STATES, i32::from(info.state), "unknown")
}

/// Whether a pool in this state knows its sizes.
fn has_sizes(info: &StoragePoolInfo) -> bool {
    info.state != 0
}

fn detail_cells(
    connection: &Connection,
    pool: &StoragePoolRef,
    info: &StoragePoolInfo,
) -> [Cell; 4] {
    let persistent = connection.storage_pool_is_persistent(pool);
    let persistent = cells::yes_or(persistent, "unknown");
    let size = |bytes| if has_sizes(info) { cells::size(bytes) } else { Cell::none("-") };
    [persistent, size(info.capacity), size(info.allocation), size(info.available)]
}

pub(crate) fn cmd_pool_info(shell: &mut Shell, args: &Args) -> Done {
    let found = pool(shell, args)?;
    let connection = shell.connection()?;
    shell.field("Name", "name", Cell::word(&found.name));
    shell.field("UUID", "uuid", Cell::word(found.uuid));
    let info = connection.storage_pool_get_info(&found)?;
    shell.field("State", "state", state_of(&info));
    let persistent = connection.storage_pool_is_persistent(&found);
    if let Ok(persistent) = &persistent {
        let number = u8::from(*persistent);
        shell.note(LEVEL_DEBUG, format_args!("Pool persistent flag value: {number}"));
    }
    shell.field("Persistent", "persistent", cells::yes_or(persistent, "unknown"));
    let autostart = connection.storage_pool_get_autostart(&found);
    shell.field("Autostart", "autostart", cells::yes_or(autostart, "no autostart"));
    if matches!(i32::from(info.state), api::STORAGE_POOL_RUNNING | api::STORAGE_POOL_DEGRADED) {
        let bytes = args.flag("bytes");
        let size = |value: u64| if bytes { value.into() } else { cells::size(value) };
        shell.field("Capacity", "capacity_bytes", size(info.capacity));
        shell.field("Allocation", "allocation_bytes", size(info.allocation));
        shell.field("Available", "available_bytes", size(info.available));
    }
    Ok(())
}

pub(crate) fn cmd_pool_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("inactive", api::STORAGE_XML_INACTIVE)]);
    let found = pool(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.storage_pool_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_pool_name(shell: &mut Shell, args: &Args) -> Done {
    let found = pool_by(shell, args, "pool", By::UUID)?;
    shell.answer("name", Cell::word(&found.name));
    Ok(())
}

pub(crate) fn cmd_pool_uuid(shell: &mut Shell, args: &Args) -> Done {
    let found = pool_by(shell, args, "pool", By::NAME)?;
    shell.answer("uuid", Cell::word(found.uuid));
    Ok(())
}

/// The flags of building while creating.
fn build_flags(args: &Args) -> Result<u32, Failure> {
    args.exclusive("overwrite", "no-overwrite")?;
    Ok(flags_of(
        args,
        &[
            ("build", api::STORAGE_POOL_CREATE_WITH_BUILD),
            ("overwrite", api::STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE),
            ("no-overwrite", api::STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE),
        ],
    ))
}

pub(crate) fn cmd_pool_create(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = build_flags(args)?;
    let xml = read_document(file)?;
    let created = shell.connection()?.storage_pool_create_xml(&xml, flags);
    let created = created.during(|| format!("Failed to create pool from {file}"))?;
    extra!(shell, "Pool {} created from {}", created.name, file);
    Ok(())
}

pub(crate) fn cmd_pool_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::STORAGE_POOL_DEFINE_VALIDATE)]);
    let xml = read_document(file)?;
    let defined = shell.connection()?.storage_pool_define_xml(&xml, flags);
    let defined = defined.during(|| format!("Failed to define pool from {file}"))?;
    extra!(shell, "Pool {} defined from {}", defined.name, file);
    Ok(())
}

/// A command that is one call on a pool.
fn change(
    shell: &mut Shell,
    args: &Args,
    failed: &str,
    done: &str,
    call: impl FnOnce(&Connection, &StoragePoolRef) -> virt_error::Result<()>,
) -> Done {
    let found = pool(shell, args)?;
    let connection = shell.connection()?;
    // Compat: it is called what the caller called it.
    let name = args.needed("pool")?;
    call(&connection, &found).during(|| format!("Failed to {failed} pool {name}"))?;
    extra!(shell, "Pool {} {}", name, done);
    Ok(())
}

pub(crate) fn cmd_pool_start(shell: &mut Shell, args: &Args) -> Done {
    // Compat: that there is no such pool is said first.
    pool(shell, args)?;
    let flags = build_flags(args)?;
    change(shell, args, "start", "started", |connection, pool| {
        connection.storage_pool_create(pool, flags)
    })
}

pub(crate) fn cmd_pool_destroy(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "destroy", "destroyed", |connection, pool| {
        connection.storage_pool_destroy(pool)
    })
}

pub(crate) fn cmd_pool_undefine(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "undefine", "has been undefined", |connection, pool| {
        connection.storage_pool_undefine(pool)
    })
}

pub(crate) fn cmd_pool_delete(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "delete", "deleted", |connection, pool| {
        connection.storage_pool_delete(pool, 0)
    })
}

pub(crate) fn cmd_pool_refresh(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "refresh", "refreshed", |connection, pool| {
        connection.storage_pool_refresh(pool, 0)
    })
}

pub(crate) fn cmd_pool_build(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(
        args,
        &[
            ("no-overwrite", api::STORAGE_POOL_BUILD_NO_OVERWRITE),
            ("overwrite", api::STORAGE_POOL_BUILD_OVERWRITE),
        ],
    );
    change(shell, args, "build", "built", |connection, pool| {
        connection.storage_pool_build(pool, flags)
    })
}

pub(crate) fn cmd_pool_autostart(shell: &mut Shell, args: &Args) -> Done {
    let found = pool(shell, args)?;
    let on = !args.flag("disable");
    let mark = if on { "mark" } else { "unmark" };
    let changed = shell.connection()?.storage_pool_set_autostart(&found, i32::from(on));
    let name = args.needed("pool")?;
    changed.during(|| format!("failed to {mark} pool {name} as autostarted"))?;
    extra!(shell, "Pool {} {}ed as autostarted", name, mark);
    Ok(())
}

/// Compat: what is empty is refused even where it would not be used.
fn refuse_empty(args: &Args) -> Done {
    for (option, _) in args.typed().filter(|(option, _)| option.takes_value()) {
        args.text(option.name)?;
    }
    Ok(())
}

/// The document that the options of `pool-define-as` describe.
fn pool_document(args: &Args) -> Result<String, Failure> {
    args.exclusive("secret-usage", "secret-uuid")?;
    let text = |name: &str| args.text(name);
    refuse_empty(args)?;
    let element = |name: &'static str, attrs: &[(&'static str, Option<&str>)]| {
        let given = attrs.iter().filter_map(|(attr, value)| value.map(|value| (*attr, value)));
        given.fold(Element::new(name), |element, (attr, value)| {
            element.with_attr(attr, value.to_owned())
        })
    };
    let mut source = Vec::new();
    if let Some(host) = text("source-host")? {
        source.push(element("host", &[("name", Some(host))]));
    }
    if let Some(path) = text("source-path")? {
        source.push(element("dir", &[("path", Some(path))]));
    }
    if let Some(device) = text("source-dev")? {
        source.push(element("device", &[("path", Some(device))]));
    }
    if let (Some(node), Some(port)) = (text("adapter-wwnn")?, text("adapter-wwpn")?) {
        source.push(element(
            "adapter",
            &[
                ("type", Some("fc_host")),
                ("parent", text("adapter-parent")?),
                ("parent_wwnn", text("adapter-parent-wwnn")?),
                ("parent_wwpn", text("adapter-parent-wwpn")?),
                ("parent_fabric_wwn", text("adapter-parent-fabric-wwn")?),
                ("wwnn", Some(node)),
                ("wwpn", Some(port)),
            ],
        ));
    } else if let Some(name) = text("adapter-name")? {
        source.push(element("adapter", &[("type", Some("scsi_host")), ("name", Some(name))]));
    }
    if let (Some(kind), Some(user)) = (text("auth-type")?, text("auth-username")?) {
        let secret = [("usage", text("secret-usage")?), ("uuid", text("secret-uuid")?)];
        let auth = element("auth", &[("type", Some(kind)), ("username", Some(user))]);
        source.push(match secret.iter().any(|(_, value)| value.is_some()) {
            true => auth.with_child(element("secret", &secret)),
            false => auth,
        });
    }
    if let Some(initiator) = text("source-initiator")? {
        source.push(
            Element::new("initiator").with_child(element("iqn", &[("name", Some(initiator))])),
        );
    }
    if let Some(format) = text("source-format")? {
        source.push(element("format", &[("type", Some(format))]));
    }
    if let Some(version) = text("source-protocol-ver")? {
        source.push(element("protocol", &[("ver", Some(version))]));
    }
    if let Some(name) = text("source-name")? {
        source.push(Element::new("name").with_text(name.to_owned()));
    }
    let mut pool = element("pool", &[("type", text("type")?)])
        .with_child(Element::new("name").with_text(args.needed("name")?.to_owned()));
    if !source.is_empty() {
        let with_all = source.into_iter().fold(Element::new("source"), Element::with_child);
        pool = pool.with_child(with_all);
    }
    if let Some(target) = text("target")? {
        let path = Element::new("path").with_text(target.to_owned());
        pool = pool.with_child(Element::new("target").with_child(path));
    }
    Ok(to_string(&pool))
}

pub(crate) fn cmd_pool_define_as(shell: &mut Shell, args: &Args) -> Done {
    let xml = pool_document(args)?;
    if args.flag("print-xml") {
        say!(shell, "{xml}");
        return Ok(());
    }
    let name = args.needed("name")?;
    let defined = shell.connection()?.storage_pool_define_xml(&xml, 0);
    let defined = defined.during(|| format!("Failed to define pool {name}"))?;
    extra!(shell, "Pool {} defined", defined.name);
    Ok(())
}

pub(crate) fn cmd_pool_create_as(shell: &mut Shell, args: &Args) -> Done {
    let flags = build_flags(args)?;
    let xml = pool_document(args)?;
    if args.flag("print-xml") {
        say!(shell, "{xml}");
        return Ok(());
    }
    let name = args.needed("name")?;
    let created = shell.connection()?.storage_pool_create_xml(&xml, flags);
    let created = created.during(|| format!("Failed to create pool {name}"))?;
    extra!(shell, "Pool {} created", created.name);
    Ok(())
}

pub(crate) fn cmd_find_storage_pool_sources(shell: &mut Shell, args: &Args) -> Done {
    let kind = args.needed("type")?;
    let spec = args.text("srcSpec")?.map(read_document).transpose()?;
    print_sources(shell, kind, spec.as_deref())
}

pub(crate) fn cmd_find_storage_pool_sources_as(shell: &mut Shell, args: &Args) -> Done {
    let kind = args.needed("type")?;
    let (host, initiator) = (args.text("host")?, args.text("initiator")?);
    // Compat: without a host the port is not even looked at.
    let Some(host) = host else { return print_sources(shell, kind, None) };
    let port =
        args.text("port").map_err(|problem| Failure::from(problem).then("missing argument"))?;
    let mut element = Element::new("host").with_attr("name", host.to_owned());
    if let Some(port) = port {
        element = element.with_attr("port", port.to_owned());
    }
    let mut source = Element::new("source").with_child(element);
    if let Some(initiator) = initiator {
        let iqn = Element::new("iqn").with_attr("name", initiator.to_owned());
        source = source.with_child(Element::new("initiator").with_child(iqn));
    }
    print_sources(shell, kind, Some(&to_string(&source)))
}

fn print_sources(shell: &mut Shell, kind: &str, spec: Option<&str>) -> Done {
    let found = shell.connection()?.connect_find_storage_pool_sources(kind, spec, 0);
    let text = found.during(|| format!("Failed to find any {kind} pool sources"))?;
    say!(shell, "{text}");
    shell.fact("xml", text);
    Ok(())
}

pub(crate) fn cmd_pool_capabilities(shell: &mut Shell, _args: &Args) -> Done {
    let text = shell.connection()?.connect_get_storage_pool_capabilities(0);
    let text = text.during(|| "failed to get storage pool capabilities")?;
    shell.answer("xml", text);
    Ok(())
}
