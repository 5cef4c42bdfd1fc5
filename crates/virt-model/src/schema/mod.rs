//! How elements are described: the `element!` and `words!` tables, and what they are made of.

#[macro_use]
mod macros;
pub mod document;
pub mod domain_kinds;
pub mod entry_kinds;
pub mod error;
pub mod explain;
pub mod form;
pub mod kinds;
pub mod nearest;
pub mod other_kinds;
pub mod shape;
pub mod text;
pub mod validate;
pub mod when;
pub mod worded_kinds;

use virt_error::Result;
use virt_xml::{Element, Writer};

pub use document::Document;
pub use text::Text;

/// Bits that travel as a number in the public API.
pub trait Flags: Sized {
    fn from_bits(bits: u32) -> Self;
}

/// How a document is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseFlags {
    /// The document describes a stored definition: what belongs to a running object is dropped.
    pub inactive: bool,
    /// The document must conform to the schema.
    pub validate: bool,
    /// The document is to be changed into what a new definition gets by default.
    pub abi_update: bool,
    /// Read the document alone: no defaults, no cross-checks.
    pub skip_post_parse: bool,
    /// The document stands in a daemon's own file, which holds what it noted of a running object.
    pub status: bool,
}

/// How a document is printed: `virDomainXMLFlags` and its like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrintFlags {
    /// Passwords too.
    pub secure: bool,
    /// The stored definition: nothing of the running object.
    pub inactive: bool,
    pub update_cpu: bool,
    /// What an older peer can read.
    pub migratable: bool,
    /// For a daemon's own file: with what it noted of a running object.
    pub status: bool,
}

impl Flags for PrintFlags {
    fn from_bits(bits: u32) -> Self {
        Self {
            secure: bits & 1 != 0,
            inactive: bits & 2 != 0,
            update_cpu: bits & 4 != 0,
            migratable: bits & 8 != 0,
            status: false,
        }
    }
}

/// Where a document is printed to, and how.
#[derive(Debug)]
pub struct Out {
    pub w: Writer,
    pub flags: PrintFlags,
}

impl Out {
    pub fn new(flags: PrintFlags) -> Self {
        Self { w: Writer::new(), flags }
    }

    /// Prints an element with everything in it.
    pub fn element<T: Body>(&mut self, name: &str, body: &T) {
        self.w.open(name);
        body.attrs(self);
        body.children(self);
        self.w.close(name);
    }

    /// Prints an element unless there would be nothing in it.
    pub fn element_if_any<T: Body>(&mut self, name: &str, body: &T) {
        let mark = self.w.mark();
        self.w.open(name);
        let opened = self.w.len();
        body.attrs(self);
        body.children(self);
        if self.w.len() == opened {
            self.w.rewind(mark);
        } else {
            self.w.close(name);
        }
    }
}

/// One line of an element's description: the kind of a field and its name in XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: &'static str,
    pub name: &'static str,
}

/// What stands in an element: its attributes and what it holds.
pub trait Body: Sized {
    const ROWS: &'static [Row] = &[];
    /// What may stand in it, as far as the model says; `shapes.tbl` has the rest.
    fn items() -> Vec<shape::Item> {
        shape::amended::<Self>(Vec::new())
    }
    fn read(element: &Element<'_>, flags: ParseFlags) -> Result<Self>;
    fn attrs(&self, out: &mut Out);
    fn children(&self, out: &mut Out);
}
