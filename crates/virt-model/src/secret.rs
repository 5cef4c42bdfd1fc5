//! The secret document: what a secret is for; its value is never in it.

use virt_error::{Error, Origin, Result};
use virt_types::Uuid;
use virt_xml::Element;

use crate::schema::{Body, Document, Out, ParseFlags, Row, kinds};

words! {
    pub enum UsageType {
        None = "none",
        Volume = "volume",
        Ceph = "ceph",
        Iscsi = "iscsi",
        Tls = "tls",
        Vtpm = "vtpm",
    }
}

element! {
    pub struct Secret {
        ephemeral: bool = yes_or_no("ephemeral"),
        private: bool = yes_or_no("private"),
        uuid: Option<Uuid> = uuid_of("uuid", virt_error::Origin::Secret),
        description: Option<String> = text("description"),
        usage: Option<Usage> = child("usage"),
    }
}

/// What the secret is used for: the kind, and the name or volume or target by which it is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub kind: UsageType,
    pub id: Option<String>,
}

impl Usage {
    fn id_element(&self) -> &'static str {
        match self.kind {
            UsageType::Volume => "volume",
            UsageType::Iscsi => "target",
            _ => "name",
        }
    }
}

impl Body for Usage {
    const ROWS: &'static [Row] = &[
        Row { kind: "attr", name: "type" },
        Row { kind: "text", name: "volume" },
        Row { kind: "text", name: "name" },
        Row { kind: "text", name: "target" },
    ];

    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        let mut usage = Self { kind: kinds::attr_req::read(element, flags, "type")?, id: None };
        usage.id = element
            .child_text(usage.id_element())
            .filter(|id| !id.is_empty())
            .map(std::borrow::Cow::into_owned);
        if usage.id.is_none() && usage.kind != UsageType::None {
            let what = match usage.kind {
                UsageType::Volume => "volume usage specified, but volume path is missing",
                UsageType::Ceph => "Ceph usage specified, but name is missing",
                UsageType::Iscsi => "iSCSI usage specified, but target is missing",
                UsageType::Tls => "TLS usage specified, but name is missing",
                _ => "vTPM usage specified, but name is missing",
            };
            return Err(Error::internal(Secret::ORIGIN, what));
        }
        Ok(usage)
    }

    fn attrs(&self, out: &mut Out) {
        out.w.attr("type", self.kind.as_str());
    }

    fn children(&self, out: &mut Out) {
        if let Some(id) = &self.id {
            out.w.text_element(self.id_element(), id);
        }
    }
}

impl Document for Secret {
    const ROOT: &'static str = "secret";
    const ORIGIN: Origin = Origin::Secret;

    fn complete(&mut self, _: ParseFlags) -> Result<()> {
        self.uuid.get_or_insert_with(Uuid::random);
        Ok(())
    }
}
