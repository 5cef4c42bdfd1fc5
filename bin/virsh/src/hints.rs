//! Help for those who read along: who is at fault on the way to a daemon, and what mends it.

use virt_cli::hints_wanted;
use virt_error::Error;
use virt_transport::{Target, Transport, Uri, User};

use crate::failure::Failure;
use crate::host::Host;
use crate::host::socket::blame;

/// A connection that could not be made.
pub(crate) fn unreachable(uri: Option<&str>, read_only: bool, error: Error) -> Failure {
    let mut failure = Failure::from(error);
    if failure.hint.is_none() && hints_wanted() {
        failure.hint = on_the_way(uri, read_only);
    }
    failure
}

fn on_the_way(uri: Option<&str>, read_only: bool) -> Option<String> {
    let user = User::current();
    let default = if user.root { "qemu:///system" } else { "qemu:///session" };
    let uri = Uri::parse(uri.unwrap_or(default)).ok()?;
    let target = Target::of(&uri, &user, read_only).ok()?;
    let there = &target.host;
    match target.transport {
        Transport::Unix => {
            let finding = blame(&Host::this(), &target.socket, target.spawn.is_some())?;
            let lines = std::iter::once(finding.what).chain(finding.fix);
            Some(lines.collect::<Vec<_>>().join("\n"))
        }
        Transport::Tcp => Some(format!(
            "nothing answered at {there}, port {}: there, set listen_tcp = 1 in \
             /etc/libvirt/libvirtd.conf and start the daemon with --listen; qemu+ssh:// needs neither",
            target.port.unwrap_or(16509)
        )),
        Transport::Tls => Some(format!(
            "{there}, port {}, is reached with certificates: /etc/pki/CA/cacert.pem and, for this \
             client, /etc/pki/libvirt/clientcert.pem and private/clientkey.pem; qemu+ssh:// needs none",
            target.port.unwrap_or(16514)
        )),
        Transport::Ssh | Transport::Libssh | Transport::Libssh2 => {
            let user = target.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
            Some(format!("check the way there: ssh {user}{there} virt-ssh-helper --help"))
        }
        Transport::Ext => None,
    }
}
