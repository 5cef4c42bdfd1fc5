//! What an image says lies below it, as a storage source: paths, URIs, QEMU's old forms and `json:`.
//!
//! The text comes from inside an image, so from a guest: it names a place and decides nothing else.

mod json;
mod legacy;
mod uri;

use virt_error::{Error, Origin, Result};

use crate::domain::disk::DiskType;
use crate::domain::source::{Host, StorageSource};

/// What was read off such a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backing {
    pub source: StorageSource,
    /// Who to log in as, where the text says so.
    pub user: Option<String>,
    /// Parts of the text, as a password, have no place in a source.
    pub ignored: bool,
}

impl Backing {
    /// Reads the name of a backing file as an image holds it.
    ///
    /// ```
    /// use virt_model::domain::backing::Backing;
    /// let backing = Backing::parse("nbd:unix:/run/nbd:exportname=disk")?;
    /// assert_eq!(backing.source.name.as_deref(), Some("disk"));
    /// assert_eq!(backing.source.hosts[0].socket.as_deref(), Some("/run/nbd"));
    /// # Ok::<(), virt_error::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = scheme(text) else {
            return Ok(Self::local(DiskType::File, text));
        };
        match scheme {
            "json" => json::read(rest),
            _ if rest.starts_with("//") => uri::read(text),
            "fat" => Ok(Self::local(DiskType::Dir, rest)),
            "nbd" => legacy::nbd(rest),
            "rbd" => legacy::rbd(rest),
            _ => Err(refused(text)),
        }
    }

    fn local(kind: DiskType, path: &str) -> Self {
        let path = Some(path.to_owned());
        Self { source: StorageSource { kind, path, ..StorageSource::default() }, ..Self::default() }
    }

    fn network(protocol: &str, name: Option<String>, hosts: Vec<Host>) -> Self {
        let (kind, protocol) = (DiskType::Network, Some(protocol.to_owned()));
        let source = StorageSource { kind, protocol, name, hosts, ..StorageSource::default() };
        Self { source, ..Self::default() }
    }
}

/// What stands before the first colon, where no slash comes earlier: then it is no path.
fn scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once(':').filter(|(scheme, _)| !scheme.contains('/'))
}

fn refused(what: &str) -> Error {
    Error::internal(Origin::Storage, format!("failed to parse backing file location '{what}'"))
}

/// The port where a protocol's servers listen when nothing is said.
fn default_port(protocol: &str) -> Option<u16> {
    Some(match protocol {
        "ftp" => 21,
        "ssh" => 22,
        "tftp" => 69,
        "http" => 80,
        "https" => 443,
        "ftps" => 990,
        "iscsi" => 3260,
        "sheepdog" => 7000,
        "vxhs" => 9999,
        "nbd" => 10809,
        "gluster" => 24007,
        _ => return None,
    })
}

/// A server on the network, on the given port or on its protocol's own.
fn server(protocol: &str, name: &str, port: Option<&str>) -> Host {
    let default = || default_port(protocol).map(|port| port.to_string());
    let port = port.map(str::to_owned).or_else(default);
    Host { name: Some(name.to_owned()), port, ..Host::default() }
}

/// A server on this host.
fn socket(path: &str) -> Host {
    let (transport, socket) = (Some("unix".to_owned()), Some(path.to_owned()));
    Host { transport, socket, ..Host::default() }
}

/// A host and a port that may be absent; an address with colons stands in brackets.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A host without the brackets of an address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
