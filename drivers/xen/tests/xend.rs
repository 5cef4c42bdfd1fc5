//! The xend client against servers that answer as its releases did, and as none ever should.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::Duration;

use driver_xen::xend::{BODY_BYTES_MAX, Place, Xend, XendError};
use test_support::Scratch;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// Answers each connection with the next of these texts, and gives back what was asked.
fn serve(answers: Vec<String>) -> (Xend, Scratch, JoinHandle<Vec<String>>) {
    let scratch = Scratch::new("xend");
    let path = scratch.join("xend-socket");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().expect("a client");
            asked.push(request(&mut socket));
            // In two parts, as sockets do; a client that has had enough is gone.
            let (head, rest) = answer.split_at(answer.len() / 2);
            let _ =
                socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(rest.as_bytes()));
        }
        asked
    });
    (Xend::new(Place::Unix(path)).with_wait_max(LONG), scratch, thread)
}

/// One whole request.
fn request(socket: &mut impl Read) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let count = socket.read(&mut bytes).expect("a request");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse::<usize>().expect("a number"));
        if body.len() >= length || count == 0 {
            return text;
        }
    }
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_host_and_its_domains_are_found() {
    let node = "(node (system Linux) (nr_cpus 4) (xen_major 4) (xen_minor 1) \
        (total_memory 2048) (xen_caps 'xen-3.0-x86_64 hvm-3.0-x86_32') (xend_config_format 4)) ''";
    let (xend, _scratch, thread) = serve(vec![
        answer(200, node),
        answer(200, "(Domain-0 'my guest' fv0)"),
        answer(200, "(domain (name 'my guest') (domid 3)) ''"),
        answer(404, "(xend.err \"No domain named 'x'.\")"),
        answer(500, ""),
        answer(500, "(xend.err \"<Fault 3: 'x'>\")"),
    ]);
    let node = xend.node().expect("a node");
    assert_eq!((node.nr_cpus, node.xen_major, node.config_format), (4, 4, 4));
    assert_eq!(node.xen_caps, "xen-3.0-x86_64 hvm-3.0-x86_32");
    assert_eq!(xend.names(&node).expect("names"), ["Domain-0", "my guest", "fv0"]);
    let domain = xend.domain("my guest").expect("an answer").expect("a domain");
    assert_eq!(domain.value("domid"), Some("3"));
    // Three releases, three ways to say no.
    for _ in 0..3 {
        assert_eq!(xend.domain("x"), Ok(None));
    }
    let asked = thread.join().expect("the server");
    assert!(asked[1].starts_with("GET /xend/domain?state=all HTTP/1.1\r\n"));
    assert!(asked[2].starts_with("GET /xend/domain/my%20guest HTTP/1.1\r\n"));
    assert!(asked.iter().all(|text| text.contains("\r\nAccept: application/sxp\r\n")));
}

#[test]
fn the_oldest_hosts_are_asked_as_they_know_it() {
    let (xend, _scratch, thread) =
        serve(vec![answer(200, "(node (xen_major 3) (xen_minor 0))"), answer(200, "(Domain-0)")]);
    let node = xend.node().expect("a node");
    assert!(!node.has_managed_domains());
    assert_eq!(xend.names(&node).expect("names"), ["Domain-0"]);
    assert!(thread.join().expect("the server")[1].starts_with("GET /xend/domain HTTP"));
}

#[test]
fn refusals_are_found_in_the_body_whatever_the_status() {
    let error = "(xend.err 'Error creating domain: out of memory')";
    let (xend, _scratch, thread) =
        serve(vec![answer(200, error), answer(500, error), answer(202, ""), answer(501, "no")]);
    let refused =
        |text: &str| Err(XendError::Refused { op: "create".to_owned(), text: text.to_owned() });
    let text = "Error creating domain: out of memory";
    assert_eq!(xend.create("(vm (name a&b))"), refused(text));
    assert_eq!(xend.create("(vm)"), refused(text));
    assert_eq!(xend.create("(vm)"), Ok(None));
    assert_eq!(xend.create("(vm)"), refused("no"));
    let long = "x".repeat(10_000);
    assert!(matches!(xend.create(&long), Err(XendError::TooLong { .. })), "not even sent");
    let asked = thread.join().expect("the server");
    assert!(asked[0].ends_with("\r\n\r\nop=create&config=%28vm%20%28name%20a%26b%29%29"));
}

#[test]
fn a_move_names_every_field_that_any_release_wants() {
    let (xend, _scratch, thread) = serve(vec![answer(202, "")]);
    xend.migrate("3", "other.example", true, 8002).expect("moved");
    let asked = thread.join().expect("the server");
    let form = "op=migrate&destination=other.example&live=1&port=8002&resource=0&node=-1&ssl=\
        &change_home_server=0";
    assert!(asked[0].ends_with(form), "{}", asked[0]);
}

#[test]
fn who_is_not_there_is_named_with_what_must_be_set() {
    let scratch = Scratch::new("xend-absent");
    let path = scratch.join("xend-socket");
    let error = Xend::new(Place::Unix(path.clone())).node().expect_err("no socket");
    assert!(matches!(error, XendError::NoSocket(_)));
    assert!(error.to_string().contains("(xend-unix-server yes)"), "{error}");
    drop(UnixListener::bind(&path).expect("a socket"));
    let error = Xend::new(Place::Unix(path.clone())).node().expect_err("nobody listens");
    assert!(matches!(error, XendError::NobodyThere(_)), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = Xend::new(Place::Tcp(address)).node().expect_err("nobody listens");
    assert!(error.to_string().contains("(xend-http-server yes)"), "{error}");
    // Root may use any socket; everybody else is told.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("no rights");
    let error = Xend::new(Place::Unix(path)).node().expect_err("no right, or nobody there");
    assert!(matches!(error, XendError::NoRight(_) | XendError::NobodyThere(_)), "{error}");
}

#[test]
fn answers_that_no_xend_gives_cost_one_error() {
    let long = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let half = "HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\n(node".to_owned();
    let deep = answer(200, &"(".repeat(100_000));
    let (xend, _scratch, _thread) =
        serve(vec![long, half, deep, answer(200, "<html>"), "gibberish\r\n\r\n".to_owned()]);
    assert!(matches!(xend.node(), Err(XendError::Answer(_))), "too long");
    assert!(matches!(xend.node(), Err(XendError::Broken(_))), "half");
    assert!(matches!(xend.node(), Err(XendError::Answer(_))), "deep");
    assert_eq!(xend.node().map(|node| node.config_format), Ok(1), "a word says nothing");
    assert!(matches!(xend.node(), Err(XendError::Answer(_))), "no HTTP");
}

#[test]
fn silence_ends() {
    let scratch = Scratch::new("xend-silent");
    let path = scratch.join("xend-socket");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let xend = Xend::new(Place::Unix(path)).with_wait_max(SHORT);
    assert_eq!(xend.node(), Err(XendError::Timeout(0)));
}
