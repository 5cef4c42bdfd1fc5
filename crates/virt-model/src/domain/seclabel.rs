//! Labels of the host's security drivers.

use virt_error::Result;
use virt_xml::Element;

use crate::schema::text::YesNo;
use crate::schema::{Body, Out, ParseFlags, Row, error, kinds};

words! {
    pub enum SeclabelType {
        Dynamic = "dynamic",
        Static = "static",
        None = "none",
    }
}

/// A label; made up at each start where it is dynamic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seclabel {
    pub kind: Option<SeclabelType>,
    pub model: Option<String>,
    pub relabel: Option<YesNo>,
    pub label: Option<String>,
    pub imagelabel: Option<String>,
    pub baselabel: Option<String>,
}

impl Seclabel {
    /// What type and relabelling say of each other.
    fn complete(&mut self) -> Result<()> {
        if self.model.as_deref() == Some("none") {
            (self.kind, self.relabel) = (Some(SeclabelType::None), None);
        }
        match (self.kind, self.relabel) {
            (Some(SeclabelType::Dynamic), Some(YesNo::No)) => {
                Err(error::unsupported("dynamic label type must use resource relabeling"))
            }
            (Some(SeclabelType::None), Some(YesNo::Yes)) => Err(error::unsupported(
                "resource relabeling is not compatible with 'none' label type",
            )),
            (Some(SeclabelType::Static), _) if self.label.is_none() => {
                Err(error::xml("security label is missing"))
            }
            (kind, given) => {
                self.relabel = match kind {
                    Some(SeclabelType::Dynamic) => Some(YesNo::Yes),
                    Some(SeclabelType::Static) => given.or(Some(YesNo::No)),
                    Some(SeclabelType::None) | None => None,
                };
                Ok(())
            }
        }
    }

    /// Whether the labels are the running guest's alone.
    fn is_made_up(&self) -> bool {
        self.kind.is_none_or(|kind| kind == SeclabelType::Dynamic)
    }
}

impl Body for Seclabel {
    const ROWS: &'static [Row] = &[
        Row { kind: "attr", name: "type" },
        Row { kind: "attr", name: "model" },
        Row { kind: "attr", name: "relabel" },
        Row { kind: "text", name: "label" },
        Row { kind: "text", name: "imagelabel" },
        Row { kind: "text", name: "baselabel" },
    ];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let text = |name: &'static str| kinds::text::read(element, flags, name);
        let mut label = Self {
            kind: kinds::read_value(element, "type")?,
            model: kinds::read_value(element, "model")?,
            relabel: kinds::read_value(element, "relabel")?,
            label: text("label")?,
            imagelabel: text("imagelabel")?,
            baselabel: text("baselabel")?,
        };
        label.complete()?;
        if flags.inactive {
            label.imagelabel = None;
            if label.is_made_up() {
                label.label = None;
            }
        }
        Ok(label)
    }

    fn attrs(&self, out: &mut Out) {
        kinds::attr::attrs(&self.kind, out, "type");
        kinds::attr::attrs(&self.model, out, "model");
        kinds::attr::attrs(&self.relabel, out, "relabel");
    }

    fn children(&self, out: &mut Out) {
        if !(out.flags.inactive && self.is_made_up()) {
            kinds::text::children(&self.label, out, "label");
            kinds::text::children(&self.imagelabel, out, "imagelabel");
        }
        kinds::text::children(&self.baselabel, out, "baselabel");
    }
}
