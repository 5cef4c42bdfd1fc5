//! Finding the object that an option names.

use virt_cli::Args;
use virt_driver::Connection;
use virt_types::{
    DomainRef, InterfaceRef, NetworkRef, NodeDeviceRef, NwfilterRef, SecretRef, StoragePoolRef,
    StorageVolRef, Uuid,
};

use crate::failure::{During as _, Failure, fail};
use crate::shell::{LEVEL_DEBUG, LEVEL_INFO, Shell};

/// Ways to name an object that a command takes.
#[derive(Clone, Copy)]
pub(crate) struct By {
    pub(crate) id: bool,
    pub(crate) uuid: bool,
    pub(crate) name: bool,
}

impl By {
    pub(crate) const ANY: Self = Self { id: true, uuid: true, name: true };
    pub(crate) const UUID: Self = Self { id: false, uuid: true, name: false };
    pub(crate) const NAME: Self = Self { id: false, uuid: false, name: true };
}

/// The text of an option that names an object.
fn named<'a>(shell: &mut Shell, args: &'a Args, option: &str) -> Result<&'a str, Failure> {
    let text = args.needed(option)?;
    shell.note(LEVEL_INFO, format_args!("{}: found option <{option}>: {text}", args.command()));
    Ok(text)
}

fn trying(shell: &mut Shell, args: &Args, option: &str, how: &str) {
    shell.note(LEVEL_DEBUG, format_args!("{}: <{option}> {how}", args.command()));
}

/// The domain of `--domain`, by id, UUID or name.
pub(crate) fn domain(shell: &mut Shell, args: &Args) -> Result<DomainRef, Failure> {
    domain_by(shell, args, By::ANY)
}

pub(crate) fn domain_by(shell: &mut Shell, args: &Args, by: By) -> Result<DomainRef, Failure> {
    let text = named(shell, args, "domain")?;
    find_domain(shell, args, text, by)
}

/// Compat: why a domain was not found is not said, only that.
pub(crate) fn find_domain(
    shell: &mut Shell,
    args: &Args,
    text: &str,
    by: By,
) -> Result<DomainRef, Failure> {
    let connection = shell.connection()?;
    if by.id
        && let Some(id) = text.parse::<i32>().ok().filter(|id| *id >= 0)
    {
        trying(shell, args, "domain", "looks like ID");
        if let Ok(found) = connection.domain_lookup_by_id(id) {
            return Ok(found);
        }
    }
    if by.uuid
        && let Some(uuid) = uuid_of(text)
    {
        trying(shell, args, "domain", "trying as domain UUID");
        if let Ok(found) = connection.domain_lookup_by_uuid(&uuid) {
            return Ok(found);
        }
    }
    if by.name {
        trying(shell, args, "domain", "trying as domain NAME");
        if let Ok(found) = connection.domain_lookup_by_name(text) {
            return Ok(found);
        }
    }
    fail(format!("failed to get domain '{text}'"))
}

/// Compat: only the printed form with its dashes, 36 characters, is tried as a UUID.
fn uuid_of(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::parse(text)).flatten()
}

/// Looks an object up by UUID where its text looks like one, then by name.
macro_rules! by_uuid_or_name {
    ($function:ident, $with:ident, $object:ty, $option:literal, $by_uuid:ident, $by_name:ident) => {
        #[doc = concat!("The object of `--", $option, "`.")]
        pub(crate) fn $function(shell: &mut Shell, args: &Args) -> Result<$object, Failure> {
            $with(shell, args, $option, By::ANY)
        }

        pub(crate) fn $with(
            shell: &mut Shell,
            args: &Args,
            option: &str,
            by: By,
        ) -> Result<$object, Failure> {
            let connection = shell.connection()?;
            let text = named(shell, args, option)?;
            let failed = || format!(concat!("failed to get ", $option, " '{}'"), text);
            if by.uuid
                && let Some(uuid) = uuid_of(text)
            {
                trying(shell, args, option, concat!("trying as ", $option, " UUID"));
                match connection.$by_uuid(&uuid) {
                    Ok(found) => return Ok(found),
                    Err(error) if !by.name => return Err(error).during(failed),
                    Err(_) => {}
                }
            }
            if by.name {
                trying(shell, args, option, concat!("trying as ", $option, " NAME"));
                return connection.$by_name(text).during(failed);
            }
            fail(failed())
        }
    };
}

by_uuid_or_name!(
    network,
    network_by,
    NetworkRef,
    "network",
    network_lookup_by_uuid,
    network_lookup_by_name
);
by_uuid_or_name!(
    pool,
    pool_by,
    StoragePoolRef,
    "pool",
    storage_pool_lookup_by_uuid,
    storage_pool_lookup_by_name
);
by_uuid_or_name!(
    nwfilter,
    nwfilter_by,
    NwfilterRef,
    "nwfilter",
    nwfilter_lookup_by_uuid,
    nwfilter_lookup_by_name
);

/// The volume of `--vol`, within `--pool` if that is given: by name there, then by key, then path.
pub(crate) fn volume(shell: &mut Shell, args: &Args) -> Result<StorageVolRef, Failure> {
    volume_in(shell, args, "vol", "pool", true)
}

pub(crate) fn volume_in(
    shell: &mut Shell,
    args: &Args,
    option: &str,
    pool_option: &str,
    by_name: bool,
) -> Result<StorageVolRef, Failure> {
    let connection = shell.connection()?;
    let text = args.needed(option)?;
    let in_pool = by_name && args.knows(pool_option) && args.text(pool_option)?.is_some();
    let pool = match in_pool {
        true => Some(pool_by(shell, args, pool_option, By::ANY)?),
        false => None,
    };
    named(shell, args, option)?;
    if let Some(pool) = &pool {
        if !connection.storage_pool_is_active(pool).unwrap_or(true) {
            let name = args.needed(pool_option)?;
            return fail(format!("pool '{name}' is not active"));
        }
        trying(shell, args, option, "trying as vol name");
        if let Ok(found) = connection.storage_vol_lookup_by_name(pool, text) {
            return Ok(found);
        }
    }
    trying(shell, args, option, "trying as vol key");
    if let Ok(found) = connection.storage_vol_lookup_by_key(text) {
        return Ok(found);
    }
    trying(shell, args, option, "trying as vol path");
    let found = connection.storage_vol_lookup_by_path(text).during(|| match (by_name, &pool) {
        (true, None) => {
            format!("failed to get vol '{text}', specifying --{pool_option} might help")
        }
        _ => format!("failed to get vol '{text}'"),
    })?;
    match pool {
        Some(pool) => in_that_pool(&connection, found, &pool, text),
        None => Ok(found),
    }
}

/// Refuses a volume that is found by key or path but lies in another pool than the one named.
fn in_that_pool(
    connection: &Connection,
    found: StorageVolRef,
    pool: &StoragePoolRef,
    text: &str,
) -> Result<StorageVolRef, Failure> {
    let home = connection.storage_pool_lookup_by_volume(&found)?;
    match home.name == pool.name {
        true => Ok(found),
        false => fail(format!("Requested volume '{text}' is not in pool '{}'", pool.name)),
    }
}

/// The interface of `--interface`, by name or by MAC address.
pub(crate) fn interface(shell: &mut Shell, args: &Args, by: By) -> Result<InterfaceRef, Failure> {
    interface_of(shell, args, "interface", by)
}

/// The same, with another name for the option.
pub(crate) fn interface_of(
    shell: &mut Shell,
    args: &Args,
    option: &str,
    by: By,
) -> Result<InterfaceRef, Failure> {
    let connection = shell.connection()?;
    let text = named(shell, args, option)?;
    let failed = || format!("failed to get interface '{text}'");
    let is_mac = text.len() == 17 && text.split(':').count() == 6;
    // Compat: what looks like a MAC address is never taken for a name.
    if by.uuid && is_mac {
        trying(shell, args, option, "trying as interface MAC");
        return connection.interface_lookup_by_mac_string(text).during(failed);
    }
    if by.name && !is_mac {
        trying(shell, args, option, "trying as interface NAME");
        return connection.interface_lookup_by_name(text).during(failed);
    }
    fail(failed())
}

/// Whether a text is a world wide name: sixteen digits.
pub(crate) fn is_wwn(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The node device of `--device`, by name or by `WWNN,WWPN`.
pub(crate) fn device(shell: &mut Shell, args: &Args) -> Result<NodeDeviceRef, Failure> {
    let connection = shell.connection()?;
    let text = args.needed("device")?;
    let found = match text.split_once(',') {
        Some((node, port)) => {
            for wwn in [node, port] {
                if !is_wwn(wwn) {
                    return fail(format!("internal error: Malformed wwn: {wwn}"));
                }
            }
            connection.node_device_lookup_scsi_host_by_wwn(node, port, 0)
        }
        None => connection.node_device_lookup_by_name(text),
    };
    found.during(|| format!("Could not find matching device '{text}'"))
}

/// The same by its name alone.
pub(crate) fn device_by_name(shell: &mut Shell, args: &Args) -> Result<NodeDeviceRef, Failure> {
    let text = args.needed("device")?;
    let found = shell.connection()?.node_device_lookup_by_name(text);
    found.during(|| format!("Could not find matching device '{text}'"))
}

/// The secret of `--secret`, by UUID.
pub(crate) fn secret(shell: &mut Shell, args: &Args) -> Result<SecretRef, Failure> {
    let connection = shell.connection()?;
    let text = named(shell, args, "secret")?;
    let failed = || format!("failed to get secret '{text}'");
    let Some(uuid) = Uuid::parse(text) else {
        let why = "uuidstr in virSecretLookupByUUIDString must be a valid UUID";
        return Err(Failure::new(why).during(failed()));
    };
    connection.secret_lookup_by_uuid(&uuid).during(failed)
}
