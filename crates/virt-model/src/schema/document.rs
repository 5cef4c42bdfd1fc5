//! Whole documents: a root element that is read, completed and printed.

use virt_error::{Code, Error, Origin, Result};
use virt_xml::Element;

use crate::schema::{Body, Out, ParseFlags, PrintFlags, explain};

/// A document with a root of its own.
pub trait Document: Body {
    const ROOT: &'static str;
    /// The part of the system that reports what is wrong with it.
    const ORIGIN: Origin;

    /// Fills in defaults and checks what was read.
    fn complete(&mut self, _flags: ParseFlags) -> Result<()> {
        Ok(())
    }

    /// Reads and completes a document.
    fn parse(xml: &str, flags: ParseFlags) -> Result<Self> {
        explain::reading(xml, Self::ORIGIN, |tree| Self::from_tree(tree, flags))
    }

    /// The same from a tree.
    fn from_tree(tree: &Element<'_>, flags: ParseFlags) -> Result<Self> {
        expect_root(tree, Self::ROOT, flags.validate)?;
        let mut document = Self::read(tree, flags)?;
        document.complete(flags)?;
        Ok(document)
    }

    /// Prints the document.
    fn to_xml(&self, flags: PrintFlags) -> String {
        let mut out = Out::new(flags);
        out.element(Self::ROOT, self);
        out.w.finish()
    }

    /// `VIR_ERR_XML_ERROR` from this document's part of the system.
    fn xml_error(detail: impl Into<String>) -> Error {
        Error::new(Code::XmlError, Self::ORIGIN, detail)
    }

    /// `VIR_ERR_CONFIG_UNSUPPORTED` likewise.
    fn unsupported(detail: impl Into<String>) -> Error {
        Error::new(Code::ConfigUnsupported, Self::ORIGIN, detail)
    }
}

/// The root must be the one that is asked for; what is in it conforms to its schema, where that is asked.
pub(crate) fn expect_root(tree: &Element<'_>, root: &str, validate: bool) -> Result<()> {
    if tree.name == root {
        return if validate { super::validate::check(tree) } else { Ok(()) };
    }
    let text = format!("expecting root element of '{root}', not '{}'", tree.name);
    let place = format!("line {}, column {}", tree.line, tree.column);
    Err(Error::new(Code::XmlError, Origin::Xml, text)
        .with_hint(format!("{place}: expected <{root}>, found <{}>", tree.name)))
}
