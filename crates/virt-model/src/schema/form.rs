//! Forms of small trees that nobody acts on, so that they print as libvirt prints what it has read.
//!
//! libvirt keeps fields, not trees: attributes come out in its own order, numbers without leading
//! zeros, what it does not know not at all, and an element that says nothing is not there. A form says
//! this of a tree in one line; a part that a driver acts on is better a type of its own.

use virt_error::Result;
use virt_xml::Element;

use crate::schema::{Text, error};

/// What an attribute holds.
#[derive(Clone, Copy, Debug)]
pub enum Fact {
    Text,
    Number,
    /// A number whose 0 says nothing.
    Count,
    /// The first attribute's hexadecimal digits; 0 where it is absent and the element is not empty.
    Hex(usize),
    Words(&'static [&'static str]),
}

/// An element of one attribute that must be there.
const fn one(attribute: &'static [(&'static str, Fact)], needed: &'static [&'static str]) -> Form {
    Form { needed, ..attrs(attribute) }
}

/// An element: its attributes and children in the order of print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    pub attrs: &'static [(&'static str, Fact)],
    pub children: &'static [(&'static str, Form)],
    /// Attributes without which it is refused.
    pub needed: &'static [&'static str],
    /// It says something by being there, or by its text.
    pub stands_alone: bool,
}

const ON_OFF: Fact = Fact::Words(&["on", "off"]);
const YES_NO: Fact = Fact::Words(&["yes", "no"]);

/// A form without children.
const fn attrs(attrs: &'static [(&'static str, Fact)]) -> Form {
    Form { attrs, children: &[], needed: &[], stands_alone: false }
}

/// An element of nothing but its name or its text.
const ALONE: Form = Form { stands_alone: true, ..attrs(&[]) };

impl Form {
    /// The tree in this form; `None` where it says nothing.
    pub fn of(&self, tree: &Element<'_>) -> Result<Option<Element<'static>>> {
        if let Some(name) = self.needed.iter().find(|name| tree.attr(name).is_none()) {
            return Err(error::missing_attribute(tree, name));
        }
        let mut out = Element::new(tree.name.clone().into_owned());
        let said = self.attrs.iter().any(|(name, _)| tree.attr(name).is_some());
        for (name, fact) in self.attrs {
            let text = match (tree.attr(name), fact) {
                (Some(text), _) => fact.read(tree, name, text)?,
                // Hexadecimal numbers come together: the one that is absent is 0.
                (None, Fact::Hex(digits)) if said => Some(format!("0x{:0digits$x}", 0)),
                (None, _) => None,
            };
            if let Some(text) = text {
                out.set_attr(*name, text);
            }
        }
        if self.stands_alone && !tree.text().is_empty() {
            out = out.with_text(tree.text().into_owned());
        }
        for (name, form) in self.children {
            for child in tree.children_named(name) {
                if let Some(child) = form.of(child)? {
                    out = out.with_child(child);
                }
            }
        }
        let says = self.stands_alone || !out.attrs.is_empty() || out.elements().next().is_some();
        Ok(says.then_some(out))
    }
}

impl Fact {
    fn read(self, tree: &Element<'_>, name: &str, text: &str) -> Result<Option<String>> {
        let wrong = |expected| Err(error::invalid_value(tree, name, text, expected));
        Ok(Some(match self {
            Self::Text => text.to_owned(),
            Self::Number | Self::Count => match u32::parse(text) {
                Some(0) if matches!(self, Self::Count) => return Ok(None),
                Some(number) => number.to_string(),
                None => return wrong(u32::EXPECTED),
            },
            Self::Hex(digits) => {
                match virt_xml::parse_number(text, 0).and_then(|number| u32::try_from(number).ok())
                {
                    Some(number) => format!("0x{number:0digits$x}"),
                    None => return wrong("integer value"),
                }
            }
            Self::Words(words) if words.contains(&text) => text.to_owned(),
            Self::Words(_) => return wrong(""),
        }))
    }
}

pub const IOMMU_DRIVER: Form = attrs(&[
    ("intremap", ON_OFF),
    ("caching_mode", ON_OFF),
    ("eim", ON_OFF),
    ("iotlb", ON_OFF),
    ("aw_bits", Fact::Count),
    ("dma_translation", ON_OFF),
]);

pub const CRYPTO_BACKEND: Form =
    attrs(&[("model", Fact::Words(&["builtin", "lkcf"])), ("queues", Fact::Count)]);

pub const ZPCI: Form = attrs(&[("uid", Fact::Hex(4)), ("fid", Fact::Hex(8))]);

pub const LEASE: Form = Form {
    children: &[
        ("lockspace", ALONE),
        ("key", ALONE),
        ("target", attrs(&[("path", Fact::Text), ("offset", Fact::Count)])),
    ],
    ..attrs(&[])
};

pub const FILESYSTEM_DRIVER: Form = attrs(&[
    ("type", Fact::Words(&["path", "handle", "loop", "nbd", "ploop", "virtiofs", "mtp"])),
    ("format", Fact::Text),
    ("wrpolicy", Fact::Words(&["immediate"])),
    ("queue", Fact::Count),
    ("iommu", ON_OFF),
    ("ats", ON_OFF),
    ("packed", ON_OFF),
    ("page_per_vq", ON_OFF),
]);

pub const FILESYSTEM_BINARY: Form = Form {
    children: &[
        ("cache", attrs(&[("mode", Fact::Words(&["none", "always", "auto", "metadata"]))])),
        ("sandbox", attrs(&[("mode", Fact::Words(&["namespace", "chroot", "none"]))])),
        ("lock", attrs(&[("posix", ON_OFF), ("flock", ON_OFF)])),
        ("thread_pool", attrs(&[("size", Fact::Number)])),
        ("openfiles", attrs(&[("max", Fact::Count)])),
    ],
    ..attrs(&[("path", Fact::Text), ("xattr", ON_OFF)])
};

pub const TPM_DEVICE: Form = attrs(&[("path", Fact::Text)]);
pub const TPM_ENCRYPTION: Form = attrs(&[("secret", Fact::Text)]);
pub const TPM_BANKS: Form = Form {
    children: &[("sha1", ALONE), ("sha256", ALONE), ("sha384", ALONE), ("sha512", ALONE)],
    ..attrs(&[])
};
pub const TPM_SOURCE: Form =
    attrs(&[("type", Fact::Text), ("mode", Fact::Text), ("path", Fact::Text)]);
pub const TPM_PROFILE: Form = attrs(&[
    ("source", Fact::Text),
    ("removeDisabled", Fact::Words(&["check", "fips-host"])),
    ("name", Fact::Text),
]);

pub const INPUT_SOURCE: Form = attrs(&[
    ("dev", Fact::Text),
    ("evdev", Fact::Text),
    ("grab", Fact::Words(&["all"])),
    (
        "grabToggle",
        Fact::Words(&[
            "ctrl-ctrl",
            "alt-alt",
            "shift-shift",
            "meta-meta",
            "scrolllock",
            "ctrl-scrolllock",
        ]),
    ),
    ("repeat", ON_OFF),
]);

pub const CODEC: Form = attrs(&[("type", Fact::Words(&["duplex", "micro", "output"]))]);

/// One direction of an audio backend. Which attributes mean something depends on the backend's type.
pub const AUDIO_SIDE: Form = Form {
    children: &[(
        "settings",
        attrs(&[
            ("frequency", Fact::Count),
            ("channels", Fact::Count),
            ("format", Fact::Words(&["s8", "u8", "s16", "u16", "s32", "u32", "f32"])),
        ]),
    )],
    ..attrs(&[
        ("mixingEngine", YES_NO),
        ("fixedSettings", YES_NO),
        ("voices", Fact::Count),
        ("bufferLength", Fact::Count),
        ("dev", Fact::Text),
        ("name", Fact::Text),
        ("streamName", Fact::Text),
        ("latency", Fact::Count),
        ("serverName", Fact::Text),
        ("clientName", Fact::Text),
        ("connectPorts", Fact::Text),
        ("exactName", YES_NO),
        ("bufferCount", Fact::Count),
        ("tryPoll", YES_NO),
    ])
};

const SOMETIMES: Fact = Fact::Words(&["auto", "never", "always"]);

pub const IMAGE: Form = one(
    &[("compression", Fact::Words(&["auto_glz", "auto_lz", "quic", "glz", "lz", "off"]))],
    &["compression"],
);
pub const SOMETIMES_COMPRESSED: Form = one(&[("compression", SOMETIMES)], &["compression"]);
pub const PLAYBACK: Form = one(&[("compression", ON_OFF)], &["compression"]);
pub const STREAMING: Form = one(&[("mode", Fact::Words(&["filter", "all", "off"]))], &["mode"]);
pub const MOUSE: Form = one(&[("mode", Fact::Words(&["client", "server"]))], &["mode"]);
pub const CLIPBOARD: Form = one(&[("copypaste", YES_NO)], &["copypaste"]);
pub const FILETRANSFER: Form = one(&[("enable", YES_NO)], &["enable"]);

pub const HOST_DRIVER: Form = attrs(&[("name", Fact::Text), ("model", Fact::Text)]);

pub const RESOLUTION: Form = attrs(&[("x", Fact::Number), ("y", Fact::Number)]);

pub const PORT_FORWARD: Form = Form {
    children: &[(
        "range",
        attrs(&[
            ("start", Fact::Count),
            ("end", Fact::Count),
            ("to", Fact::Count),
            ("exclude", YES_NO),
        ]),
    )],
    ..attrs(&[
        ("proto", Fact::Words(&["tcp", "udp"])),
        ("address", Fact::Text),
        ("dev", Fact::Text),
    ])
};
