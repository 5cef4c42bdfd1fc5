//! Another manager, as a client of it: what a domain needs to be taken over.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::base64;
use crate::message::Object;
use crate::stanza::{Piece, Splitter};
use crate::style::Style;

/// How long the other side may take for anything.
const WAIT: Duration = Duration::from_secs(10);
const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const STARTTLS: &[u8] = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// Both directions of a connection, plain or encrypted.
trait Link: io::Read + io::Write {}
impl<T: io::Read + io::Write> Link for T {}

/// A stream that is open for documents.
pub(crate) struct Peer {
    link: Box<dyn Link>,
    splitter: Splitter,
}

impl Peer {
    /// Connects, encrypts and logs in.
    pub(crate) fn log_in(address: SocketAddr, user: &str, password: &str) -> Result<Self, String> {
        let fail = |why: io::Error| format!("Failed to establish connection with ldmd: {why}");
        let socket = TcpStream::connect_timeout(&address, WAIT).map_err(fail)?;
        socket.set_read_timeout(Some(WAIT)).map_err(fail)?;
        socket.set_write_timeout(Some(WAIT)).map_err(fail)?;
        let plain = socket.try_clone().map_err(fail)?;
        let mut peer = Self { link: Box::new(plain), splitter: Splitter::default() };
        let mut features = peer.open()?;
        if features.contains("starttls") {
            peer.send(STARTTLS)?;
            peer.expect("proceed")?;
            peer = Self { link: encrypted(socket)?, splitter: Splitter::default() };
            features = peer.open()?;
        }
        if features.contains("PLAIN") {
            let credentials = base64::encode(format!("\0{user}\0{password}").as_bytes());
            let auth = format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>"
            );
            peer.send(auth.as_bytes())?;
            let refused = |_| format!("User {user} is not authorized on the target machine");
            peer.expect("success").map_err(refused)?;
            peer.open()?;
        }
        Ok(peer)
    }

    /// Sends a header, and gives the features that answer it.
    fn open(&mut self) -> Result<String, String> {
        self.send(HEADER)?;
        self.expect("features")
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.link.write_all(bytes).and_then(|()| self.link.flush());
        sent.map_err(|error| format!("The target machine does not listen: {error}"))
    }

    /// The next stanza, which must have this name; events may come before it.
    fn expect(&mut self, name: &str) -> Result<String, String> {
        let mut bytes = [0; 4096];
        loop {
            match self.splitter.next() {
                Some(Piece::Stanza(text)) => {
                    // A prefix that its stream declares is not declared in it: names suffice here.
                    let found = virt_xml::parse(&text).map(|root| root.local_name().to_owned());
                    match found.as_deref() {
                        Ok(found) if found == name => return Ok(text),
                        Ok("LDM_event") => {}
                        _ => return Err("The target machine refuses".to_owned()),
                    }
                }
                Some(Piece::Header) => {}
                Some(Piece::End | Piece::Broken(_)) => {
                    return Err("The target machine does not answer".to_owned());
                }
                None => {
                    let count = self.link.read(&mut bytes).unwrap_or(0);
                    if count == 0 {
                        return Err("The target machine does not answer".to_owned());
                    }
                    self.splitter.push(bytes.get(..count).unwrap_or_default());
                }
            }
        }
    }

    /// Does an action there; its refusal is ours.
    fn act(&mut self, action: &'static str, object: &Object) -> Result<(), String> {
        let style = Style::default();
        let action = virt_xml::Element::new("action").with_text(action);
        let data = style.data(false, std::slice::from_ref(object));
        let command = virt_xml::Element::new("cmd").with_child(action).with_child(data);
        let root = style.root("LDM_interface", "1.0", &[]).with_child(command);
        self.send(style.text(&root).as_bytes())?;
        let answer = self.expect("LDM_interface")?;
        let tree = virt_xml::parse(&answer).map_err(|error| error.to_string())?;
        let status = tree.child("response").and_then(|response| response.child_text("status"));
        match status.is_some_and(|status| status.eq_ignore_ascii_case("success")) {
            true => Ok(()),
            false => Err(messages(&tree)),
        }
    }

    /// Adds and binds a domain; nothing is left of one that cannot be bound.
    pub(crate) fn define(&mut self, object: &Object) -> Result<(), String> {
        self.act("add-domain", object)?;
        let name = Object { domain: object.domain.clone(), items: Vec::new() };
        self.act("bind-domain", &name).inspect_err(|_| {
            // The first refusal is what counts.
            let _ = self.act("remove-domain", &name);
        })
    }

    pub(crate) fn start(&mut self, name: &str) -> Result<(), String> {
        self.act("start-domain", &Object::of(name, Vec::new()))
    }

    /// Takes back what [`Peer::define`] did.
    pub(crate) fn forget(&mut self, name: &str) -> Result<(), String> {
        let object = Object::of(name, Vec::new());
        self.act("unbind-domain", &object)?;
        self.act("remove-domain", &object)
    }
}

/// All texts of an answer.
fn messages(tree: &virt_xml::Element<'_>) -> String {
    let own = (tree.name == "resp_msg").then(|| tree.text().into_owned());
    let inner = tree.elements().map(messages).filter(|text| !text.is_empty());
    own.into_iter().chain(inner).collect::<Vec<_>>().join("\n")
}

fn encrypted(mut socket: TcpStream) -> Result<Box<dyn Link>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let fail = |error: rustls::Error| error.to_string();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(fail)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    let name = ServerName::try_from("ldmd").map_err(|error| error.to_string())?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(fail)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).map_err(|error| error.to_string())?;
    }
    Ok(Box::new(StreamOwned::new(tls, socket)))
}

/// Takes every certificate: managers make their own, and the password is a simulator's.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
