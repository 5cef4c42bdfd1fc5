//! Where certificates and keys lie, and how they are read.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use virt_error::{Error, Origin, Result};

use super::failed;

/// Limit: a file of certificates.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The files one side of a connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub ca: PathBuf,
    /// Certificates taken back; need not be there.
    pub crl: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Files {
    /// All in one folder, as a URI's `pkipath` names it.
    pub fn in_folder(folder: &Path, side: Side) -> Self {
        let name = side.name();
        Self {
            ca: folder.join("cacert.pem"),
            crl: folder.join("cacrl.pem"),
            certificate: folder.join(format!("{name}cert.pem")),
            key: folder.join(format!("{name}key.pem")),
        }
    }

    /// Where they usually are: the person's own folder for each that is there, else the host's.
    pub fn usual(side: Side) -> Self {
        let name = side.name();
        let system = Self {
            ca: "/etc/pki/CA/cacert.pem".into(),
            crl: "/etc/pki/CA/cacrl.pem".into(),
            certificate: format!("/etc/pki/libvirt/{name}cert.pem").into(),
            key: format!("/etc/pki/libvirt/private/{name}key.pem").into(),
        };
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let Some(home) = home.filter(|_| !rustix::process::geteuid().is_root()) else {
            return system;
        };
        let own = Self::in_folder(&Path::new(&home).join(".pki/libvirt"), side);
        let pair = own.certificate.exists() && own.key.exists();
        Self {
            crl: if own.crl.exists() { own.crl } else { system.crl },
            ca: if own.ca.exists() { own.ca } else { system.ca },
            certificate: if pair { own.certificate } else { system.certificate },
            key: if pair { own.key } else { system.key },
        }
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        Error::io(Origin::Rpc, &error, format_args!("Cannot read {what} '{}'", path.display()))
    };
    let meta = std::fs::metadata(path).map_err(failed)?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(failed)
}

pub(super) fn certificates(path: &Path, what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let text = read(path, what)?;
    let parsed: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let parsed = parsed.map_err(|error| {
        failed(format_args!("Unable to import {what} {}: {error}", path.display()))
    })?;
    if parsed.is_empty() {
        return Err(failed(format_args!("Unable to import {what} {}: none in it", path.display())));
    }
    Ok(parsed)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let text = read(path, "private key")?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        failed(format_args!("Unable to import private key {}: {error}", path.display()))
    })
}

/// The lists of a file that need not be there.
pub(super) fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read(path, "CA certificate revocation list")?;
    let parsed: std::result::Result<Vec<_>, _> =
        CertificateRevocationListDer::pem_slice_iter(&text).collect();
    parsed.map_err(|error| {
        let shown = path.display();
        failed(format_args!("Unable to import CA certificate revocation list {shown}: {error}"))
    })
}
