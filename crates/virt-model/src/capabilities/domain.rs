//! The domain capabilities: what a domain of one machine type can have.

use virt_error::{Origin, Result};
use virt_xml::Element;

use super::Choice;
use crate::domain::Cpu;
use crate::schema::text::YesNo;
use crate::schema::{Body, Document, Out, ParseFlags, Row, kinds};

element! {
    pub struct DomainCapabilities {
        /// The emulator.
        path: Option<String> = text("path"),
        domain: Option<String> = text("domain"),
        machine: Option<String> = text("machine"),
        arch: Option<String> = text("arch"),
        vcpu: Option<VcpuMax> = child("vcpu"),
        iothreads: Option<Support> = child("iothreads"),
        os: Option<Support> = child("os"),
        cpu: Option<CpuModes> = child("cpu"),
        memory_backing: Option<Support> = child("memoryBacking"),
        devices: Option<Supports> = child_long_opt("devices"),
        features: Option<Supports> = child_long_opt("features"),
    }
}

element! {
    pub struct VcpuMax {
        max: u32 = attr_req("max"),
    }
}

/// Whether something can be had, and with which values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Support {
    pub supported: Option<YesNo>,
    pub values: Vec<String>,
    pub choices: Vec<Choice>,
    /// What else is said, in order.
    pub rest: Vec<Element<'static>>,
}

impl Support {
    pub fn is_supported(&self) -> bool {
        self.supported == Some(YesNo::Yes)
    }

    /// The values that a word may have.
    pub fn choice(&self, name: &str) -> Option<&[String]> {
        self.choices
            .iter()
            .find(|choice| choice.name == name)
            .map(|choice| choice.values.as_slice())
    }
}

impl Body for Support {
    const ROWS: &'static [Row] = &[
        Row { kind: "attr", name: "supported" },
        Row { kind: "texts", name: "value" },
        Row { kind: "list", name: "enum" },
    ];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let own = |e: &&Element<'_>| e.name != "value" && e.name != "enum";
        Ok(Self {
            supported: kinds::read_value(element, "supported")?,
            values: kinds::texts::read(element, flags, "value")?,
            choices: kinds::list::read(element, flags, "enum")?,
            rest: element.elements().filter(own).map(Element::content).collect(),
        })
    }

    fn attrs(&self, out: &mut Out) {
        kinds::attr::attrs(&self.supported, out, "supported");
    }

    fn children(&self, out: &mut Out) {
        kinds::texts::children(&self.values, out, "value");
        kinds::list::children(&self.choices, out, "enum");
        self.rest.iter().for_each(|element| out.w.element(element));
    }
}

/// Devices or features, by name and in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Supports(pub Vec<(String, Support)>);

impl Supports {
    pub fn get(&self, name: &str) -> Option<&Support> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, support)| support)
    }
}

impl Body for Supports {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let read = |e: &Element<'_>| Ok((e.name.to_string(), Support::read(e, flags)?));
        element.elements().map(read).collect::<Result<_>>().map(Self)
    }

    fn attrs(&self, _: &mut Out) {}

    fn children(&self, out: &mut Out) {
        for (name, support) in &self.0 {
            out.element(name, support);
        }
    }
}

element! {
    pub struct CpuModes {
        modes: Vec<CpuMode> = list("mode"),
    }
}

/// One way to give a domain a processor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuMode {
    pub name: String,
    pub supported: YesNo,
    pub choices: Vec<Choice>,
    /// The processor that `host-model` stands for.
    pub cpu: Cpu,
    /// The models that a custom processor may name.
    pub models: Vec<CpuModelUse>,
}

impl Body for CpuMode {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let mut mode = Self {
            name: kinds::attr_req::read(element, flags, "name")?,
            supported: kinds::attr_req::read(element, flags, "supported")?,
            choices: kinds::list::read(element, flags, "enum")?,
            ..Self::default()
        };
        if mode.name == "custom" {
            mode.models = kinds::list::read(element, flags, "model")?;
            for blockers in element.children_named("blockers") {
                let model = blockers.attr("model");
                if let Some(of) = mode.models.iter_mut().find(|m| m.name.as_deref() == model) {
                    of.blockers = kinds::list::read(blockers, flags, "feature")?;
                }
            }
        } else {
            // The mode's own name would be taken for the processor's.
            let bare = Element { attrs: Vec::new(), ..element.clone() };
            mode.cpu = Cpu::read(&bare, flags)?;
        }
        Ok(mode)
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("name", &self.name);
        out.w.attr("supported", self.supported.as_str());
    }

    fn children(&self, out: &mut Out) {
        kinds::list::children(&self.choices, out, "enum");
        self.cpu.children(out);
        for model in &self.models {
            out.element("model", model);
            if !model.blockers.is_empty() {
                out.w.open("blockers");
                out.w.attr("model", model.name.as_deref().unwrap_or_default());
                kinds::list::children(&model.blockers, out, "feature");
                out.w.close("blockers");
            }
        }
    }
}

/// A model, whether this host can run it, and what it lacks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuModelUse {
    pub usable: String,
    pub deprecated: Option<YesNo>,
    pub vendor: Option<String>,
    /// The model that an alias stands for.
    pub canonical: Option<String>,
    pub name: Option<String>,
    pub blockers: Vec<Blocker>,
}

element! {
    /// A feature that the host lacks.
    pub struct Blocker {
        name: String = attr_req("name"),
    }
}

impl Body for CpuModelUse {
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        Ok(Self {
            usable: kinds::attr_req::read(element, flags, "usable")?,
            deprecated: kinds::read_value(element, "deprecated")?,
            vendor: kinds::read_value(element, "vendor")?,
            canonical: kinds::read_value(element, "canonical")?,
            name: kinds::content::read(element, flags)?,
            blockers: Vec::new(),
        })
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("usable", &self.usable);
        kinds::attr::attrs(&self.deprecated, out, "deprecated");
        kinds::attr::attrs(&self.vendor, out, "vendor");
        kinds::attr::attrs(&self.canonical, out, "canonical");
    }

    fn children(&self, out: &mut Out) {
        kinds::content::children(&self.name, out);
    }
}

impl Document for DomainCapabilities {
    const ROOT: &'static str = "domainCapabilities";
    const ORIGIN: Origin = Origin::Capabilities;
}
