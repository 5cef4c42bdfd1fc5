//! Devices of the host and limits of interfaces: what a document names stands in every native format.

use driver_xen::{Host, Toolstack};

fn xend() -> Host {
    Host { toolstack: Toolstack::Xend { config_format: 4 }, ..Host::default() }
}

fn document(devices: &str) -> String {
    format!(
        "<domain type='xen'><name>a</name><uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>\
         <memory>65536</memory><os><type>linux</type><kernel>/k</kernel></os>\
         <devices>{devices}</devices></domain>"
    )
}

/// Prints a document in each format and reads it again: each text must have the words, and each document
/// must print the same once more.
fn survives(devices: &str, formats: &[(&str, &str)], in_document: &[&str]) {
    let xml = document(devices);
    for (format, words) in formats {
        let host = if *format == "xen-xl" { Host::default() } else { xend() };
        let native =
            host.to_native(format, &xml).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert!(native.contains(words), "{format}: no {words} in {native}");
        let back =
            host.from_native(format, &native).unwrap_or_else(|error| panic!("{format}: {error}"));
        for part in in_document {
            assert!(back.contains(part), "{format}: no {part} in {back}");
        }
        assert_eq!(host.to_native(format, &back).expect("again"), native, "{format}");
    }
}

#[test]
fn pci_devices_are_passed_through() {
    survives(
        "<hostdev mode='subsystem' type='pci' managed='no'><source>\
         <address domain='0x0000' bus='0x03' slot='0x1a' function='0x1'/></source></hostdev>",
        &[
            ("xen-xm", "pci = [ \"0000:03:1a.1\" ]"),
            ("xen-xl", "pci = [ \"0000:03:1a.1\" ]"),
            ("xen-sxpr", "(device (pci (dev (domain 0x0000)(bus 0x03)(slot 0x1a)(func 0x1))))"),
        ],
        &["<hostdev mode='subsystem' type='pci'", "bus='0x03' slot='0x1a' function='0x1'"],
    );
}

#[test]
fn interfaces_are_limited_and_kept_apart() {
    let port = "<virtualport type='openvswitch'/>";
    let interface = |more: &str| {
        format!(
            "<interface type='bridge'><mac address='00:16:3e:00:00:01'/><source bridge='br0'/>{more}\
             </interface>"
        )
    };
    survives(
        &interface("<bandwidth><outbound average='10240'/></bandwidth>"),
        &[
            ("xen-xm", "rate=10240KB/s"),
            ("xen-xl", "rate=10240KB/s"),
            ("xen-sxpr", "(rate '10240KB/s')"),
        ],
        &["<outbound average='10240'/>"],
    );
    survives(
        &interface(&format!("{port}<vlan><tag id='42'/></vlan>")),
        &[
            ("xen-xm", "bridge=br0.42,script=vif-openvswitch"),
            ("xen-xl", "bridge=br0.42,script=vif-openvswitch"),
            ("xen-sxpr", "(bridge 'br0.42')(script 'vif-openvswitch')"),
        ],
        &["<tag id='42'/>", "<source bridge='br0'/>"],
    );
    survives(
        &interface(&format!("{port}<vlan trunk='yes'><tag id='42'/><tag id='43'/></vlan>")),
        &[("xen-xl", "bridge=br0:42:43"), ("xen-sxpr", "(bridge 'br0:42:43')")],
        &["<vlan trunk='yes'>", "<tag id='43'/>"],
    );
    // Where it cannot be kept apart it is not let onto the bridge at all.
    let plain = document(&interface("<vlan><tag id='42'/></vlan>"));
    for (host, format) in [(Host::default(), "xen-xl"), (xend(), "xen-xm"), (xend(), "xen-sxpr")] {
        let error = host.to_native(format, &plain).expect_err("no VLAN there");
        assert!(error.message().contains("openvswitch"), "{format}: {error}");
    }
}

/// Virtual ports of Fibre Channel are named as disks: the host's script makes them, and finds the block device.
#[test]
fn virtual_ports_of_fibre_channel_are_named_as_disks() {
    let port = "npiv:210400e08b80c40f-2101001b323bbeff-50060e801049cff1-0";
    let xm = format!(
        "name = 'a'\nuuid = '0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d'\nmemory = 64\nkernel = '/k'\n\
         disk = [ '{port},xvda,w' ]\n"
    );
    let host = xend();
    let xml = host.from_native("xen-xm", &xm).expect("a document");
    assert!(xml.contains("<driver name='npiv'"), "{xml}");
    for (format, words) in [
        ("xen-xm", format!("disk = [ \"{port},xvda,w\" ]")),
        ("xen-sxpr", format!("(uname '{port}')")),
    ] {
        let native = host.to_native(format, &xml).expect(format);
        assert!(native.contains(&words), "{format}: {native}");
        assert_eq!(host.from_native(format, &native).expect(format), xml, "{format}");
    }
}
