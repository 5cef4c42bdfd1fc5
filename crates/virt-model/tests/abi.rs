//! What a running guest would notice of another document, with libvirt's words.

use virt_error::Result;
use virt_model::ParseFlags;
use virt_model::domain::{Domain, DomainRules};

/// A driver without rules of its own.
struct Plain;

impl DomainRules for Plain {
    fn guest(&self, _: &mut Domain) -> Result<()> {
        Ok(())
    }
}

const DOMAIN: &str = "<domain type='qemu'><name>abi</name>
<uuid>11111111-2222-3333-4444-555555555555</uuid>
<memory unit='KiB'>65536</memory><vcpu current='1'>2</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<features><acpi/><apic/><vmport state='off'/></features>
<cpu mode='custom' match='exact'><model fallback='forbid'>qemu64</model>
<topology sockets='2' cores='1' threads='1'/><feature policy='require' name='pcid'/></cpu>
<clock offset='utc'><timer name='rtc' tickpolicy='catchup'/></clock>
<devices><emulator>/usr/bin/acme-virt</emulator>
<disk type='file' device='disk'><source file='/a.img'/><target dev='sda' bus='scsi'/><serial>S1</serial>
<wwn>5000c50015ea71aa</wwn></disk>
<controller type='scsi' index='0' model='virtio-scsi'>
<address type='pci' bus='2' slot='1'/></controller>
<controller type='virtio-serial' index='0'/>
<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
<channel type='unix'><target type='virtio' name='org.a'/></channel>
<input type='tablet' bus='usb'/>
<video><model type='vga' vram='16384' heads='1'/></video>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='virtio'/>
</devices></domain>";

/// What is changed, into what, and what libvirt 11.3 says of it; nothing where it may differ.
const CHANGES: &[(&str, &str, &str)] = &[
    ("<memory", "<title>t</title><memory", ""),
    ("a.img", "b.img", ""),
    ("tickpolicy='catchup'", "tickpolicy='delay'", ""),
    ("offset='utc'", "offset='localtime'", ""),
    ("interface type='user'", "interface type='ethernet'", ""),
    ("<name>abi", "<name>abj", "Target domain name 'abj' does not match source 'abi'"),
    ("65536", "65537", "Target domain max memory 65537 does not match source 65536"),
    (
        "current='1'",
        "current='2'",
        "State of vCPU '1' differs between source and destination definitions",
    ),
    ("machine='q35'", "machine='pc'", "Target domain machine type pc does not match source q35"),
    ("<acpi/>", "", "State of feature 'acpi' differs: source: 'on', destination: 'default'"),
    (
        "vmport state='off'",
        "vmport state='on'",
        "State of feature 'vmport' differs: source: 'off', destination: 'on'",
    ),
    (
        "<apic/>",
        "<apic eoi='on'/>",
        "State of feature 'apic' differs: source: 'on,eoi=default', destination: 'on,eoi=on'",
    ),
    ("qemu64", "kvm64", "Target CPU model kvm64 does not match source qemu64"),
    ("name='pcid'", "name='aes'", "Target CPU feature aes does not match source pcid"),
    (
        "policy='require'",
        "policy='disable'",
        "Target CPU feature policy disable does not match source require",
    ),
    ("<timer name='rtc'", "<timer name='pit'", "Target timer pit does not match source rtc"),
    ("S1", "S2", "Target disk serial S2 does not match source S1"),
    ("71aa", "71ab", "Target disk wwn '5000c50015ea71ab' does not match source '5000c50015ea71aa'"),
    ("<serial>S1", "<readonly/><serial>S1", "Target disk access mode does not match source"),
    (
        "model='virtio-scsi'",
        "model='virtio-transitional'",
        "Target controller model 8 does not match source 6",
    ),
    (
        "bus='2' slot='1'",
        "bus='2' slot='9'",
        "Target device PCI address 0000:02:09.0 does not match source 0000:02:01.0",
    ),
    (
        "'virtio-serial' index='0'",
        "'virtio-serial' index='0' ports='4'",
        "Target controller ports 4 does not match source -1",
    ),
    (
        "11:22:33",
        "11:22:34",
        "Target network card mac 52:54:00:11:22:34 does not match source 52:54:00:11:22:33",
    ),
    ("org.a", "org.b", "Target channel name org.b does not match source org.a"),
    (
        "type='tablet'",
        "type='mouse'",
        "Target input device type mouse does not match source tablet",
    ),
    ("type='vga'", "type='cirrus'", "Target video card model cirrus does not match source vga"),
    (
        "<rng model='virtio'>",
        "<rng model='virtio'><driver iommu='on'/>",
        "Target device virtio options don't match the source",
    ),
    (
        "<memballoon model='virtio'",
        "<memballoon model='virtio' autodeflate='on'",
        "Target balloon autodeflate attribute value 'on' does not match source 'default'",
    ),
    (
        "</devices>",
        "<hub type='usb'/></devices>",
        "Target domain hub device count 1 does not match source 0",
    ),
];

fn load(xml: &str) -> Domain {
    Domain::load(xml, ParseFlags { inactive: true, ..ParseFlags::default() }, &Plain)
        .unwrap_or_else(|error| panic!("{}\n{xml}", error.message()))
}

#[test]
fn what_a_guest_would_notice_is_refused_and_nothing_else() {
    let source = load(DOMAIN);
    assert!(source.check_abi(&source).is_ok());
    for (from, to, wanted) in CHANGES {
        let changed = DOMAIN.replacen(from, to, 1);
        assert_ne!(changed, DOMAIN, "{from} is not there");
        let said = match source.check_abi(&load(&changed)) {
            Ok(()) => String::new(),
            Err(error) => error.message().replace("unsupported configuration: ", ""),
        };
        assert_eq!(said, *wanted, "{from} became {to}");
    }
}
