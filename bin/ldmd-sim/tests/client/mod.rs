//! A client of its own for the tests of the simulator, written apart from it.
#![allow(dead_code, unreachable_pub)] // every file of tests uses a part of it

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use test_support::{Scratch, Signal, signal, wait_until};
use virt_xml::Element;

const WAIT: Duration = Duration::from_secs(10);
pub const HEADER: &str =
    "<?xml version='1.0'?><stream:stream xml:lang=\"en\" version=\"1.0\" id=\"xmpp\">";
pub const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A simulator with a folder of its own.
pub struct Sim {
    pub scratch: Scratch,
    child: Option<Child>,
    args: Vec<String>,
}

impl Sim {
    /// Starts one with these options beside those that every test needs.
    pub fn start(options: &str) -> Self {
        let scratch = Scratch::new("ldmd");
        let mut args: Vec<String> = vec!["--listen=127.0.0.1:0".to_owned()];
        if !options.contains("--console-ports") {
            args.push("--console-ports=0".to_owned());
        }
        for (name, file) in
            [("ready-file", "ready"), ("control-file", "control"), ("users-file", "users")]
        {
            args.push(format!("--{name}={}", scratch.join(file).display()));
        }
        let state = scratch.join("state").display().to_string();
        args.extend(options.split_whitespace().map(|word| word.replace("STATE", &state)));
        let mut sim = Self { scratch, child: None, args };
        sim.restart();
        sim
    }

    pub fn restart(&mut self) {
        self.stop();
        let child = Command::new(env!("CARGO_BIN_EXE_ldmd-sim"))
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.expect("it was built"));
        assert!(wait_until(WAIT, || self.scratch.join("ready").exists()), "it does not start");
    }

    pub fn signal(&self, which: Signal) {
        let child = self.child.as_ref().expect("it runs");
        signal(i32::try_from(child.id()).expect("an id"), which);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it is ours");
            std::fs::remove_file(self.scratch.join("ready")).expect("it was ready");
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(i32::try_from(child.id()).expect("an id"), Signal::TERM);
            assert!(child.wait().is_ok_and(|status| status.success()), "it does not end well");
        }
    }

    /// An address from the ready file.
    pub fn address(&self, name: &str) -> String {
        let ready = std::fs::read_to_string(self.scratch.join("ready")).expect("it is ready");
        let line = ready.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {ready}")).to_owned()
    }

    pub fn control(&self, text: &str) {
        // The file's time may be coarse; its length differs too.
        let stamp = format!("# {}\n{text}\n", "x".repeat(text.len() % 7 + fastrand()));
        self.scratch.write("control", stamp);
    }

    pub fn socket(&self, name: &str) -> TcpStream {
        let socket = TcpStream::connect(self.address(name)).expect("it listens");
        socket.set_read_timeout(Some(WAIT)).expect("a socket");
        socket.set_nodelay(true).expect("a socket");
        socket
    }

    /// A local client whose stream is open.
    pub fn client(&self) -> Client {
        let mut client = Client::plain(self.socket("listen"));
        client.open();
        client
    }

    /// A client of a manager 1.0.
    pub fn legacy(&self) -> Client {
        Client::plain(self.socket("listen"))
    }
}

/// A different small number at each call.
fn fastrand() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// A connection; reads come as the simulator wrote.
pub struct Client {
    link: Option<Box<dyn Both>>,
    socket: TcpStream,
    input: String,
}

impl Client {
    pub fn plain(socket: TcpStream) -> Self {
        let link = Box::new(socket.try_clone().expect("a socket"));
        Self { link: Some(link), socket, input: String::new() }
    }

    pub fn send(&mut self, text: &str) {
        let link = self.link.as_mut().expect("it is open");
        link.write_all(text.as_bytes()).and_then(|()| link.flush()).expect("it reads");
    }

    /// One read; empty at the end.
    pub fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let link = self.link.as_mut().expect("it is open");
        match link.read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                bytes
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("nothing comes after {:?}", self.input)
            }
            Err(_) => Vec::new(),
        }
    }

    /// Everything up to `end`; what comes behind it is kept.
    pub fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.input.find(end) {
                return self.input.drain(..at + end.len()).collect();
            }
            let bytes = self.read();
            assert!(!bytes.is_empty(), "closed after {:?}, before {end}", self.input);
            self.input.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let link = self.link.as_mut().expect("it is open");
        link.write_all(bytes).expect("it reads");
    }

    /// The next bytes, which need not be text.
    pub fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        assert!(self.input.is_empty(), "{:?} is not read yet", self.input);
        let mut bytes = vec![0; count];
        let link = self.link.as_mut().expect("it is open");
        link.read_exact(&mut bytes).expect("it writes");
        bytes
    }

    /// The next bytes of text, as many as that.
    pub fn take(&mut self, count: usize) -> String {
        while self.input.len() < count {
            let bytes = self.read();
            assert!(!bytes.is_empty(), "closed after {:?}", self.input);
            self.input.push_str(&String::from_utf8_lossy(&bytes));
        }
        self.input.drain(..count).collect()
    }

    /// Everything until the connection ends.
    pub fn rest(&mut self) -> String {
        loop {
            let bytes = self.read();
            if bytes.is_empty() {
                return std::mem::take(&mut self.input);
            }
            self.input.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    pub fn encrypt(&mut self, versions: &[&'static rustls::SupportedProtocolVersion]) -> bool {
        self.link = None;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("known versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut stream = StreamOwned::new(tls, self.socket.try_clone().expect("a socket"));
        while stream.conn.is_handshaking() {
            if stream.conn.complete_io(&mut stream.sock).is_err() {
                return false;
            }
        }
        self.link = Some(Box::new(stream));
        true
    }

    /// Does the handshake of a local client.
    pub fn open(&mut self) {
        self.secure();
        assert_eq!(self.until("<stream:features/>").matches("<stream:stream").count(), 1);
    }

    /// Encrypts, and sends the second header.
    pub fn secure(&mut self) {
        self.send(HEADER);
        self.until("</stream:features>");
        self.send(STARTTLS);
        self.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert!(self.encrypt(rustls::ALL_VERSIONS), "no encryption");
        self.send(HEADER);
    }

    /// Sends a document, and gives the answer; events before it are left out.
    pub fn ask(&mut self, text: &str) -> Answer {
        self.send(text);
        self.answer()
    }

    pub fn answer(&mut self) -> Answer {
        let text = self.until("</LDM_interface>");
        let at = text.find("<LDM_interface").unwrap_or_else(|| panic!("no answer: {text}"));
        Answer(text[at..].to_owned())
    }

    /// An action on a domain with these sections.
    pub fn act(&mut self, action: &str, domain: &str, sections: &[String]) -> Answer {
        self.ask(&command(action, &content(domain, sections)))
    }

    /// The next event: its action and its domain.
    pub fn event(&mut self) -> (String, String) {
        let text = self.until("</LDM_event>");
        let tree = virt_xml::parse(text.trim()).expect("an event");
        let action = find(&tree, "action").map(|found| found.text().into_owned());
        let content = find(&tree, "Content");
        let id = content.and_then(|content| content.attr("id").or(content.attr("ovf:id")));
        (action.unwrap_or_default(), id.unwrap_or_default().to_owned())
    }

    /// Acts, and expects success.
    pub fn must(&mut self, action: &str, domain: &str, sections: &[String]) {
        let answer = self.act(action, domain, sections);
        assert!(answer.is_success(), "{action} {domain}: {}", answer.0);
    }

    /// Acts, and expects a refusal that says this.
    pub fn refused(&mut self, action: &str, domain: &str, sections: &[String], why: &str) {
        let answer = self.act(action, domain, sections);
        assert!(!answer.is_success(), "{action} {domain} succeeds");
        let messages = answer.messages().join("\n");
        assert!(messages.contains(why), "{action} {domain}: {messages}");
    }

    /// The property of a domain as `action` lists it: `kind.key`, or `kind` for its units.
    pub fn value(&mut self, action: &str, domain: &str, path: &str) -> Option<String> {
        let answer = self.act(action, domain, &[]);
        assert!(answer.is_success(), "{}", answer.0);
        answer.value(path)
    }

    pub fn state(&mut self, domain: &str) -> String {
        self.value("list-domain", domain, "ldom_info.state").expect("a state")
    }

    /// A domain with CPU and memory.
    pub fn add(&mut self, domain: &str) {
        self.must("add-domain", domain, &[units("cpu", "4"), units("memory", "2G")]);
    }
}

/// The first element of that local name, itself included.
pub fn find<'a, 'b>(element: &'a Element<'b>, name: &str) -> Option<&'a Element<'b>> {
    if element.local_name() == name {
        return Some(element);
    }
    element.elements().find_map(|child| find(child, name))
}

/// An answer's text.
pub struct Answer(pub String);

impl Answer {
    pub fn tree(&self) -> Element<'static> {
        virt_xml::parse(&self.0).unwrap_or_else(|error| panic!("{error}: {}", self.0)).to_static()
    }

    /// What the outermost response says.
    pub fn is_success(&self) -> bool {
        let tree = self.tree();
        let response = tree.elements().last().expect("a response");
        assert_eq!(response.name, "response");
        let status = response.child_text("status").expect("a status");
        status.eq_ignore_ascii_case("success")
    }

    pub fn messages(&self) -> Vec<String> {
        let mut found = Vec::new();
        fn collect(element: &Element<'_>, found: &mut Vec<String>) {
            if element.name == "resp_msg" {
                found.push(element.text().into_owned());
            }
            element.elements().for_each(|child| collect(child, found));
        }
        collect(&self.tree(), &mut found);
        found
    }

    /// `kind.key`, or `kind` for its units, of the first such item.
    pub fn value(&self, path: &str) -> Option<String> {
        fn item<'a>(element: &'a Element<'static>, kind: &str) -> Option<&'a Element<'static>> {
            let is_it = |child: &Element<'_>| {
                child.local_name() == "OtherResourceType" && child.text() == kind
            };
            if element.name == "Item" && element.elements().any(is_it) {
                return Some(element);
            }
            element.elements().find_map(|child| item(child, kind))
        }
        let tree = self.tree();
        let (kind, key) = path.split_once('.').unwrap_or((path, ""));
        let item = item(&tree, kind)?;
        let found = item.elements().find(|child| match key {
            "" => child.local_name() == "AllocationUnits",
            "uuid" => child.name == "uuid",
            "Address" => child.local_name() == "Address",
            key => child.attr("key") == Some(key),
        });
        found.map(|found| found.text().into_owned())
    }
}

/// A document with one command.
pub fn command(action: &str, inside: &str) -> String {
    document("1.0", &format!("<action>{action}</action><data version=\"3.0\">{inside}</data>"))
}

pub fn document(version: &str, inside: &str) -> String {
    format!("<LDM_interface version=\"{version}\"><cmd>{inside}</cmd></LDM_interface>")
}

pub fn content(domain: &str, sections: &[String]) -> String {
    let sections = sections.concat();
    format!(
        "<Envelope><References/><Content xsi:type=\"ovf:VirtualSystem_Type\" id=\"{domain}\">\
         {sections}</Content></Envelope>"
    )
}

pub fn loose(section: &str) -> String {
    format!("<Envelope><References/>{section}</Envelope>")
}

/// A section with a count or a size.
pub fn units(kind: &str, number: &str) -> String {
    section(kind, &format!("<rasd:AllocationUnits>{number}</rasd:AllocationUnits>"))
}

/// A section with properties.
pub fn properties(kind: &str, pairs: &[(&str, &str)]) -> String {
    let properties: Vec<String> = pairs
        .iter()
        .map(|(key, value)| {
            format!("<gprop:GenericProperty key=\"{key}\">{value}</gprop:GenericProperty>")
        })
        .collect();
    section(kind, &properties.concat())
}

fn section(kind: &str, inside: &str) -> String {
    format!(
        "<Section xsi:type=\"ovf:VirtualHardwareSection_Type\"><Item><rasd:OtherResourceType>{kind}\
         </rasd:OtherResourceType>{inside}</Item></Section>"
    )
}

/// Takes every certificate, as local clients of a manager do.
#[derive(Debug)]
struct AnyCertificate;

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
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}
