//! XML tree with positions, bounded parser, and a writer that prints as libvirt does; no I/O.
//!
//! ```
//! let tree = virt_xml::parse("<pool type='dir'><name>a &amp; b</name></pool>").unwrap();
//! assert_eq!(tree.attr("type"), Some("dir"));
//! assert_eq!(tree.child_text("name").as_deref(), Some("a & b"));
//! assert_eq!(virt_xml::to_string(&tree), "<pool type='dir'>\n  <name>a &amp; b</name>\n</pool>\n");
//! ```

mod access;
mod dump;
mod error;
mod fault;
mod parse;
mod peek;
mod scan;
mod tree;
mod write;

pub use access::{NumberError, parse_number};
pub use dump::{dump_foreign, foreign_content};
pub use error::{Error, ErrorKind};
pub use parse::{Limits, parse, parse_bytes, parse_with};
pub use peek::{Head, peek};
pub use tree::{Attr, Element, Node};
pub use write::{Mark, Writer, escape_into, to_string};
