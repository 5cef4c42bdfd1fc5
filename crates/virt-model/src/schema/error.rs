//! libvirt's errors about elements and attributes, worded as it words them.
//!
//! Compat: codes and messages are libvirt's. Help travels beside them in `str3`, which libvirt leaves empty;
//! it is added by [`crate::schema::explain`], which sees the whole document.

use virt_error::{Code, Error, Origin};
use virt_xml::Element;

/// `VIR_ERR_XML_ERROR`.
pub fn xml(detail: impl Into<String>) -> Error {
    Error::new(Code::XmlError, Origin::Domain, detail)
}

/// `VIR_ERR_CONFIG_UNSUPPORTED`.
pub fn unsupported(detail: impl Into<String>) -> Error {
    Error::new(Code::ConfigUnsupported, Origin::Domain, detail)
}

/// `VIR_ERR_INTERNAL_ERROR`.
pub fn internal(detail: impl Into<String>) -> Error {
    Error::new(Code::InternalError, Origin::Domain, detail)
}

/// `VIR_ERR_INVALID_ARG`, which names no part of the system.
pub fn invalid_arg(detail: impl Into<String>) -> Error {
    Error::new(Code::InvalidArg, Origin::None, detail)
}

/// An attribute with a value that is none of its vocabulary or no number.
pub fn invalid_value(element: &Element<'_>, attr: &str, value: &str, expected: &str) -> Error {
    let mut text =
        format!("Invalid value for attribute '{attr}' in element '{}': '{value}'.", element.name);
    if !expected.is_empty() {
        text.push_str(" Expected ");
        text.push_str(expected);
    }
    Error::new(Code::XmlError, Origin::Xml, text)
}

/// An attribute that must be there.
pub fn missing_attribute(element: &Element<'_>, attr: &str) -> Error {
    let text = format!("Missing required attribute '{attr}' in element '{}'", element.name);
    Error::new(Code::XmlError, Origin::Xml, text)
}

/// A document that is not well formed.
pub fn malformed(error: &virt_xml::Error, from: Origin) -> Error {
    Error::new(Code::XmlDetail, from, error.framed(None)).with_hint(error.help())
}
