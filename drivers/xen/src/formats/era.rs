//! Documents in the words of older releases, for clients and scripts of xend's time.
//!
//! What a release did not know yet is left out of the printed tree; nothing else is touched.

use virt_model::PrintFlags;
use virt_model::domain::Domain;
use virt_xml::{Element, Node};

/// A release whose printing is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Era {
    /// 0.9.8, of the founding page: no units, no listen elements.
    V0_9,
    /// 1.3.1, the last but few that knew xend.
    V1_3,
    #[default]
    Current,
}

impl Era {
    /// Prints a domain as the release would.
    pub fn print(self, domain: &Domain, flags: PrintFlags) -> String {
        let text = domain.to_xml(flags);
        if self == Self::Current {
            return text;
        }
        // What the writer printed can be read; if it could not, the text is right as it is.
        let Ok(mut tree) = virt_xml::parse(&text) else { return text };
        let live = domain.id.is_some() && !flags.inactive;
        self.domain(&mut tree, live);
        virt_xml::to_string(&tree)
    }

    fn domain(self, domain: &mut Element<'_>, live: bool) {
        if self == Self::V0_9 {
            for name in ["memory", "currentMemory"] {
                children(domain, name).for_each(|child| remove_attr(child, "unit"));
            }
            children(domain, "vcpu").for_each(|child| remove_attr(child, "placement"));
            for clock in children(domain, "clock").filter(|c| c.attr("offset") != Some("variable"))
            {
                remove_attr(clock, "adjustment");
            }
        }
        for os in children(domain, "os") {
            if os.child("kernel").is_some() {
                // What boots is the kernel; an order of devices is made up today.
                retain(os, |child| child.name != "boot");
            }
            for loader in children(os, "loader") {
                remove_attr(loader, "format");
                if self == Self::V0_9 {
                    remove_attr(loader, "type");
                }
            }
        }
        children(domain, "devices").for_each(|devices| self.devices(devices, live));
    }

    fn devices(self, devices: &mut Element<'_>, live: bool) {
        let shown = devices.child("graphics").is_some();
        retain(devices, |device| match (&*device.name, device.attr("type")) {
            ("controller", Some(kind)) => !matches!(kind, "xenbus" | "ide" | "fdc"),
            ("video", _) => false,
            // Mouse and keyboard come with a display; keyboards were taken for granted once.
            ("input", Some("keyboard")) if self == Self::V0_9 => false,
            ("input", _) => shown || device.attr("bus") == Some("usb"),
            ("memballoon", _) => self != Self::V0_9,
            _ => true,
        });
        for disk in children(devices, "disk") {
            self.disk(disk, live);
        }
        for graphics in children(devices, "graphics") {
            let plain = |listen: &Element<'_>| {
                listen.attr("type") == Some("address") && listen.attr("address").is_none()
            };
            retain(graphics, |child| child.name != "listen" || self != Self::V0_9 && !plain(child));
        }
        if self == Self::V0_9 {
            for console in children(devices, "console") {
                children(console, "target").for_each(|target| remove_attr(target, "type"));
            }
        }
    }

    fn disk(self, disk: &mut Element<'_>, live: bool) {
        for driver in children(disk, "driver") {
            if driver.attr("type") != Some("raw") {
                continue;
            }
            let tap = driver.attr("name").is_some_and(|name| name.starts_with("tap"));
            match (tap, self) {
                (false, _) => remove_attr(driver, "type"),
                (true, Self::V0_9) => driver.set_attr("type", "aio"),
                (true, _) => {}
            }
        }
        // 1.3.1 says that it does not know of a backing file while a guest runs.
        if live && self == Self::V1_3 && disk.child("backingStore").is_none() {
            let is_source =
                |node: &Node<'_>| matches!(node, Node::Element(e) if e.name == "source");
            if let Some(at) = disk.children.iter().position(is_source) {
                disk.children.insert(at + 1, Node::Element(Element::new("backingStore")));
            }
        }
    }
}

fn children<'e, 'a>(
    element: &'e mut Element<'a>,
    name: &'e str,
) -> impl Iterator<Item = &'e mut Element<'a>> {
    element.children.iter_mut().filter_map(move |node| match node {
        Node::Element(child) if child.name == name => Some(child),
        _ => None,
    })
}

fn remove_attr(element: &mut Element<'_>, name: &str) {
    element.attrs.retain(|attr| attr.name != name);
}

fn retain(element: &mut Element<'_>, keep: impl Fn(&Element<'_>) -> bool) {
    element.children.retain(|node| match node {
        Node::Element(child) => keep(child),
        _ => true,
    });
    if element.elements().next().is_none() {
        // Nothing but the blanks between what is gone.
        element.children.clear();
    }
}
