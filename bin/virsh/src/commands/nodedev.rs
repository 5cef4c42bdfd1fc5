//! Devices of the host.

use virt_cli::{Args, Cell};
use virt_types::{NodeDeviceRef, api};

use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::{device, device_by_name};
use crate::options::{flags_of, impact, words_of};
use crate::report::{cells, record};
use crate::shell::{Shell, extra, say, sayln};
use crate::tree;

/// The kinds of device and the flag that lists only them.
const CAPABILITIES: [(&str, u32); 24] = [
    ("system", api::CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM),
    ("pci", api::CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV),
    ("usb_device", api::CONNECT_LIST_NODE_DEVICES_CAP_USB_DEV),
    ("usb", api::CONNECT_LIST_NODE_DEVICES_CAP_USB_INTERFACE),
    ("net", api::CONNECT_LIST_NODE_DEVICES_CAP_NET),
    ("scsi_host", api::CONNECT_LIST_NODE_DEVICES_CAP_SCSI_HOST),
    ("scsi_target", api::CONNECT_LIST_NODE_DEVICES_CAP_SCSI_TARGET),
    ("scsi", api::CONNECT_LIST_NODE_DEVICES_CAP_SCSI),
    ("storage", api::CONNECT_LIST_NODE_DEVICES_CAP_STORAGE),
    ("fc_host", api::CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST),
    ("vports", api::CONNECT_LIST_NODE_DEVICES_CAP_VPORTS),
    ("scsi_generic", api::CONNECT_LIST_NODE_DEVICES_CAP_SCSI_GENERIC),
    ("drm", api::CONNECT_LIST_NODE_DEVICES_CAP_DRM),
    ("mdev_types", api::CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES),
    ("mdev", api::CONNECT_LIST_NODE_DEVICES_CAP_MDEV),
    ("ccw", api::CONNECT_LIST_NODE_DEVICES_CAP_CCW_DEV),
    ("css", api::CONNECT_LIST_NODE_DEVICES_CAP_CSS_DEV),
    ("vdpa", api::CONNECT_LIST_NODE_DEVICES_CAP_VDPA),
    ("ap_card", api::CONNECT_LIST_NODE_DEVICES_CAP_AP_CARD),
    ("ap_queue", api::CONNECT_LIST_NODE_DEVICES_CAP_AP_QUEUE),
    ("ap_matrix", api::CONNECT_LIST_NODE_DEVICES_CAP_AP_MATRIX),
    ("vpd", api::CONNECT_LIST_NODE_DEVICES_CAP_VPD),
    ("ccwgroup", api::CONNECT_LIST_NODE_DEVICES_CAP_CCWGROUP_DEV),
    ("ccwgroup_member", api::CONNECT_LIST_NODE_DEVICES_CAP_CCWGROUP_MEMBER),
];

pub(crate) const CAPABILITY_WORDS: &[&str] = &words_of(&CAPABILITIES);

fn list_flags(args: &Args) -> Result<u32, Failure> {
    let (all, inactive) = (args.flag("all"), args.flag("inactive"));
    let (persistent, transient) = (args.flag("persistent"), args.flag("transient"));
    let mut flags = 0;
    if all || !inactive {
        flags |= api::CONNECT_LIST_NODE_DEVICES_ACTIVE;
    }
    if all || inactive {
        flags |= api::CONNECT_LIST_NODE_DEVICES_INACTIVE;
    }
    if persistent {
        flags |= api::CONNECT_LIST_NODE_DEVICES_PERSISTENT;
    }
    if transient {
        flags |= api::CONNECT_LIST_NODE_DEVICES_TRANSIENT;
    }
    // Compat: an empty list of kinds is none.
    let kinds = args.raw_text("cap").filter(|kinds| !kinds.is_empty());
    for name in kinds.into_iter().flat_map(|caps| caps.split(',')) {
        match CAPABILITIES.iter().find(|(capability, _)| *capability == name) {
            Some((_, flag)) => flags |= flag,
            None => return fail("Invalid capability type"),
        }
    }
    Ok(flags)
}

pub(crate) fn cmd_nodedev_list(shell: &mut Shell, args: &Args) -> Done {
    if args.flag("inactive") && args.flag("all") {
        return fail("Option --all is incompatible with --inactive");
    }
    if args.flag("tree") {
        let others = ["inactive", "persistent", "transient"];
        // Compat: an empty list is none.
        let kinds = args.raw_text("cap").is_some_and(|kinds| !kinds.is_empty());
        if kinds || others.iter().any(|option| args.flag(option)) {
            return fail(
                "Option --tree is incompatible with --cap, --inactive, --persistent and \
                 --transient",
            );
        }
    }
    if args.flag("transient") && (args.flag("persistent") || args.flag("inactive")) {
        return fail("Option --transient is incompatible with --persistent and --inactive");
    }
    let flags = list_flags(args)?;
    let connection = shell.connection()?;
    let mut devices =
        connection.connect_list_all_node_devices(flags).during(|| "Failed to list node devices")?;
    devices.sort_by_cached_key(|device| device.name.to_ascii_lowercase());
    if !args.flag("tree") || shell.reports() {
        for device in &devices {
            sayln!(shell, "{}", device.name);
        }
        shell.records(devices.iter().map(|device| record([("name", (&*device.name).into())])));
        return Ok(());
    }
    let mut parents = Vec::with_capacity(devices.len());
    for device in &devices {
        // Compat: every device but the host itself is drawn where its parent is.
        let parent = match &*device.name {
            "computer" => None,
            name => connection.node_device_get_parent(name)?,
        };
        parents.push(parent.and_then(|parent| devices.iter().position(|d| *d.name == *parent)));
    }
    let names: Vec<String> = devices.iter().map(|device| device.name.to_string()).collect();
    say!(shell, "{}", tree::draw(&names, &parents));
    Ok(())
}

pub(crate) fn cmd_nodedev_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, &[("inactive", api::NODE_DEVICE_XML_INACTIVE)]);
    let found = device(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.node_device_get_xml_desc(&found.name, flags)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_nodedev_info(shell: &mut Shell, args: &Args) -> Done {
    let found = device(shell, args)?;
    let connection = shell.connection()?;
    shell.field("Name", "name", Cell::word(&found.name));
    let parent = connection.node_device_get_parent(&found.name)?;
    shell.field("Parent", "parent", parent.map_or_else(|| Cell::none(""), Cell::from));
    if let Ok(active) = connection.node_device_is_active(&found.name) {
        shell.field("Active", "active", cells::yes(active));
    }
    let persistent = connection.node_device_is_persistent(&found.name);
    shell.field("Persistent", "persistent", cells::yes_or(persistent, "unknown"));
    let autostart = connection.node_device_get_autostart(&found.name);
    shell.field("Autostart", "autostart", cells::yes_or(autostart, "no autostart"));
    Ok(())
}

pub(crate) fn cmd_nodedev_create(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::NODE_DEVICE_CREATE_XML_VALIDATE)]);
    let xml = read_document(file)?;
    let created = shell.connection()?.node_device_create_xml(&xml, flags);
    let created = created.during(|| format!("Failed to create node device from {file}"))?;
    extra!(shell, "Node device {} created from {}", created.name, file);
    Ok(())
}

pub(crate) fn cmd_nodedev_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::NODE_DEVICE_DEFINE_XML_VALIDATE)]);
    let xml = read_document(file)?;
    let defined = shell.connection()?.node_device_define_xml(&xml, flags);
    let defined = defined.during(|| format!("Failed to define node device from '{file}'"))?;
    extra!(shell, "Node device '{}' defined from '{}'", defined.name, file);
    Ok(())
}

pub(crate) fn cmd_nodedev_update(shell: &mut Shell, args: &Args) -> Done {
    let (flags, _) = impact(args)?;
    let found = device(shell, args)?;
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let name = &found.name;
    let updated = shell.connection()?.node_device_update(name, &xml, flags);
    updated.during(|| format!("Failed to update node device {name} from '{file}'"))?;
    extra!(shell, "Updated node device {} from '{}'", name, file);
    Ok(())
}

pub(crate) fn cmd_nodedev_destroy(shell: &mut Shell, args: &Args) -> Done {
    let found = device(shell, args)?;
    let name = &found.name;
    let destroyed = shell.connection()?.node_device_destroy(name);
    destroyed.during(|| format!("Failed to destroy node device '{name}'"))?;
    extra!(shell, "Destroyed node device '{}'", name);
    Ok(())
}

pub(crate) fn cmd_nodedev_undefine(shell: &mut Shell, args: &Args) -> Done {
    let found = device(shell, args)?;
    let name = &found.name;
    let undefined = shell.connection()?.node_device_undefine(name, 0);
    undefined.during(|| format!("Failed to undefine node device '{name}'"))?;
    extra!(shell, "Undefined node device '{}'", name);
    Ok(())
}

/// A command that is one call on a device.
fn change(
    shell: &mut Shell,
    args: &Args,
    verb: &str,
    done: &str,
    call: impl FnOnce(&virt_driver::Connection, &NodeDeviceRef) -> virt_error::Result<()>,
) -> Done {
    let found = device_by_name(shell, args)?;
    let connection = shell.connection()?;
    let name = args.needed("device")?;
    call(&connection, &found).during(|| format!("Failed to {verb} device {name}"))?;
    extra!(shell, "Device {} {}", name, done);
    Ok(())
}

pub(crate) fn cmd_nodedev_start(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "start", "started", |connection, found| {
        connection.node_device_create(&found.name, 0)
    })
}

pub(crate) fn cmd_nodedev_detach(shell: &mut Shell, args: &Args) -> Done {
    // Compat: an empty name of a driver is none.
    let driver = args.raw_text("driver").filter(|driver| !driver.is_empty());
    change(shell, args, "detach", "detached", |connection, found| match driver {
        Some(driver) => connection.node_device_detach_flags(&found.name, Some(driver), 0),
        // Compat: without a driver it is the oldest form of the call.
        None => connection.node_device_dettach(&found.name),
    })
}

pub(crate) fn cmd_nodedev_reattach(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "re-attach", "re-attached", |connection, found| {
        connection.node_device_re_attach(&found.name)
    })
}

pub(crate) fn cmd_nodedev_reset(shell: &mut Shell, args: &Args) -> Done {
    change(shell, args, "reset", "reset", |connection, found| {
        connection.node_device_reset(&found.name)
    })
}

pub(crate) fn cmd_nodedev_autostart(shell: &mut Shell, args: &Args) -> Done {
    let found = device(shell, args)?;
    let on = !args.flag("disable");
    let mark = if on { "mark" } else { "unmark" };
    let changed = shell.connection()?.node_device_set_autostart(&found.name, i32::from(on));
    changed.during(|| format!("failed to {mark} device {} as autostarted", found.name))?;
    extra!(shell, "Device {} {}ed as autostarted", found.name, mark);
    Ok(())
}
