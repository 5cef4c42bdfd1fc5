//! What is said to the manager and what it says: documents, stanzas, sizes; no sockets.
//!
//! A request, its answer and an event are one shape ([`Message`]). Names are compared without their
//! prefixes, because managers print them declared, undeclared and under changing namespaces; what
//! nobody knows is kept as it came.

mod document;
mod envelope;
mod legacy;
mod print;
mod size;
mod stanza;

pub use document::{Command, Data, Kind, Message, Outcome};
pub use envelope::{Content, Envelope, Item, Property, Section};
pub use size::{parse_size, print_size};
pub use stanza::{Stanza, StanzaError, StanzaReader};

/// Why a text is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("not well-formed: {0}")]
    Xml(virt_xml::Error),
    #[error("neither LDM_interface nor LDM_event: {0}")]
    Root(String),
}
