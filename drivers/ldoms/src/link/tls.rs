//! TLS to the manager, and how its certificate is judged.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, hash::Hash, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};

use super::{LinkError, Linked, Target, Trust};

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Starts TLS on a connection. The handshake itself happens with the first bytes.
pub(super) fn client(target: &Target, socket: TcpStream) -> Linked<TlsStream> {
    let failed = |error: &dyn std::fmt::Display| LinkError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?;
    let config = match &target.trust {
        Trust::Authority(file) => {
            let mut roots = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(file)
                .map_err(|error| failed(&format!("{}: {error}", file.display())))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Fingerprint(sum) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { sum: Some(*sum), provider }))
            .with_no_client_auth(),
        Trust::Anyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { sum: None, provider }))
            .with_no_client_auth(),
    };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(&error))?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
    Ok(StreamOwned::new(connection, socket))
}

/// SHA-256, by the provider that TLS brings along.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    sha256_provider().map(|hash| hash.hash(bytes).as_ref().to_vec()).unwrap_or_default()
}

fn sha256_provider() -> Option<&'static dyn Hash> {
    use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    Some(TLS13_AES_128_GCM_SHA256.tls13()?.common.hash_provider)
}

/// Takes one certificate, or any: managers make their own, which no authority has signed.
#[derive(Debug)]
struct Pinned {
    sum: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.sum {
            Some(sum) if sha256(end_entity) != sum => Err(rustls::Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sums_are_sha_256() {
        let sum = super::sha256(b"abc");
        assert_eq!(sum.get(..4), Some(&[0xba, 0x78, 0x16, 0xbf][..]));
        assert_eq!(sum.len(), 32);
    }
}
