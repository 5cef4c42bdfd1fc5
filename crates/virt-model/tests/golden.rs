//! Recorded sessions of libvirt's virsh as judges: what `define` then `dumpxml` of a document prints,
//! and the message where it is refused.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::{Domain, DomainRules, DriverFeatures};
use virt_model::host_interface::HostInterface;
use virt_model::network::Network;
use virt_model::storage::Pool;
use virt_model::{Document, ParseFlags, PrintFlags};

/// The rules of libvirt's test driver, as far as documents go.
struct TestDriver;

impl DomainRules for TestDriver {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        let arch = domain.os.kind.arch.get_or_insert_with(|| "i686".to_owned());
        if !matches!(arch.as_str(), "i686" | "x86_64") {
            let what = format!("Unknown architecture {arch}");
            return Err(Error::new(Code::ConfigUnsupported, Origin::Domain, what));
        }
        Ok(())
    }

    fn defaults(&self, domain: &mut Domain, _: ParseFlags) -> Result<()> {
        let unnamed = domain
            .devices
            .interfaces
            .iter_mut()
            .filter(|interface| interface.target_dev().is_none());
        for (at, interface) in unnamed.enumerate() {
            interface.target.get_or_insert_default().dev = Some(format!("testnet{at}"));
        }
        Ok(())
    }

    fn features(&self) -> DriverFeatures {
        DriverFeatures {
            memory_hotplug: true,
            user_aliases: true,
            individual_vcpus: true,
            ..Default::default()
        }
    }
}

/// One session: the document, the commands, what was printed.
struct Session {
    id: String,
    document: String,
    commands: Vec<String>,
    stdout: String,
    stderr: String,
    files: usize,
}

fn sessions() -> Option<Vec<Session>> {
    let root = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        std::path::PathBuf::from,
    );
    let path = root.join("conformance/virsh-golden/golden.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is not there", path.display());
        return None;
    };
    let one = |line: &str| -> Option<Session> {
        let case: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = case["files"].as_object()?;
        let document = files.values().next()?.as_str()?.to_owned();
        let list = case["commands"].as_array()?;
        Some(Session {
            id: case["id"].as_str()?.to_owned(),
            document,
            files: files.len(),
            commands: list.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect(),
            stdout: case["expect"]["stdout"].as_str()?.to_owned(),
            stderr: case["expect"]["stderr"].as_str()?.to_owned(),
        })
    };
    Some(text.lines().filter_map(one).collect())
}

fn define(document: &str) -> std::result::Result<String, String> {
    let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
    let domain = Domain::load(document, flags, &TestDriver).map_err(|e| e.message().to_owned())?;
    Ok(domain.to_xml(PrintFlags::default()))
}

/// Hides what is made up anew each time: addresses and UUIDs that the document does not hold.
fn settle(text: &str, document: &str) -> String {
    let word = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '-');
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !word(c)) {
        let (body, rest) = match part.char_indices().last() {
            Some((at, c)) if !word(c) => part.split_at(at),
            _ => (part, ""),
        };
        let made_up = matches!(body.len(), 17 | 36) && !document.contains(body);
        out.push_str(if made_up { "MADE-UP" } else { body });
        out.push_str(rest);
    }
    out
}

/// Sessions of the other documents: define, then dump.
fn other(session: &Session) -> Option<(String, std::result::Result<String, String>)> {
    let flags = ParseFlags::default();
    let print = PrintFlags::default();
    let text = &session.document;
    let first = session.commands.first()?;
    let dumps = |verb: &str| session.commands.get(1).is_some_and(|c| c.starts_with(verb));
    let refused = !session.stderr.is_empty();
    if session.files != 1 || session.commands.len() > 2 || session.commands.len() == 2 && refused {
        return None;
    }
    let made = if first == "net-define x.xml" && (dumps("net-dumpxml") || refused) {
        Network::parse(text, flags).map(|network| network.to_xml(print))
    } else if first == "pool-define x.xml" && (dumps("pool-dumpxml") || refused) {
        Pool::parse(text, flags).map(|mut pool| {
            // What the test driver gives every pool.
            pool.capacity_bytes = 100 << 30;
            pool.available_bytes = 100 << 30;
            pool.to_xml(print)
        })
    } else if first == "iface-define x.xml" && (dumps("iface-dumpxml") || refused) {
        HostInterface::parse(text, flags).map(|interface| interface.to_xml(print))
    } else {
        return None;
    };
    let wanted = session
        .stdout
        .find("\n\n<")
        .map_or("", |at| session.stdout.get(at + 2..).unwrap_or_default());
    let wanted = format!("{}\n", wanted.trim_end());
    Some((wanted, made.map_err(|e| e.message().to_owned())))
}

#[test]
fn other_documents_print_as_in_recorded_sessions() {
    let Some(sessions) = sessions() else { return };
    let show = std::env::var("CONFORMANCE_SHOW").ok();
    let (mut passed, mut total) = (0, 0);
    for session in &sessions {
        let Some((wanted, made)) = other(session) else { continue };
        total += 1;
        let same = match (&made, session.stderr.lines().nth(1)) {
            (Ok(made), None) => {
                settle(made, &session.document) == settle(&wanted, &session.document)
            }
            (Err(message), Some(error)) => error == format!("error: {message}"),
            _ => false,
        };
        if same {
            passed += 1;
        } else if show.as_ref().is_some_and(|part| session.id.contains(part)) {
            println!(
                "--- {}\n{}\nwanted {wanted}{}\nmade {made:?}",
                session.id, session.document, session.stderr
            );
        }
    }
    println!("golden other documents {passed}/{total}");
    assert!(passed >= total, "{passed} of {total} sessions agree");
}

#[test]
fn documents_print_as_in_recorded_sessions() {
    let Some(sessions) = sessions() else { return };
    let show = std::env::var("CONFORMANCE_SHOW").ok();
    let (mut passed, mut total) = (0, 0);
    for session in &sessions {
        let plain = session.commands.first().is_some_and(|c| c == "define x.xml")
            && session.commands.get(1).is_none_or(|c| c == "dumpxml x");
        if !plain || session.id.starts_with("xml-syntax-error") {
            continue;
        }
        let wanted = match session.stderr.lines().nth(1) {
            Some(error) => Err(error.trim_start_matches("error: ").to_owned()),
            None if session.commands.len() == 2 => {
                let at = session.stdout.find("<domain").unwrap_or(0);
                let end =
                    session.stdout.find("</domain>\n").map_or(session.stdout.len(), |at| at + 10);
                Ok(settle(session.stdout.get(at..end).unwrap_or_default(), &session.document))
            }
            None => continue,
        };
        total += 1;
        let made = define(&session.document).map(|text| settle(&text, &session.document));
        if made == wanted {
            passed += 1;
        } else if show.as_ref().is_some_and(|part| session.id.contains(part)) {
            match (&wanted, &made) {
                (Ok(wanted), Ok(made)) => {
                    let same = wanted.lines().zip(made.lines()).take_while(|(a, b)| a == b).count();
                    let tail =
                        |t: &str| t.lines().skip(same).take(5).collect::<Vec<_>>().join("\n");
                    println!(
                        "--- {}\nwanted:\n{}\nmade:\n{}",
                        session.id,
                        tail(wanted),
                        tail(made)
                    );
                }
                _ => println!(
                    "--- {}\n{}\nwanted {wanted:?}\nmade {made:?}",
                    session.id, session.document
                ),
            }
        }
    }
    println!("golden domain documents {passed}/{total}");
    assert!(passed >= total, "{passed} sessions agree");
}
