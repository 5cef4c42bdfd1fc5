//! What the tests against libvirt share: certificates, a daemon of SSH, a user with a password, an agent
//! in a guest, sessions that are written down or made up, people at terminals.

mod agent;
mod hosts;
mod invent;
mod kerberos;
mod ldoms;
mod own;
mod pki;
mod sasl;
mod side;
mod sshd;
mod terminal;
mod xend;

pub use agent::Agent;
pub use hosts::Hosts;
pub use invent::{Entry, invented, table};
pub use kerberos::Realm;
pub use ldoms::LdomsHost;
pub use own::Own;
pub use pki::Pki;
pub use sasl::{credentials, password_line, reference_users};
pub use side::{
    Compared, Difference, Document, compare, compare_with, listed, sessions_folder, text_of,
};
pub use sshd::{Sshd, script};
pub use terminal::{CTRL_C, PATIENCE, Person, SlowFile, World, same, shells, without_progress};
pub use xend::XendHost;
