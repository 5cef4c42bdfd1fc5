//! What the tests against libvirt share: certificates, a daemon of SSH, a user with a password, sessions
//! that are written down or made up.

mod hosts;
mod invent;
mod kerberos;
mod own;
mod pki;
mod sasl;
mod side;
mod sshd;
mod xend;

pub use hosts::Hosts;
pub use invent::{Entry, invented, table};
pub use kerberos::Realm;
pub use own::Own;
pub use pki::Pki;
pub use sasl::{credentials, password_line, reference_users};
pub use side::{Compared, Difference, compare, listed, sessions_folder, text_of};
pub use sshd::{Sshd, script};
pub use xend::XendHost;
