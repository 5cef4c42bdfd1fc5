//! Encryption of streams: the certificate, made here unless one is given, and what is spoken.

use std::path::Path;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use virt_store::Durability;

use crate::certificate;
use crate::options::Settings;

/// Limit: of a file with a key or a certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What the streams of this manager are encrypted with.
pub(crate) fn config(settings: &Settings) -> Result<Arc<ServerConfig>, String> {
    let (chain, key) = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => given(certificate, key)?,
        (None, None) => own(settings)?,
        _ => return Err("a certificate needs its key, and a key its certificate".to_owned()),
    };
    let both = [&TLS13, &TLS12];
    let versions = if settings.profile.tls12_only() { &both[1..] } else { &both };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

fn given(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let read =
        |path: &Path| virt_store::read(path, FILE_BYTES_MAX).map_err(|error| error.to_string());
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{}: {error}", certificate.display()))?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| format!("{}: {error}", key.display()))?;
    Ok((chain, private))
}

/// A key and a certificate of our own; with a folder to keep state in, always the same.
fn own(settings: &Settings) -> Result<Identity, String> {
    let fail = |_| "cannot make a key".to_owned();
    let path = settings.state.as_ref().map(|folder| folder.join("key.der"));
    let random = SystemRandom::new();
    let key = match &path {
        Some(path) if path.exists() => {
            virt_store::read(path, FILE_BYTES_MAX).map_err(|error| error.to_string())?
        }
        _ => {
            let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
            let key = made.map_err(fail)?.as_ref().to_vec();
            if let Some(path) = &path {
                virt_store::write(path, &key, 0o600, Durability::Process)
                    .map_err(|error| error.to_string())?;
            }
            key
        }
    };
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key, &random)
        .map_err(|error| format!("the kept key is of no use: {error}"))?;
    let body = certificate::body(&settings.hostname, pair.public_key().as_ref());
    let signature = pair.sign(&random, &body).map_err(fail)?;
    let whole = certificate::signed(&body, signature.as_ref());
    Ok((vec![whole.into()], PrivatePkcs8KeyDer::from(key).into()))
}
