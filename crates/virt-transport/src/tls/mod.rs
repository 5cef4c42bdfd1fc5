//! TLS: what both sides must show each other before a word of the protocol is said.
//!
//! The chain of certificates is judged by webpki, the host's name by us: certificates of old name
//! it only in their subject. After the handshake the daemon says one byte when it lets a client in.
//! Compat: TLS 1.2 and 1.3 only; a peer that speaks less cannot be reached.

mod files;
mod name;
mod priority;
mod session;
mod verify;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
};
use virt_error::{Code, Error, Origin, Result};

pub use files::{Files, Side};
pub use session::{Session, TlsError};

/// What the daemon says, encrypted, to a client that it lets in.
pub const WELCOME: u8 = 1;

/// The one place that names who does the arithmetic.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn failed(what: impl std::fmt::Display) -> Error {
    Error::new(Code::SystemError, Origin::Rpc, what.to_string())
}

fn roots(files: &Files) -> Result<Arc<RootCertStore>> {
    let path = &files.ca;
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(path, "CA certificate")? {
        roots.add(certificate).map_err(|error| {
            failed(format_args!("Unable to import CA certificate {}: {error}", path.display()))
        })?;
    }
    if roots.is_empty() {
        return Err(failed(format_args!("No CA certificate found in {}", path.display())));
    }
    Ok(Arc::new(roots))
}

/// Refuses to show a certificate that the same authority would refuse.
fn check_signed(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    files: &Files,
) -> Result<()> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
    let verifier = verifier.build().map_err(failed)?;
    let Some((own, others)) = chain.split_first() else { return Ok(()) };
    match verifier.verify_client_cert(own, others, UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let (own, authority) = (files.certificate.display(), files.ca.display());
            let reason = match error {
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    "The certificate hasn't got a known issuer.".to_owned()
                }
                other => other.to_string(),
            };
            Err(failed(format_args!(
                "Our own certificate {own} failed validation against {authority}: {reason}"
            )))
        }
    }
}

/// What a daemon shows to clients, and whom it lets in.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl ServerTls {
    /// Reads the files. Without `verify` every client is let in; without `sane` our own files are
    /// not looked at twice.
    pub fn load(files: &Files, verify: bool, sane: bool, priority: Option<&str>) -> Result<Self> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&priority::versions(priority)?)
            .map_err(failed)?;
        let roots = roots(files)?;
        let chain = files::certificates(&files.certificate, "server certificate")?;
        let key = files::private_key(&files.key)?;
        if sane {
            name::check_lifetime(&chain, &files.certificate, "server")?;
        }
        let verifier = match verify {
            false => None,
            true => Some(
                WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .with_crls(files::revocations(&files.crl)?)
                    // Compat: a list speaks only about those it names.
                    .allow_unknown_revocation_status()
                    .build()
                    .map_err(failed)?,
            ),
        };
        let builder = match &verifier {
            Some(verifier) => {
                builder.with_client_cert_verifier(Arc::new(verify::Later(Arc::clone(verifier))))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let shown = files.certificate.display();
            failed(format_args!("Unable to use server certificate {shown}: {error}"))
        })?;
        // Compat: libvirt's clients take one for an interruption of our welcome.
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// The session of a client that just came.
    pub fn accept(&self) -> Result<Session> {
        ServerConnection::new(Arc::clone(&self.config))
            .map(|connection| Session::new(connection.into(), self.verifier.clone()))
            .map_err(failed)
    }
}

/// How a client looks at the daemon it reaches.
#[derive(Clone, Debug)]
pub struct ClientTls<'a> {
    /// The folder with all files, where the URI names one.
    pub folder: Option<&'a Path>,
    /// Whether the daemon's certificate must be good.
    pub verify: bool,
    /// Whether our own certificate is looked at before it is shown.
    pub sane: bool,
    /// Which versions may be spoken, in GnuTLS's words.
    pub priority: Option<&'a str>,
}

impl ClientTls<'_> {
    /// The session with a daemon on a host.
    pub fn connect(&self, host: &str) -> Result<Session> {
        let files = match self.folder {
            Some(folder) => Files::in_folder(folder, Side::Client),
            None => Files::usual(Side::Client),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&priority::versions(self.priority)?)
            .map_err(failed)?;
        let roots = roots(&files)?;
        let verifier = verify::Verifier::new(
            Arc::clone(&roots),
            provider(),
            files::revocations(&files.crl)?,
            host,
            self.verify,
        )?;
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        // Compat: a daemon that asks nobody for certificates is reached without one.
        let config = if files.certificate.exists() && files.key.exists() {
            let chain = files::certificates(&files.certificate, "client certificate")?;
            if self.sane {
                name::check_lifetime(&chain, &files.certificate, "client")?;
                check_signed(&roots, &chain, &files)?;
            }
            builder.with_client_auth_cert(chain, files::private_key(&files.key)?).map_err(
                |error| {
                    let shown = files.certificate.display();
                    failed(format_args!("Unable to use client certificate {shown}: {error}"))
                },
            )?
        } else {
            builder.with_no_client_auth()
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(format_args!("'{host}': {error}")))?;
        ClientConnection::new(Arc::new(config), name)
            .map(|connection| Session::new(connection.into(), None))
            .map_err(failed)
    }
}
