//! Network interfaces of the host.

use virt_cli::{Args, Cell};
use virt_driver::Connection;
use virt_error::{Code, Error, Origin};
use virt_types::{InterfaceRef, api};

use crate::commands::network::active_word;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure};
use crate::files::read_document;
use crate::lookup::{By, interface};
use crate::options::flags_of;
use crate::shell::{Shell, extra};

pub(crate) fn cmd_iface_list(shell: &mut Shell, args: &Args) -> Done {
    let mut flags = 0;
    args.exclusive("all", "inactive")?;
    if !args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_INTERFACES_ACTIVE;
    }
    if args.flag("inactive") || args.flag("all") {
        flags |= api::CONNECT_LIST_INTERFACES_INACTIVE;
    }
    let connection = shell.connection()?;
    let mut interfaces = match connection.connect_list_all_interfaces(flags) {
        Ok(interfaces) => interfaces,
        Err(error) if error.is(Code::NoSupport) => return no_list(flags),
        Err(error) => return Err(error).during(|| "Failed to list interfaces"),
    };
    interfaces.sort_by_cached_key(|interface| interface.name.to_ascii_lowercase());
    let mut list = shell.listing(&[("Name", "name"), ("State", "state"), ("MAC Address", "mac")]);
    for interface in &interfaces {
        let active = connection.interface_is_active(interface).unwrap_or(false);
        list.row([&*interface.name, active_word(active), &interface.mac].map(Cell::from));
    }
    shell.print_listing(list);
    Ok(())
}

/// Compat: where the list is refused, the refusal shown is that of the older way to list.
fn no_list(flags: u32) -> Done {
    let active = flags & api::CONNECT_LIST_INTERFACES_ACTIVE != 0;
    let (which, call) = match active {
        true => ("active", "virConnectNumOfInterfaces"),
        false => ("inactive", "virConnectNumOfDefinedInterfaces"),
    };
    let refusal = Error::new(Code::NoSupport, Origin::None, call);
    Err(Failure::from(refusal).during(format!("Failed to list {which} interfaces")))
}

pub(crate) fn cmd_iface_name(shell: &mut Shell, args: &Args) -> Done {
    let found = interface(shell, args, By::UUID)?;
    shell.answer("name", Cell::word(&found.name));
    Ok(())
}

pub(crate) fn cmd_iface_mac(shell: &mut Shell, args: &Args) -> Done {
    let found = interface(shell, args, By::NAME)?;
    shell.answer("mac", Cell::word(&found.mac));
    Ok(())
}

pub(crate) fn cmd_iface_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("inactive", api::INTERFACE_XML_INACTIVE)]);
    let found = interface(shell, args, By::ANY)?;
    check_path(args)?;
    let text = shell.connection()?.interface_get_xml_desc(&found, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_iface_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::INTERFACE_DEFINE_VALIDATE)]);
    let xml = read_document(file)?;
    let defined = shell.connection()?.interface_define_xml(&xml, flags);
    let defined = defined.during(|| format!("Failed to define interface from {file}"))?;
    extra!(shell, "Interface {} defined from {}", defined.name, file);
    Ok(())
}

/// A command that is one call on an interface.
fn change(
    shell: &mut Shell,
    args: &Args,
    verb: &str,
    done: &str,
    call: impl FnOnce(&Connection, &InterfaceRef) -> virt_error::Result<()>,
) -> Done {
    let found = interface(shell, args, By::ANY)?;
    let connection = shell.connection()?;
    // Compat: it is called as the person called it.
    let name = args.needed("interface")?;
    call(&connection, &found).during(|| format!("Failed to {verb} interface {name}"))?;
    extra!(shell, "Interface {} {}", name, done);
    Ok(())
}

pub(crate) fn cmd_iface_start(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "start", "started", |connection, found| {
        connection.interface_create(found, 0)
    })
}

pub(crate) fn cmd_iface_destroy(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "destroy", "destroyed", |connection, found| {
        connection.interface_destroy(found, 0)
    })
}

pub(crate) fn cmd_iface_undefine(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "undefine", "undefined", |connection, found| {
        connection.interface_undefine(found)
    })
}

pub(crate) fn cmd_iface_begin(shell: &mut Shell, _args: &Args) -> Done {
    let begun = shell.connection()?.interface_change_begin(0);
    begun.during(|| "Failed to begin network config change transaction")?;
    extra!(shell, "Network config change transaction started");
    Ok(())
}

pub(crate) fn cmd_iface_commit(shell: &mut Shell, _args: &Args) -> Done {
    let committed = shell.connection()?.interface_change_commit(0);
    committed.during(|| "Failed to commit network config change transaction")?;
    extra!(shell, "Network config change transaction committed");
    Ok(())
}

pub(crate) fn cmd_iface_rollback(shell: &mut Shell, _args: &Args) -> Done {
    let undone = shell.connection()?.interface_change_rollback(0);
    undone.during(|| "Failed to rollback network config change transaction")?;
    extra!(shell, "Network config change transaction rolled back");
    Ok(())
}
