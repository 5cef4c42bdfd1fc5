//! Strangers at the daemon's doors: what they may not ask is refused, and nobody else waits for them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use test_support::{
    Daemon, Scratch, Virtd, debian_program, free_port, or_skip, our_program, run, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);
const REMOTE: u32 = 0x2000_8086;
const OPEN: u32 = 1;
const TYPE: u32 = 3;
const FEATURE: u32 = 60;
const AUTH_LIST: u32 = 66;
const SASL_INIT: u32 = 67;
const SASL_START: u32 = 68;
const SASL_STEP: u32 = 69;
const POLKIT: u32 = 70;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = words(&[u32::try_from(text.len()).expect("short")]);
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The arguments that begin an exchange.
fn start(mechanism: &str, nil: u32, data: &[u8]) -> Vec<u8> {
    let octets: Vec<u32> = data.iter().map(|&byte| byte.into()).collect();
    let length = u32::try_from(octets.len()).expect("short");
    [text(mechanism), words(&[nil, length]), words(&octets)].concat()
}

struct Stranger(TcpStream);

impl Stranger {
    fn come(port: u16) -> Self {
        // The daemon makes this socket after the one by which it is seen to be there.
        let mut socket = None;
        wait_until(LIMIT, || {
            socket = TcpStream::connect(("127.0.0.1", port)).ok();
            socket.is_some()
        });
        let socket = socket.expect("connect");
        socket.set_read_timeout(Some(LIMIT)).expect("timeout");
        Self(socket)
    }

    /// The status of an answer, and its bytes; nothing when the daemon hangs up.
    fn ask(&mut self, procedure: u32, arguments: &[u8]) -> Option<(u32, String)> {
        let length = u32::try_from(28 + arguments.len()).expect("short");
        let mut message = words(&[length, REMOTE, 1, procedure, 0, 7, 0]);
        message.extend_from_slice(arguments);
        self.0.write_all(&message).ok()?;
        let mut header = [0; 28];
        self.0.read_exact(&mut header).ok()?;
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four"));
        let mut payload = vec![0; usize::try_from(word(0)).expect("fits") - 28];
        self.0.read_exact(&mut payload).ok()?;
        Some((word(24), String::from_utf8_lossy(&payload).into_owned()))
    }

    fn is_let_go(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 64]), Ok(0) | Err(_))
    }
}

fn virtd(port: u16) -> Virtd {
    Virtd::start_listening(|_| {
        format!(
            "listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"sasl\"\nlisten_addr = \"127.0.0.1\"\n\
             tcp_port = \"{port}\"\nauth_timeout = 3\nmax_anonymous_clients = 3\n"
        )
    })
}

/// Somebody on the daemon's own socket is served, at once.
fn others_are_served(virtd: &Virtd) {
    let home = Scratch::new("other");
    let begun = Instant::now();
    let uri = virtd.uri("test", "default");
    let outcome = run(virsh(&our_program("virsh"), &uri, home.path()).arg("domid test"), LIMIT);
    assert_eq!(outcome.ok(), "1\n\n");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn whoever_has_not_said_who_it_is_can_call_nothing() {
    let port = free_port();
    let virtd = virtd(port);
    let open = [words(&[1]), text("test:///default"), words(&[0])].concat();
    let (required, failed) = ("authentication required", "authentication failed");
    let cases: Vec<(u32, Vec<u8>, &str)> = vec![
        (OPEN, open.clone(), required),
        (TYPE, Vec::new(), required),
        (FEATURE, words(&[10]), required),
        (12, text("test"), required),
        (POLKIT, Vec::new(), failed),
        (SASL_STEP, words(&[1, 0]), failed),
        (SASL_START, start("GSSAPI", 1, b""), failed),
        // A password is not to be said where others can hear it.
        (SASL_START, start("PLAIN", 0, b"\0fred\0secret"), failed),
        (SASL_START, start("", 1, b""), failed),
        (SASL_START, start("SCRAM-SHA-256", 1, b""), failed),
        (SASL_START, start("SCRAM-SHA-256", 0, b"n,,r=abc"), failed),
        (SASL_START, start("SCRAM-SHA-256", 0, b"p=tls-unique,,n=fred,r=abc"), failed),
        (SASL_START, start("SCRAM-SHA-256", 0, &[0xff; 4096]), failed),
        (SASL_START, words(&[4, 0x4242_4242, 0, 0xffff_ffff]), "Unable to decode"),
        (SASL_START, Vec::new(), "Unable to decode"),
        (100_000, Vec::new(), "unknown procedure"),
    ];
    for (procedure, arguments, refusal) in cases {
        let mut stranger = Stranger::come(port);
        let (status, said) = stranger.ask(AUTH_LIST, &[]).expect("an answer");
        assert_eq!((status, said.as_bytes()), (0, &words(&[1, 1])[..]));
        let (status, said) = stranger.ask(procedure, &arguments).expect("an answer");
        assert_eq!(status, 1, "{procedure}: {said}");
        assert!(said.contains(refusal), "{procedure}: {said}");
        let (status, said) = stranger.ask(OPEN, &open).expect("an answer");
        assert!(status == 1 && said.contains(required), "{procedure}: {said}");
    }
    // Who does not exist is asked what a user would be, and is refused after the proof only.
    let mut stranger = Stranger::come(port);
    let first = start("SCRAM-SHA-256", 0, b"n,,n=nobody,r=abcdefghijklmnop");
    assert_eq!(stranger.ask(SASL_INIT, &[]).expect("an answer").0, 0);
    assert_eq!(stranger.ask(SASL_START, &first).expect("an answer").0, 0);
    let proof = b"c=biws,r=abcdefghijklmnop,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let proof: Vec<u32> = proof.iter().map(|&byte| byte.into()).collect();
    let length = u32::try_from(proof.len()).expect("short");
    let step = [words(&[0, length]), words(&proof)].concat();
    let (status, said) = stranger.ask(SASL_STEP, &step).expect("an answer");
    assert!(status == 1 && said.contains(failed), "{said}");
    others_are_served(&virtd);
}

#[test]
fn whoever_takes_too_long_goes_and_only_strangers_wait_for_strangers() {
    let port = free_port();
    let virtd = virtd(port);
    let begun = Instant::now();
    let mut silent: Vec<Stranger> = (0..3).map(|_| Stranger::come(port)).collect();
    // One says its words byte by byte.
    let slow = words(&[28, REMOTE, 1, AUTH_LIST, 0, 7, 0]);
    silent[2].0.write_all(&slow[..5]).expect("write");
    std::thread::sleep(Duration::from_millis(300));
    others_are_served(&virtd);
    // The fourth has to wait until the first ones are sent away.
    let mut fourth = Stranger::come(port);
    let (status, _) = fourth.ask(AUTH_LIST, &[]).expect("an answer");
    assert_eq!(status, 0);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(2), "{waited:?}");
    assert!(silent.iter_mut().all(Stranger::is_let_go));
    assert!(fourth.is_let_go());
}

#[test]
fn what_is_no_message_ends_a_connection_and_nothing_else() {
    let port = free_port();
    let virtd = virtd(port);
    for length in [0, 3, 27, 33_554_437, 0x7fff_ffff, 0xffff_ffff] {
        let mut stranger = Stranger::come(port);
        let message = words(&[length, REMOTE, 1, AUTH_LIST, 0, 7, 0]);
        stranger.0.write_all(&message).expect("write");
        assert!(stranger.is_let_go(), "{length}");
    }
    for message in [
        words(&[28, REMOTE, 1, AUTH_LIST, 99, 7, 0]),
        words(&[28, REMOTE, 1, AUTH_LIST, 0, 7, 99]),
        // It claims descriptors, which no network carries.
        words(&[32, REMOTE, 1, AUTH_LIST, 4, 7, 0, 0xffff_ffff]),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0123456789".to_vec(),
    ] {
        let mut stranger = Stranger::come(port);
        stranger.0.write_all(&message).expect("write");
        assert!(stranger.is_let_go(), "{message:?}");
    }
    others_are_served(&virtd);
}

#[test]
fn what_is_no_tls_ends_a_connection_and_nothing_else() {
    let openssl = or_skip!(debian_program("openssl"));
    let folder = Scratch::new("pki");
    let (key, certificate) = (folder.join("key"), folder.join("certificate"));
    let mut command = std::process::Command::new(openssl);
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"]).arg(&key);
    assert_eq!(run(command.arg("-out").arg(&certificate), LIMIT).code, Some(0));
    let port = free_port();
    let shown = certificate.display();
    let virtd = Virtd::start_listening(|_| {
        format!(
            "listen_tls = 1\nlisten_addr = \"127.0.0.1\"\ntls_port = \"{port}\"\nauth_timeout = 3\n\
             ca_file = \"{shown}\"\ncert_file = \"{shown}\"\nkey_file = \"{}\"\n",
            key.display()
        )
    });
    // Words in the clear, a handshake of lengths that lie, and one that never goes on.
    let half = [&[0x16, 3, 1, 0x40, 0][..], &[1, 0, 0x3f, 0xfc, 3, 3]].concat();
    let lies = [&[0x16, 3, 1, 0, 9][..], &[1, 0xff, 0xff, 0xff, 3, 3, 0, 0, 0]].concat();
    let clear = words(&[28, REMOTE, 1, AUTH_LIST, 0, 7, 0]);
    let mut strangers: Vec<Stranger> = Vec::new();
    for bytes in [&clear, &lies, &half, &Vec::new()] {
        let mut stranger = Stranger::come(port);
        stranger.0.write_all(bytes).expect("write");
        strangers.push(stranger);
    }
    others_are_served(&virtd);
    let begun = Instant::now();
    for mut stranger in strangers {
        // A complaint may come first.
        while !stranger.is_let_go() {}
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    others_are_served(&virtd);
}
