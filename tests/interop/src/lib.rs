//! What the tests against libvirt share: certificates, a daemon of SSH, a user with a password.

mod hosts;
mod kerberos;
mod own;
mod pki;
mod sasl;
mod sshd;
mod xend;

pub use hosts::Hosts;
pub use kerberos::Realm;
pub use own::Own;
pub use pki::Pki;
pub use sasl::{credentials, password_line, reference_users};
pub use sshd::{Sshd, script};
pub use xend::XendHost;
