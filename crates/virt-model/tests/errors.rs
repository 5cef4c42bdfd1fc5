//! Refused documents: the code, the part of the system and the words that libvirt 11.3 gives.

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::{Domain, DomainRules};
use virt_model::network::Network;
use virt_model::snapshot::{MomentParse, Snapshot};
use virt_model::storage::Pool;
use virt_model::{Document, ParseFlags};

struct Plain;

impl DomainRules for Plain {
    fn guest(&self, domain: &mut Domain) -> Result<()> {
        domain.os.kind.arch.get_or_insert_with(|| "x86_64".to_owned());
        Ok(())
    }
}

fn domain(inside: &str) -> Error {
    let text = format!("<domain type='test'><name>x</name><memory>1024</memory>{inside}</domain>");
    whole_domain(&text)
}

fn whole_domain(text: &str) -> Error {
    Domain::load(text, ParseFlags::default(), &Plain).expect_err(text)
}

fn expect(error: &Error, code: Code, from: Origin, message: &str) {
    assert_eq!(error.message(), message);
    assert_eq!((error.number(), error.from_number()), (code as i32, from as i32), "{message}");
}

const HVM: &str = "<os><type>hvm</type></os>";

#[test]
fn domains() {
    let cases: &[(&str, Code, Origin, &str)] = &[
        (
            "<os><type>exe</type><init/></os>",
            Code::XmlError,
            Origin::Domain,
            "XML error: init binary must be specified",
        ),
        (
            "<os><type>nosuch</type></os>",
            Code::ConfigUnsupported,
            Origin::Domain,
            "unsupported configuration: unknown OS type 'nosuch'",
        ),
        ("", Code::XmlError, Origin::Domain, "XML error: an os <type> must be specified"),
        (
            "<os><type>hvm</type><boot dev='nosuch'/></os>",
            Code::XmlError,
            Origin::Xml,
            "XML error: Invalid value for attribute 'dev' in element 'boot': 'nosuch'.",
        ),
        (
            "<os><type>hvm</type><loader stateless='yes' type='pflash' readonly='yes'>/x</loader><nvram>/y</nvram></os>",
            Code::XmlDetail,
            Origin::Domain,
            "NVRAM is not permitted when loader is stateless",
        ),
        (
            "<os><type>hvm</type></os><uuid>z</uuid>",
            Code::InternalError,
            Origin::Domain,
            "internal error: malformed uuid element",
        ),
        (
            "<os><type>hvm</type></os><vcpu cpuset='aaa'>1</vcpu>",
            Code::InvalidArg,
            Origin::None,
            "invalid argument: Failed to parse bitmap 'aaa'",
        ),
        (
            "<os><type>hvm</type></os><on_crash>nosuch</on_crash>",
            Code::ConfigUnsupported,
            Origin::Domain,
            "unsupported configuration: unknown on_crash action: nosuch",
        ),
        (
            "<os><type>hvm</type></os><devices><disk type='block'><source/><target dev='hda'/></disk></devices>",
            Code::NoSource,
            Origin::Domain,
            "missing source information for device hda",
        ),
        (
            "<os><type>hvm</type></os><devices><disk type='file'><source file='/x'/></disk></devices>",
            Code::NoTarget,
            Origin::Domain,
            "missing target information for device /x",
        ),
        (
            "<os><type>hvm</type></os><devices><serial type='file'/></devices>",
            Code::InternalError,
            Origin::Domain,
            "internal error: Missing source path attribute for char device",
        ),
    ];
    for (inside, code, from, message) in cases {
        expect(&domain(inside), *code, *from, message);
    }
}

#[test]
fn whole_documents() {
    let sized = |memory: &str| format!("<domain type='test'><name>x</name>{memory}{HVM}</domain>");
    expect(
        &whole_domain("<domain type='test'/>"),
        Code::NoName,
        Origin::Domain,
        "missing name information",
    );
    expect(
        &whole_domain("<domain type='nosuch' id='x'/>"),
        Code::NoName,
        Origin::Domain,
        "missing name information",
    );
    expect(
        &whole_domain("<domain/>"),
        Code::InternalError,
        Origin::Domain,
        "internal error: missing domain type attribute",
    );
    expect(
        &whole_domain("<foo/>"),
        Code::XmlError,
        Origin::Xml,
        "XML error: expecting root element of 'domain', not 'foo'",
    );
    expect(
        &whole_domain("hello"),
        Code::XmlDetail,
        Origin::Domain,
        "at line 1: Start tag expected, '<' not found\nhello\n^",
    );
    expect(
        &whole_domain(&sized("<memory unit='furlong'>1</memory>")),
        Code::InvalidArg,
        Origin::None,
        "invalid argument: unknown suffix 'furlong'",
    );
    expect(
        &whole_domain(&sized("<memory unit='EiB'>99999</memory>")),
        Code::Overflow,
        Origin::None,
        "numerical overflow: value too large: 99999EiB",
    );
    expect(
        &whole_domain(&sized("<memory>zz</memory>")),
        Code::XmlError,
        Origin::Xml,
        "XML error: Invalid value 'zz' for element or attribute './memory[1]'",
    );
}

#[test]
fn networks_and_pools() {
    let network = |text: &str| Network::parse(text, ParseFlags::default()).expect_err(text);
    let pool = |text: &str| Pool::parse(text, ParseFlags::default()).expect_err(text);
    expect(&network("<network/>"), Code::NoName, Origin::Network, "missing name information");
    expect(
        &network("<network><name>a/b</name></network>"),
        Code::XmlDetail,
        Origin::Xml,
        "invalid char in name: /",
    );
    expect(
        &network("<network><name>a</name><uuid>x</uuid></network>"),
        Code::InternalError,
        Origin::Network,
        "internal error: malformed uuid element",
    );
    expect(
        &network("<network><name>a</name><ip/></network>"),
        Code::XmlError,
        Origin::Network,
        "XML error: Missing required address attribute in network 'a'",
    );
    expect(
        &pool("<pool type='dir'/>"),
        Code::XmlError,
        Origin::Storage,
        "XML error: missing pool source name element",
    );
    let sourced = |kind: &str, source: &str| {
        pool(&format!("<pool type='{kind}'><name>a</name><source>{source}</source></pool>"))
    };
    for (kind, source, message) in [
        ("disk", "", "XML error: missing storage pool source device name"),
        ("fs", "", "XML error: missing storage pool source device name"),
        ("dir", "<device/>", "XML error: missing storage pool source device path"),
        ("scsi", "", "XML error: missing storage pool source adapter"),
    ] {
        expect(&sourced(kind, source), Code::XmlError, Origin::Storage, message);
    }
    expect(
        &pool("<pool type='dir'><name>a</name></pool>"),
        Code::XmlError,
        Origin::Storage,
        "XML error: missing storage pool target path",
    );
}

#[test]
fn snapshots() {
    let text = "<domainsnapshot><disks><disk/></disks></domainsnapshot>";
    expect(
        &Snapshot::parse(text, MomentParse::default(), &Plain).expect_err(text),
        Code::InternalError,
        Origin::DomainSnapshot,
        "internal error: missing name from disk snapshot element",
    );
}

/// What libvirt says stays as it is; where it is and what may have been meant stands beside it.
#[test]
fn help_stands_beside_the_message() {
    let error = domain(&format!("{HVM}\n<devices>\n<sound model='ihc6'/></devices>"));
    let message = "XML error: Invalid value for attribute 'model' in element 'sound': 'ihc6'.";
    expect(&error, Code::XmlError, Origin::Xml, message);
    let help = "line 3, column 1, in domain/devices/sound: Element sound failed to validate attributes: \
                value 'ihc6' of attribute model (did you mean 'ich6'?)";
    assert_eq!(error.hint(), Some(help));
    // What the schema allows and libvirt refuses is found by what the message speaks of.
    let error = domain(&format!(
        "{HVM}<devices>\n<interface type='user'><mac address='53:54:00:00:00:01'/></interface></devices>"
    ));
    let help = "line 2, column 24, in domain/devices/interface/mac: the error is about this";
    assert_eq!(error.hint(), Some(help));
}
