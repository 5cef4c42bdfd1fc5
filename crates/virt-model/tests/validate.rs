//! What `--validate` says of documents that do not conform: where, what, and what may have been meant.

use virt_error::{Code, Origin};
use virt_model::domain::Domain;
use virt_model::network::Network;
use virt_model::schema::validate::{self, Fault};
use virt_model::{Document, ParseFlags};

/// A domain whose devices hold what is under test, from line 7 on.
fn with_device(device: &str) -> String {
    format!(
        "<domain type='test'>\n  <name>vm</name>\n  <memory>1024</memory>\n  <vcpu>1</vcpu>\n  \
         <os><type>hvm</type></os>\n  <devices>\n{device}\n  </devices>\n</domain>\n"
    )
}

fn faults(text: &str) -> Vec<Fault> {
    validate::faults(&virt_xml::parse(text).expect("well formed"))
}

type Broken = (&'static str, (u32, u32), &'static str, Option<&'static str>);

/// Documents with one fault: its line and column, a part of what is said, and the whole hint.
const BROKEN: &[Broken] = &[
    (
        "<domain type='test'><name>x</name>\n <memroy>1</memroy></domain>",
        (2, 2),
        "extra content: memroy",
        Some("did you mean <memory>?"),
    ),
    (
        "<domain type='test'><name>x</name>\n <vpcu>1</vpcu></domain>",
        (2, 2),
        "extra content: vpcu",
        Some("did you mean <vcpu>?"),
    ),
    (
        "<domain type='test'><name>x</name><nosuchelement/></domain>",
        (1, 35),
        "extra content: nosuchelement",
        None,
    ),
    (
        "<domain type='tets'><name>x</name></domain>",
        (1, 1),
        "value 'tets' of attribute type",
        Some("did you mean 'test'?"),
    ),
    (
        "<domain tipe='test' type='test'><name>x</name></domain>",
        (1, 1),
        "Invalid attribute tipe",
        Some("did you mean 'type'?"),
    ),
    ("<domain type='test'/>", (1, 1), "Expecting an element name", None),
    ("<domain><name>x</name></domain>", (1, 1), "misses the attribute type", None),
    ("<domain type='test'>stray<name>x</name></domain>", (1, 1), "may not hold text", None),
    (
        "<domain type='test'><name>x</name>\n<name>y</name></domain>",
        (2, 1),
        "has a second name",
        Some("it may stand there once"),
    ),
    (
        "<domain type='test'><name>x</name><uuid>12</uuid></domain>",
        (1, 35),
        "holds '12'",
        Some("expected a UUID, or nothing"),
    ),
    (
        "<domain type='test'><name>x</name><vcpu>two</vcpu></domain>",
        (1, 35),
        "holds 'two'",
        Some("expected non-negative integer value"),
    ),
    (
        "<domain type='test'><name>x</name><memory unit='foo'>1</memory></domain>",
        (1, 35),
        "value 'foo' of attribute unit",
        Some("expected a unit, as KiB"),
    ),
    (
        "<domain type='test'><name>x</name><on_crash>restrat</on_crash></domain>",
        (1, 35),
        "holds 'restrat'",
        Some("did you mean 'restart'?"),
    ),
    (
        "<domain type='test'><name>x</name><features><acpy/></features></domain>",
        (1, 45),
        "extra content: acpy",
        Some("did you mean <acpi>?"),
    ),
    (
        "<network><name>n</name><ip address='10.0.0.300'/></network>",
        (1, 24),
        "value '10.0.0.300'",
        Some("expected an IP address"),
    ),
    (
        "<network><name>n</name><forward mode='natt'/></network>",
        (1, 24),
        "value 'natt'",
        Some("did you mean 'nat'?"),
    ),
    (
        "<network><name>n</name><mac adress='52:54:00:00:00:01' address='52:54:00:00:00:01'/></network>",
        (1, 24),
        "Invalid attribute adress",
        Some("did you mean 'address'?"),
    ),
    (
        "<network><name>n</name><mac address='52:54:00:00:00'/></network>",
        (1, 24),
        "value '52:54:00:00:00'",
        Some("expected an Ethernet address"),
    ),
    ("<pool type='dir'><name>p</name></pool>", (1, 1), "Expecting an element target", None),
    (
        "<pool type='dir'><name>p</name>\n<target><path>relative</path></target></pool>",
        (2, 9),
        "holds 'relative'",
        Some("expected an absolute path"),
    ),
    (
        "<volume><name>v</name><capacity unit='GG'>1</capacity><target/></volume>",
        (1, 23),
        "value 'GG'",
        Some("expected a unit, as KiB"),
    ),
    (
        "<secret><usage type='ceph'><volume>/v</volume><name>n</name></usage></secret>",
        (1, 28),
        "extra content: volume",
        None,
    ),
    (
        "<filter name='f'><rule action='acept' direction='in'/></filter>",
        (1, 18),
        "value 'acept'",
        Some("did you mean 'accept'?"),
    ),
    (
        "<filter name='f'>\n<rule action='drop' direction='in'><tcp/><udp/></rule></filter>",
        (2, 1),
        "both",
        Some("only one of them may stand there"),
    ),
    (
        "<filter name='f'><rule action='drop' direction='in'><tcp dscp='64'/></rule></filter>",
        (1, 53),
        "value '64' of attribute dscp",
        Some("expected a number in its range, or a variable, as $IP"),
    ),
    (
        "<domainsnapshot><disks><disk snapshot='no'/></disks></domainsnapshot>",
        (1, 24),
        "misses the attribute name",
        None,
    ),
    (
        "<device><name>d</name><capability type='pcie'/></device>",
        (1, 23),
        "value 'pcie'",
        Some("did you mean 'pci'?"),
    ),
];

#[test]
fn each_fault_has_its_place_and_its_hint() {
    for (text, place, what, hint) in BROKEN {
        let found = faults(text);
        let [fault] = found.as_slice() else { panic!("{text}: {found:#?}") };
        assert_eq!((fault.line, fault.column), *place, "{text}: {fault:?}");
        assert!(fault.what.contains(what), "{text}: {fault:?}");
        assert_eq!(fault.hint.as_deref(), *hint, "{text}: {fault:?}");
    }
}

#[test]
fn what_holds_depends_on_the_kind_of_device() {
    let network = "<disk type='network'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>";
    let file = "<disk type='file'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>";
    assert_eq!(faults(&with_device(network)), []);
    let found = faults(&with_device(file));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].line, &*found[0].path), (7, "domain/devices/disk/source"));
    let pci = "<hostdev mode='subsystem' type='pci'><source><address uuid='x'/></source></hostdev>";
    assert_eq!(faults(&with_device(pci))[0].what, "Invalid attribute uuid for element address");
}

/// What libvirt's schema has not, and our drivers print: `virsh edit` checks a document by default.
#[test]
fn what_our_own_drivers_print_conforms() {
    let vdisk = "<disk type='file'><driver name='tap' type='vdisk'/><source file='/v'/>\
                 <target dev='vda'/></disk>";
    assert_eq!(faults(&with_device(vdisk)), []);
    let text = |inside: &str| {
        format!(
            "<domain type='ldoms' xmlns:l='urn:ferrovirt:domain:ldoms:1.0'><name>x</name>\
             <l:constraints>{inside}</l:constraints></domain>"
        )
    };
    let whole = "<l:crypto units='1'/><l:variable name='auto-boot?' value=''/>\
                 <l:item resource='disk' name='vd0'><l:property key='k' value='v'/>\
                 <l:other><of:later xmlns:of='urn:y'/></l:other></l:item>";
    assert_eq!(faults(&text(whole)), []);
    for broken in ["<l:crypto/>", "<l:item name='vd0'/>", "<l:chrypto units='1'/>"] {
        assert_eq!(faults(&text(broken)).len(), 1, "{broken}");
    }
}

#[test]
fn other_vocabularies_are_judged_by_their_own_tables() {
    let text = |inside: &str| {
        format!(
            "<domain type='qemu' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\
             <name>x</name>{inside}<metadata><any:thing xmlns:any='urn:x'/></metadata></domain>"
        )
    };
    assert_eq!(faults(&text("<q:commandline><q:arg value='-S'/></q:commandline>")), []);
    let found = faults(&text("<q:commandline><q:agr value='-S'/></q:commandline>"));
    assert_eq!(found[0].hint.as_deref(), Some("did you mean <arg>?"));
    assert_eq!(faults(&text("<q:nothing/>")).len(), 1);
}

#[test]
fn a_refusal_has_libvirts_code_and_head_and_help_beside_it() {
    let flags = ParseFlags { validate: true, ..ParseFlags::default() };
    let text = "<network>\n  <name>x</name>\n  <brigde/>\n</network>";
    let error = Network::parse(text, flags).expect_err("a fault");
    assert_eq!(error.code(), Some(Code::XmlInvalidSchema));
    assert_eq!(error.from_number(), Origin::Xml as i32);
    let head = "XML document failed to validate against schema: Unable to validate doc against \
                /usr/share/libvirt/schemas/network.rng\nElement network has extra content: brigde\n";
    assert_eq!(error.message(), head);
    let help = "line 3, column 3, in network: Element network has extra content: brigde (did you mean <bridge>?)";
    assert_eq!(error.hint(), Some(help));
    // Who does not ask is not judged, and a wrong root is refused before what is in it.
    Network::parse(text, ParseFlags::default()).expect("not asked for");
    let error = Domain::parse(text, flags).expect_err("a wrong root");
    assert_eq!(error.code(), Some(Code::XmlError));
}

#[test]
fn faults_beyond_the_limit_are_not_named() {
    let many = "<foo/>".repeat(1000);
    let found = faults(&format!("<domain type='test'><name>x</name>{many}</domain>"));
    assert_eq!(found.len(), 8);
}
