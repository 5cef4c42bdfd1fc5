//! A processor as a document describes it.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::cpu::{Match, Mode, Policy};
use virt_model::schema::explain;
use virt_xml::Element;

use crate::models::is_arch;
use crate::tables::{Features, Tables};

/// What a `<cpu>` element says, whether of a host or of a guest.
#[derive(Clone, Debug, Default)]
pub struct Description {
    pub arch: Option<String>,
    pub mode: Option<Mode>,
    pub match_: Option<Match>,
    pub model: Option<String>,
    pub vendor: Option<String>,
    pub features: Vec<(String, Policy)>,
}

fn xml_error(detail: impl Into<String>) -> Error {
    Error::new(Code::XmlError, Origin::Cpu, detail)
}

impl Description {
    /// Reads one document.
    pub fn parse(text: &str, from: Origin) -> Result<Self> {
        let root = virt_xml::parse(text).map_err(|error| {
            Error::new(Code::XmlError, from, error.framed(Some("(CPU_definition)")))
                .with_hint(error.help())
        })?;
        explain::helped(&root, Self::from_root(&root))
    }

    fn from_root(root: &Element<'_>) -> Result<Self> {
        if root.name != "cpu" {
            return Err(xml_error("XML does not contain expected 'cpu' element"));
        }
        Self::read(root)
    }

    fn read(root: &Element<'_>) -> Result<Self> {
        let invalid = |what: &str, value: &str| {
            let detail = format!("Invalid {what} attribute for CPU specification: {value}");
            xml_error(detail)
        };
        let mode = root
            .attr("mode")
            .map(|word| Mode::from_word(word).ok_or_else(|| invalid("mode", word)));
        let match_ = root
            .attr("match")
            .map(|word| Match::from_word(word).ok_or_else(|| invalid("match", word)));
        let arch = root.child_text("arch").map(|text| text.into_owned());
        if let Some(arch) = arch.as_deref().filter(|arch| !is_arch(arch)) {
            let detail = format!("Unknown architecture {arch}");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Cpu, detail));
        }
        let mut features: Vec<(String, Policy)> = Vec::new();
        for element in root.children_named("feature") {
            let name = element.attr("name").filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| xml_error("Invalid CPU feature name"))?;
            if features.iter().any(|(known, _)| known == name) {
                let detail = format!("CPU feature '{name}' specified more than once");
                return Err(xml_error(detail));
            }
            // Compat: a host has its features or does not; policies are the guest's.
            let policy = match element.attr("policy").filter(|_| arch.is_none()) {
                Some(word) => Policy::from_word(word)
                    .ok_or_else(|| xml_error("Invalid CPU feature policy"))?,
                None => Policy::Require,
            };
            features.push((name.to_owned(), policy));
        }
        Ok(Self {
            arch,
            mode: mode.transpose()?,
            match_: match_.transpose()?,
            model: root.child_text("model").map(|text| text.into_owned()),
            vendor: root.child_text("vendor").map(|text| text.into_owned()),
            features,
        })
    }

    /// The features of the model and those the document has for each policy.
    pub(crate) fn resolve(&self, tables: &Tables) -> Result<Resolved> {
        let internal = |detail: String| Error::internal(Origin::Cpu, detail);
        if let Some(vendor) = &self.vendor
            && !tables.models().iter().any(|model| model.vendor == Some(vendor))
        {
            let detail = format!("Unknown CPU vendor {vendor}");
            return Err(Error::new(Code::OperationFailed, Origin::Cpu, detail));
        }
        let mut resolved = Resolved::default();
        if let Some(name) = &self.model {
            let model = tables.model(name);
            let model = model.ok_or_else(|| internal(format!("Unknown CPU model {name}")))?;
            resolved.vendor = model.vendor;
            resolved.model.clone_from(&model.features);
        }
        for (name, policy) in &self.features {
            let row = tables.row(name);
            let row = row.ok_or_else(|| internal(format!("Unknown CPU feature {name}")))?;
            match policy {
                Policy::Require => resolved.require.insert(row),
                Policy::Force => resolved.force.insert(row),
                Policy::Optional => resolved.optional.insert(row),
                Policy::Disable => resolved.disable.insert(row),
                Policy::Forbid => resolved.forbid.insert(row),
            };
        }
        Ok(resolved)
    }
}

/// A description's features as rows of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) vendor: Option<&'static str>,
    pub(crate) model: Features,
    pub(crate) require: Features,
    pub(crate) force: Features,
    pub(crate) optional: Features,
    pub(crate) disable: Features,
    pub(crate) forbid: Features,
}
