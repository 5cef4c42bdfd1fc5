//! Printing messages, with the prefixes of the manager's guides.

use virt_xml::{Element, Writer};

use super::{Command, Content, Data, Envelope, Item, Kind, Message, Outcome, Section, legacy};

const NAMESPACES: [(&str, &str); 5] = [
    ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
    ("xmlns:ovf", "/var/opt/SUNWldom/envelope"),
    ("xmlns:rasd", "/var/opt/SUNWldom/CIM_ResourceAllocationSettingData"),
    ("xmlns:gprop", "/var/opt/SUNWldom/GenericProperty"),
    ("xmlns:bind", "/var/opt/SUNWldom/Binding"),
];

/// The first interface whose guides print `<options>`.
const PLURAL_OPTIONS_SINCE: (u32, u32) = (1, 2);

impl Message {
    /// The document, without a declaration.
    pub fn print(&self) -> String {
        let mut w = Writer::new();
        let root = match self.kind {
            Kind::Interface => "LDM_interface",
            Kind::Event => "LDM_event",
        };
        w.open(root);
        w.attr("version", &self.version);
        if !self.is_legacy() {
            NAMESPACES.iter().for_each(|(name, uri)| w.attr(name, uri));
        }
        let option = match self.level() >= PLURAL_OPTIONS_SINCE {
            true => "options",
            false => "option",
        };
        self.commands.iter().for_each(|command| command.write(&mut w, option));
        self.loose.iter().for_each(|data| data.write(&mut w));
        self.other.iter().for_each(|other| w.element(other));
        write_outcome(&mut w, self.outcome.as_ref());
        w.close(root);
        w.finish()
    }

    /// The version of the interface as numbers; what cannot be read is the first.
    pub fn level(&self) -> (u32, u32) {
        let (major, minor) = self.version.split_once('.').unwrap_or((&self.version, "0"));
        (major.parse().unwrap_or(1), minor.parse().unwrap_or(0))
    }

    fn is_legacy(&self) -> bool {
        let mut data = self.commands.iter().flat_map(|command| &command.data).chain(&self.loose);
        data.any(Data::is_legacy)
    }
}

fn write_outcome(w: &mut Writer, outcome: Option<&Outcome>) {
    let Some(outcome) = outcome else { return };
    w.open("response");
    w.text_element("status", if outcome.success { "success" } else { "failure" });
    outcome.messages.iter().for_each(|message| w.text_element("resp_msg", message));
    w.close("response");
}

fn write_warnings(w: &mut Writer, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    w.open("response");
    warnings.iter().for_each(|warning| w.text_element("resp_msg", warning));
    w.close("response");
}

fn write_other(w: &mut Writer, other: &[Element<'static>]) {
    other.iter().for_each(|element| w.element(element));
}

impl Command {
    fn write(&self, w: &mut Writer, option: &str) {
        w.open("cmd");
        w.text_element("action", &self.action);
        self.options.iter().for_each(|value| w.text_element(option, value));
        write_other(w, &self.other);
        self.data.iter().for_each(|data| data.write(w));
        write_outcome(w, self.outcome.as_ref());
        write_warnings(w, &self.warnings);
        w.close("cmd");
    }
}

impl Data {
    pub(super) fn write(&self, w: &mut Writer) {
        w.open("data");
        w.attr("version", if self.version.is_empty() { "3.0" } else { &self.version });
        if let Some(envelope) = &self.envelope {
            if self.is_legacy() {
                legacy::write(w, envelope);
            } else {
                envelope.write(w);
            }
        }
        write_other(w, &self.other);
        write_outcome(w, self.outcome.as_ref());
        write_warnings(w, &self.warnings);
        w.close("data");
    }
}

impl Envelope {
    fn write(&self, w: &mut Writer) {
        w.open("Envelope");
        w.open("References");
        w.close("References");
        self.contents.iter().for_each(|content| content.write(w));
        self.sections.iter().for_each(|section| section.write(w));
        write_other(w, &self.other);
        w.close("Envelope");
    }
}

impl Content {
    fn write(&self, w: &mut Writer) {
        w.open("Content");
        w.attr("xsi:type", "ovf:VirtualSystem_Type");
        w.attr("id", &self.id);
        self.sections.iter().for_each(|section| section.write(w));
        write_other(w, &self.other);
        w.close("Content");
    }
}

impl Section {
    fn write(&self, w: &mut Writer) {
        w.open("Section");
        w.attr("xsi:type", &self.kind);
        self.items.iter().for_each(|item| item.write(w));
        write_other(w, &self.other);
        w.close("Section");
    }
}

impl Item {
    fn write(&self, w: &mut Writer) {
        w.open("Item");
        w.text_element("rasd:OtherResourceType", &self.resource);
        let fields = [
            ("uuid", &self.uuid),
            ("rasd:Address", &self.address),
            ("rasd:AllocationUnits", &self.units),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                w.text_element(name, value);
            }
        }
        for property in &self.properties {
            w.open("gprop:GenericProperty");
            w.attr("key", &property.key);
            w.text(&property.value);
            w.close("gprop:GenericProperty");
        }
        for binding in &self.bindings {
            w.open("bind:Binding");
            binding.write(w);
            w.close("bind:Binding");
        }
        write_other(w, &self.other);
        w.close("Item");
    }
}
