//! Bridges made of a host's interfaces, and taken apart again.

use virt_cli::Args;
use virt_types::{InterfaceRef, api};
use virt_xml::{Element, Node};

use crate::failure::{Done, During as _, Failure, fail};
use crate::lookup::{By, interface, interface_of};
use crate::shell::{Shell, extra};
use crate::xml;

/// Elements that stay with the interface below a bridge: the hardware's, not the connection's.
const OWN: &[&str] = &["mac", "bond", "vlan"];

pub(crate) fn cmd_iface_bridge(shell: &mut Shell, args: &Args) -> Done {
    let found = interface(shell, args, By::NAME)?;
    let name = args.needed("bridge")?;
    let connection = shell.connection()?;
    let Err(missing) = connection.interface_lookup_by_name(name) else {
        return fail(format!("Network device {name} already exists"));
    };
    let stp = !args.flag("no-stp");
    // Compat: that there is no such bridge yet is said too where another mistake is found.
    let delay = args.number::<u32>("delay");
    let delay = delay.map_err(|why| Failure::from(why).then(missing.message()))?;
    let delay = delay.unwrap_or_default();
    let text = connection.interface_get_xml_desc(&found, api::INTERFACE_XML_INACTIVE)?;
    let below = xml::parse(&text)?;
    let kind = below.attr("type").unwrap_or_default().to_owned();
    if kind == "bridge" {
        return fail(format!("Existing device {} is already a bridge", found.name));
    }
    let bridge = xml::own_document(&wrap(below, name, &kind, (stp, delay)));
    let defined = connection.interface_define_xml(&bridge, 0);
    let defined = defined.during(|| format!("Failed to define new bridge interface {name}"))?;
    extra!(shell, "Created bridge {} with attached device {}", name, found.name);
    if args.flag("no-start") {
        return Ok(());
    }
    let started = connection.interface_create(&defined, 0);
    started.during(|| format!("Failed to start bridge interface {name}"))?;
    extra!(shell, "Bridge interface {} started", name);
    Ok(())
}

/// The bridge that takes an interface's place: its connection moves up, its hardware stays.
fn wrap<'a>(
    mut below: Element<'a>,
    name: &str,
    kind: &str,
    (stp, delay): (bool, u32),
) -> Element<'a> {
    let port_name = below.attr("name").unwrap_or_default().to_owned();
    let stp = if stp { "on" } else { "off" };
    let mut bridge = Element::new("bridge").with_attr("stp", stp);
    if delay != 0 || stp == "on" {
        bridge = bridge.with_attr("delay", delay.to_string());
    }
    let mut port =
        Element::new("interface").with_attr("type", kind.to_owned()).with_attr("name", port_name);
    let mut whole =
        Element::new("interface").with_attr("type", "bridge").with_attr("name", name.to_owned());
    for node in below.children.drain(..) {
        match node {
            Node::Element(child) if OWN.contains(&&*child.name) => {
                port.children.push(Node::Element(child));
            }
            Node::Element(child) => whole.children.push(Node::Element(child)),
            Node::Text(_) | Node::Comment(_) => {}
        }
    }
    bridge.children.push(Node::Element(port));
    whole.children.push(Node::Element(bridge));
    whole
}

pub(crate) fn cmd_iface_unbridge(shell: &mut Shell, args: &Args) -> Done {
    let name = args.needed("bridge")?;
    let found = interface_of(shell, args, "bridge", By::NAME)?;
    let connection = shell.connection()?;
    let text = connection.interface_get_xml_desc(&found, api::INTERFACE_XML_INACTIVE)?;
    let whole = xml::parse(&text)?;
    if whole.attr("type") != Some("bridge") {
        return fail(format!("Device {name} is not a bridge"));
    }
    let Some((port_name, port)) = unwrap_port(whole) else {
        return fail("No interface attached to bridge");
    };
    if connection.interface_is_active(&found).unwrap_or(false) {
        let stopped = connection.interface_destroy(&found, 0);
        stopped.during(|| format!("Failed to destroy bridge interface {name}"))?;
    }
    let gone = connection.interface_undefine(&found);
    gone.during(|| format!("Failed to undefine bridge interface {name}"))?;
    let defined = connection.interface_define_xml(&xml::own_document(&port), 0);
    let defined: InterfaceRef =
        defined.during(|| format!("Failed to define new interface {port_name}"))?;
    extra!(shell, "Device {} un-attached from bridge {}", port_name, name);
    if args.flag("no-start") {
        return Ok(());
    }
    let started = connection.interface_create(&defined, 0);
    started.during(|| format!("Failed to start interface {port_name}"))?;
    extra!(shell, "Interface {} started", port_name);
    Ok(())
}

/// The one interface of a bridge, with the bridge's connection given back to it.
fn unwrap_port(mut whole: Element<'_>) -> Option<(String, Element<'_>)> {
    let at = whole
        .children
        .iter()
        .position(|node| matches!(node, Node::Element(child) if child.name == "bridge"))?;
    let Node::Element(bridge) = whole.children.remove(at) else { return None };
    let mut port = bridge.elements().find(|child| child.name == "interface")?.clone();
    let name = port.attr("name")?.to_owned();
    port.children.retain(|node| matches!(node, Node::Element(_)));
    for node in whole.children {
        if let Node::Element(child) = node {
            port.children.push(Node::Element(child));
        }
    }
    Some((name, port))
}
