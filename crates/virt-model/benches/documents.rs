//! How long documents take: tree, model, print. `cargo bench -p virt-model`.

#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use virt_model::domain::Domain;
use virt_model::network::Network;
use virt_model::{Document, ParseFlags, PrintFlags};

/// A domain of that many disks, in libvirt's own form.
fn domain(disks: usize) -> String {
    let mut text = String::from(
        "<domain type='kvm'>\n  <name>bench</name>\n  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>\n  <memory unit='KiB'>219136</memory>\n  <currentMemory unit='KiB'>219136</currentMemory>\n  <vcpu placement='static'>1</vcpu>\n  <os>\n    <type arch='x86_64' machine='q35'>hvm</type>\n    <boot dev='hd'/>\n  </os>\n  <clock offset='utc'/>\n  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>restart</on_reboot>\n  <on_crash>destroy</on_crash>\n  <devices>\n    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n",
    );
    for at in 0..disks {
        let (letter, slot) = (char::from(b'a' + u8::try_from(at).unwrap_or(0)), at + 1);
        let _ = write!(
            text,
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='qcow2'/>\n      <source file='/var/lib/libvirt/images/disk{at}.qcow2'/>\n      <target dev='vd{letter}' bus='virtio'/>\n      <address type='pci' domain='0x0000' bus='0x00' slot='0x{slot:02x}' function='0x0'/>\n    </disk>\n"
        );
    }
    text.push_str("  </devices>\n</domain>\n");
    text
}

/// A network of so many DHCP hosts that it is about 200 KB.
fn network() -> String {
    let mut text = String::from(
        "<network>\n  <name>bench</name>\n  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>\n  <forward mode='nat'/>\n  <bridge name='virbr0' stp='on' delay='0'/>\n  <ip address='10.0.0.1' netmask='255.0.0.0'>\n    <dhcp>\n",
    );
    for at in 0..2500 {
        let (high, low) = (at / 250, at % 250 + 1);
        let _ = writeln!(
            text,
            "      <host mac='52:54:00:00:{high:02x}:{low:02x}' name='host-{at}' ip='10.0.{high}.{low}'/>"
        );
    }
    text.push_str("    </dhcp>\n  </ip>\n</network>\n");
    text
}

/// The fastest of many rounds: what the work costs when nothing disturbs it.
fn fastest(name: &str, mut work: impl FnMut()) {
    let mut best = Duration::MAX;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(400) {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    println!("{name:<32} {:>9.1} us", best.as_secs_f64() * 1e6);
}

fn main() {
    let text = domain(20);
    println!("domain of 20 disks: {} bytes", text.len());
    fastest("peek", || {
        black_box(virt_xml::peek(black_box(&text)));
    });
    fastest("tree", || {
        black_box(virt_xml::parse(black_box(&text)).is_ok());
    });
    fastest("parse", || {
        black_box(Domain::parse(black_box(&text), ParseFlags::default()).is_ok());
    });
    let model = Domain::parse(&text, ParseFlags::default()).expect("a domain");
    assert_eq!(model.to_xml(PrintFlags::default()), text);
    fastest("print", || {
        black_box(model.to_xml(PrintFlags::default()));
    });
    fastest("parse and print", || {
        let model = Domain::parse(black_box(&text), ParseFlags::default()).expect("a domain");
        black_box(model.to_xml(PrintFlags::default()));
    });
    let text = network();
    println!("network: {} bytes", text.len());
    fastest("tree", || {
        black_box(virt_xml::parse(black_box(&text)).is_ok());
    });
    fastest("parse", || {
        black_box(Network::parse(black_box(&text), ParseFlags::default()).is_ok());
    });
    fastest("parse and print", || {
        let model = Network::parse(black_box(&text), ParseFlags::default()).expect("a network");
        black_box(model.to_xml(PrintFlags::default()));
    });
}
