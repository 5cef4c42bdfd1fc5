//! The manager's documents, as its guides print them: read, printed, and read again without a loss.

use std::path::PathBuf;

use driver_ldoms::message::{Kind, Message, Stanza, StanzaReader};
use test_support::or_skip;
use virt_xml::Element;

fn samples() -> Result<Vec<(String, String)>, String> {
    let root = test_support::shared("ldoms")?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in ["documented", "constructed"] {
        let entries = std::fs::read_dir(root.join(folder)).map_err(|error| error.to_string())?;
        paths.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    paths.sort();
    let is_document = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".xml") || name.ends_with(".xml.txt")
    };
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text))
    };
    paths.iter().filter(|path| is_document(path)).map(read).collect()
}

/// An envelope alone is a part of a message; a message is made around it.
fn whole(text: &str) -> String {
    let tree = virt_xml::parse(text).expect("a sample is well-formed");
    match tree.local_name() {
        "Envelope" => format!(
            "<LDM_interface version='1.0'><cmd><action>x</action><data version='3.0'>{}</data></cmd>\
             </LDM_interface>",
            virt_xml::to_string(&tree)
        ),
        _ => text.to_owned(),
    }
}

/// Everything a document says, one line a fact, whatever its prefixes, blanks and order.
fn facts(element: &Element<'_>, above: &str, out: &mut Vec<String>) {
    let name = element.local_name();
    let option = if name == "options" { "option" } else { name };
    let here = format!("{above}/{option}");
    for attr in &element.attrs {
        let local = attr.name.rsplit(':').next().unwrap_or_default();
        if !attr.name.starts_with("xmlns") && local != "type" {
            out.push(format!("{here}@{local}={}", attr.value.trim()));
        }
    }
    let leaf = element.elements().next().is_none();
    if leaf && name != "References" {
        out.push(format!("{here}={}", element.text().trim()));
    }
    for child in element.elements() {
        facts(child, &here, out);
    }
}

fn all_facts(text: &str) -> Vec<String> {
    let tree = virt_xml::parse(text).expect("a document is well-formed");
    let mut out = Vec::new();
    facts(&tree, "", &mut out);
    // The empty form of what has no text.
    out.retain(|fact| !fact.ends_with("/data=") && !fact.ends_with("/Content="));
    out.sort();
    out
}

#[test]
fn every_sample_survives_reading_and_printing() {
    let samples = or_skip!(samples());
    assert!(samples.len() >= 30, "only {} samples", samples.len());
    for (name, text) in samples {
        let text = whole(&text);
        let message = Message::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let printed = message.print();
        assert_eq!(Message::parse(&printed).as_ref(), Ok(&message), "{name}: read again");
        assert_eq!(all_facts(&printed), all_facts(&text), "{name}: something is lost");
    }
}

#[test]
fn answers_are_judged_as_the_guides_say() {
    let samples = or_skip!(samples());
    let verdict = |name: &str| {
        let (_, text) = samples.iter().find(|(found, _)| found == name).expect(name);
        Message::parse(text).expect(name).verdict()
    };
    assert_eq!(verdict("response-success.xml"), Ok(vec![]));
    let missing = "LDom \"web9\" does not exist".to_owned();
    assert_eq!(verdict("response-one-object-failed.xml"), Err(vec![missing]));
    let malformed = "Malformed XML message".to_owned();
    assert_eq!(verdict("response-malformed-request.xml"), Err(vec![malformed]));
    assert_eq!(verdict("reg-domain-events-response.xml"), Ok(vec![]));
}

#[test]
fn a_second_response_holds_warnings() {
    let text = "<LDM_interface version='1.3'><cmd><action>set-vcpu</action><data version='3.0'>\
                <response><status>SUCCESS</status></response>\
                <response><resp_msg> takes effect later\n</resp_msg></response></data>\
                <response><status>success</status></response></cmd>\
                <response><status>success</status></response></LDM_interface>";
    let message = Message::parse(text).expect("an answer");
    assert_eq!(message.verdict(), Ok(vec!["takes effect later".to_owned()]));
    assert_eq!(Message::parse(&message.print()), Ok(message));
}

#[test]
fn both_data_versions_are_one_model() {
    let samples = or_skip!(samples());
    let (_, text) = samples.iter().find(|(name, _)| name == "constraints-data-v2.0.xml").unwrap();
    let message = Message::parse(text).expect("constraints");
    let domain = message.contents().next().expect("a domain");
    assert_eq!(domain.id, "web1");
    assert_eq!(domain.first("cpu").and_then(|cpu| cpu.units.as_deref()), Some("4"));
    assert_eq!(domain.first("memory").and_then(|memory| memory.units.as_deref()), Some("2G"));
    let net = domain.first("network").expect("a network");
    assert_eq!(net.get("vnet_name"), Some("vn0"));
    assert_eq!(net.address.as_deref(), Some("00:14:4f:f9:00:0b"));
    assert_eq!(domain.of("var").count(), 2);
}

#[test]
fn the_recorded_session_is_cut_into_its_stanzas() {
    let root = or_skip!(test_support::shared("ldoms"));
    let path = root.join("documented/xmpp-local-handshake.txt");
    let text = std::fs::read_to_string(path).expect("the session");
    let said: String = text.lines().filter_map(|line| line.strip_prefix("S ")).collect();
    let mut reader = StanzaReader::default();
    let mut found = Vec::new();
    for byte in said.bytes() {
        reader.push(&[byte]);
        found.extend(reader.next().expect("a stream"));
    }
    let kinds: Vec<bool> = found.iter().map(|stanza| *stanza == Stanza::Open).collect();
    assert_eq!(kinds, [true, false, false, true, false, false]);
    let Some(Stanza::Element(answer)) = found.last() else { panic!("no answer: {found:?}") };
    let answer = Message::parse(answer).expect("an answer");
    assert_eq!((answer.kind, answer.verdict()), (Kind::Interface, Ok(vec![])));
}
