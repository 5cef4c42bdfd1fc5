//! Domain, network, pool and the other documents, to and from XML; no I/O, no drivers.
//!
//! Every element is described once, by [`element!`]: its fields in libvirt's print order, each with
//! its kind and its name in XML. The struct, the reader, the writer and the table of known names
//! come from that description. What nobody acts on yet is kept as a tree in its place.
//!
//! A document that is to be validated is judged by the same descriptions and by `schema/shapes.tbl`, which
//! says what they leave open: [`schema::validate`].

#[macro_use]
pub mod schema;
pub mod backup;
pub mod capabilities;
pub mod domain;
pub mod filter;
pub mod filter_binding;
pub mod host_interface;
pub mod network;
pub mod node_device;
pub mod secret;
pub mod snapshot;
pub mod storage;

pub use schema::text::{Mac, NumberSet, OnOff, YesNo};
pub use schema::{Document, Flags, Out, ParseFlags, PrintFlags, Row, Text};
