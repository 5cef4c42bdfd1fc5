//! Texts made to hurt: every limit holds, and what is refused or taken costs bounded time and memory.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use driver_xen::Host;
use driver_xen::sexpr::tree::{self, Sexpr};
use virt_conf::Conf;
use virt_model::schema::explain;
use virt_xml::{ErrorKind, Limits, parse};

/// How large the texts are: a quarter of what fits into one string of the wire protocol.
const BYTES: usize = 1 << 20;

/// Far more than any of them needs, in a debug build on a busy machine; a square of their length needs days.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Far more than a tree of such a text needs.
const RESIDENT_KIB_MAX: u64 = 2 << 20;

fn refused(text: &str) -> ErrorKind {
    parse(text).expect_err("it is refused").kind
}

/// Runs within the time, and without ever having held more memory.
fn bounded(what: &str, run: impl FnOnce()) {
    let started = Instant::now();
    run();
    let took = started.elapsed();
    assert!(took < TIME_MAX, "{what}: {took:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    assert!(peak.is_none_or(|kib| kib < RESIDENT_KIB_MAX), "{what}: {peak:?} KiB");
}

fn repeated(part: &str) -> String {
    part.repeat(BYTES / part.len())
}

#[test]
fn elements_nest_to_a_depth() {
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert!(parse(&nested(Limits::DEPTH_MAX)).is_ok());
    assert_eq!(refused(&nested(Limits::DEPTH_MAX + 1)), ErrorKind::Limit("depth"));
}

#[test]
fn a_text_has_a_largest_size() {
    let text = format!("<a>{}</a>", " ".repeat(Limits::SIZE_BYTES_MAX));
    bounded("a large text", || assert_eq!(refused(&text), ErrorKind::Limit("size")));
}

#[test]
fn elements_are_counted() {
    let text = format!("<a>{}</a>", "<b/>".repeat(Limits::ELEMENTS_MAX));
    bounded("many elements", || {
        assert_eq!(refused(&text), ErrorKind::Limit("number of elements"));
    });
}

#[test]
fn attributes_are_counted() {
    let element = |count: usize| {
        let attrs: String = (0..count).map(|number| format!(" a{number}='1'")).collect();
        format!("<a{attrs}/>")
    };
    let most = Limits::ATTRIBUTES_PER_ELEMENT_MAX;
    assert!(parse(&element(most)).is_ok());
    assert_eq!(refused(&element(most + 1)), ErrorKind::Limit("number of attributes"));
}

#[test]
fn values_and_texts_have_a_length() {
    let long = "x".repeat(Limits::TEXT_BYTES_MAX + 1);
    assert_eq!(refused(&format!("<a b='{long}'/>")), ErrorKind::Limit("length of a value"));
    assert_eq!(refused(&format!("<a>{long}</a>")), ErrorKind::Limit("length of a text"));
}

#[test]
fn entities_do_not_expand() {
    let entities: String = (1..30)
        .map(|level| format!("<!ENTITY e{level} \"{}\">", format!("&e{};", level - 1).repeat(10)))
        .collect();
    let text = format!("<!DOCTYPE a [<!ENTITY e0 \"ha\">{entities}]><a>&e29;</a>");
    bounded("a billion laughs", || assert_eq!(refused(&text), ErrorKind::DocumentType));
    assert_eq!(refused("<a>&e0;</a>"), ErrorKind::UnknownEntity("e0".to_owned()));
}

#[test]
fn nothing_is_fetched_for_a_document() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("a socket that does not wait");
    let place = server.local_addr().expect("an address");
    for text in [
        format!("<!DOCTYPE a SYSTEM \"http://{place}/a.dtd\"><a/>"),
        format!("<!DOCTYPE a [<!ENTITY e SYSTEM \"http://{place}/e\">]><a>&e;</a>"),
        format!("<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://{place}/p\">%p;]><a/>"),
    ] {
        assert_eq!(refused(&text), ErrorKind::DocumentType);
    }
    assert!(server.accept().is_err(), "somebody called");
}

/// Markup in the shapes that cost most.
#[test]
fn markup_of_any_shape_is_read_in_bounded_time() {
    let shapes: Vec<(&str, String)> = vec![
        ("start tags", repeated("<a>")),
        ("end tags", repeated("</a>")),
        ("one line of elements", format!("<a>{}</a>", repeated("<b c='1'/>"))),
        ("references", format!("<a>{}</a>", repeated("&amp;"))),
        ("references in a value", format!("<a b='{}'/>", repeated("&amp;"))),
        ("ampersands", format!("<a>{}", repeated("&"))),
        ("opened comments", format!("<a>{}", repeated("<!--"))),
        ("comments", format!("<a>{}</a>", repeated("<!---->"))),
        ("opened sections", format!("<a>{}", repeated("<![CDATA["))),
        ("sections", format!("<a>{}</a>", repeated("<![CDATA[x]]>"))),
        ("instructions", format!("<a>{}</a>", repeated("<?p x?>"))),
        ("attributes without end", format!("<a {}", repeated("b='1' "))),
        ("open quotes", format!("<a {}", repeated("b=' "))),
        ("less-than signs", repeated("<")),
        ("line ends", repeated("\r\n")),
        ("blanks", repeated(" ")),
        ("a long name", format!("<{}/>", repeated("a"))),
        ("long names that do not match", format!("<{}></b>", repeated("a"))),
        ("colons", format!("<a {}", repeated("xmlns:a='b' "))),
    ];
    for (what, text) in shapes {
        bounded(what, || match parse(&text) {
            Ok(tree) => drop(explain::faults_of(&virt_xml::to_string(&tree))),
            Err(error) => drop(error.framed(None) + &error.help()),
        });
    }
}

/// Documents whose elements are known, and too many, too deep or wrong.
#[test]
fn documents_of_any_shape_are_judged_in_bounded_time() {
    let domain = |inside: &str| {
        format!(
            "<domain type='test'><name>a</name><memory>1024</memory><os><type>hvm</type></os>{inside}</domain>"
        )
    };
    let devices = |devices: String| domain(&format!("<devices>{devices}</devices>"));
    let chain = "<backingStore type='file'><format type='raw'/><source file='/a'/>";
    let chain = chain.repeat(200) + &"</backingStore>".repeat(200);
    let disk = "<disk type='file'><source file='/a'/><target dev='vda'/></disk>";
    let shapes: Vec<(&str, String)> = vec![
        ("unknown elements", domain(&repeated("<b/>"))),
        ("unknown devices", devices(repeated("<dsik/>"))),
        ("disks", devices(repeated(disk))),
        ("wrong disks", devices(repeated("<disk type='x'/>"))),
        ("interfaces", devices(repeated("<interface type='user'/>"))),
        ("a long chain", devices(disk.replace("<target", &format!("{chain}<target")))),
        (
            "metadata",
            domain(&format!("<metadata>{}</metadata>", repeated("<x:a xmlns:x='urn:x'/>"))),
        ),
        ("a long name", domain(&format!("<{}/>", repeated("a")))),
        ("a long value", domain(&format!("<on_crash>{}</on_crash>", repeated("x")))),
        ("quotes in a message", domain(&format!("<on_crash>{}</on_crash>", repeated("'a")))),
    ];
    for (what, text) in shapes {
        bounded(what, || {
            let world = driver_test::fresh_world().expect("a world");
            for flags in [0, virt_types::api::DOMAIN_DEFINE_VALIDATE] {
                if let Err(error) = world.domain_define_xml_flags(&text, flags) {
                    let hint = error.hint().unwrap_or_default();
                    assert!(hint.len() <= virt_error::HINT_BYTES_MAX, "{what}");
                }
            }
        });
    }
}

#[test]
fn native_texts_of_any_shape_are_read_in_bounded_time() {
    let shapes: Vec<(&str, String)> = vec![
        ("lists in lists", format!("a = {}", repeated("["))),
        ("lists", repeated("a = []\n")),
        ("settings", format!("name = \"a\"\n{}", repeated("b = 1\n"))),
        (
            "different settings",
            (0..BYTES / 12).map(|number| format!("k{number:07} = 1\n")).collect(),
        ),
        ("one line of settings", repeated("b = 1; ")),
        ("open texts", repeated("a = \"\"\"\n")),
        ("comments", repeated("#\n")),
        ("a long list", format!("disk = [ {} ]", repeated("'x', "))),
        ("parentheses", repeated("(")),
        ("empty lists", format!("({})", repeated("()"))),
        ("closing parentheses", repeated(")")),
        ("words", format!("(domain {})", repeated("a "))),
        ("devices", format!("(domain (name a)(memory 1){})", repeated("(device (vbd (dev x)))"))),
        ("wrong words", format!("(domain (name a)(memory {}))", repeated("x"))),
        ("backslashes", format!("(domain '{}", repeated("\\\\"))),
    ];
    for (what, text) in shapes {
        bounded(what, || {
            drop(Conf::parse(&text).map_err(|error| error.help()));
            drop(Sexpr::parse(&text).map_err(|error| error.help()));
            for format in ["xen-xm", "xen-xl", "xen-sxpr"] {
                drop(Host::default().from_native(format, &text));
            }
        });
    }
}

#[test]
fn native_texts_have_a_largest_size() {
    let large = |bytes: usize| "#".repeat(bytes + 1);
    assert!(Conf::parse(&large(virt_conf::FILE_BYTES_MAX)).is_err());
    assert!(Sexpr::parse(&large(tree::BYTES_MAX)).is_err());
    let text = large(driver_xen::formats::CONFIG_BYTES_MAX);
    let error = Host::default().from_native("xen-xm", &text).expect_err("too large");
    assert!(error.message().contains("larger than"), "{error}");
}
