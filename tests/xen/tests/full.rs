//! A full guest on a real Xen: firmware, an emulator beside it, a disk, a drive, a display.

use std::fs;

use real_xen::{Console, Xen, release, until};
use test_support::{long_run, or_skip, skipped};

/// The release whose emulator is prepared, and a processor that offers virtualisation to it: AMD's, which the
/// emulator below has.
const RELEASE: &str = "4.17";
const CPU: &str = "max";
const DISK_BYTES: usize = 1 << 20;
/// What the guest says first.
const UP: &[u8] = b"full guest is up\r\n\0";

const GUEST: &str = "<domain type='xen'><name>h</name>\
    <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4f</uuid><memory unit='MiB'>48</memory><vcpu>1</vcpu>\
    <os><type>hvm</type><boot dev='hd'/></os><features><acpi/><apic/><pae/></features>\
    <devices><disk type='file'><driver name='qemu' type='raw'/><source file='/run/hd.img'/>\
    <target dev='hda'/></disk>\
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/run/a.iso'/>\
    <target dev='hdc'/><readonly/></disk>\
    <serial type='pty'/><graphics type='vnc' port='5907' listen='127.0.0.1'/></devices></domain>";

/// A boot sector that says it is up, then answers each letter on its serial line with the same in the other case.
/// Between them it sleeps: each look at the line costs the host's emulator some time.
fn boot_sector() -> Vec<u8> {
    let code: &[u8] = &[
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x25, 0x7c, // mov si, 0x7c25: the text behind the code
        0xac, // lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x06, // jz +6
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xee, // out dx, al
        0xeb, 0xf5, // jmp to lodsb
        0xfb, // sti
        0xf4, // hlt: until the clock ticks
        0xba, 0xfd, 0x03, // mov dx, 0x3fd
        0xec, // in al, dx
        0xa8, 0x01, // test al, 1: something has come
        0x74, 0xf6, // jz to sti
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xec, // in al, dx
        0x34, 0x20, // xor al, 0x20
        0xee, // out dx, al
        0xeb, 0xed, // jmp to sti
    ];
    let mut sector = [code, UP].concat();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector.resize(DISK_BYTES, 0);
    sector
}

fn answers(xen: &Xen, typed: &str, said: &str) {
    let mut console = Console::open(xen, "h");
    console.send(typed);
    console.wait_for(said);
    console.leave();
}

fn state(xen: &Xen, words: &[&str]) {
    until(words[0], || words.contains(&xen.virsh("domstate h").stdout.trim()));
}

/// The drive's medium, as its backend has it.
fn medium(xen: &Xen) -> String {
    xen.inside("xenstore-read /local/domain/0/backend/qdisk/$(xl domid h)/5632/params")
}

#[test]
fn a_full_guest_lives_on_a_real_xen() {
    if !long_run() {
        return skipped("minutes long: cargo xtask xen --long");
    }
    if release() != RELEASE {
        return skipped(format!("the emulator for full guests is prepared for Xen {RELEASE}"));
    }
    let xen = or_skip!(Xen::start_on(RELEASE, CPU));
    fs::write(xen.share().join("hd.img"), boot_sector()).expect("the folder is ours");
    xen.inside(
        "cp /share/hd.img /run/hd.img; \
         for name in a b; do dd if=/dev/zero of=/run/$name.iso bs=2048 count=64 2>&-; done",
    );
    assert!(xen.must("capabilities").contains("<os_type>hvm</os_type>"));
    let file = xen.home().write("h.xml", GUEST);
    xen.must(&format!("define {}", file.display()));
    xen.must("start h");
    assert!(xen.must("dominfo h").contains("OS Type:        hvm"));
    assert!(xen.must("ttyconsole h").starts_with("/dev/pts/"));
    assert_eq!(xen.must("vncdisplay h"), "127.0.0.1:7");
    let said = xen
        .inside("(echo; busybox sleep 2; echo) | busybox nc 127.0.0.1 5907 | dd bs=1 count=4 2>&-");
    assert_eq!(said, "RFB\u{20}".trim(), "somebody shows its screen");
    answers(&xen, "abc", "ABC");

    xen.must("suspend h");
    state(&xen, &["paused"]);
    xen.must("resume h");
    state(&xen, &["running", "idle"]);
    answers(&xen, "def", "DEF");

    assert!(medium(&xen).ends_with("/run/a.iso"));
    xen.must("change-media h hdc /run/b.iso --live --update");
    until("another medium", || medium(&xen).ends_with("/run/b.iso"));
    assert!(xen.must("domblklist h").contains("/run/b.iso"));
    xen.must("change-media h hdc --eject --live");
    until("no medium", || !medium(&xen).contains(".iso"));
    xen.must("change-media h hdc /run/a.iso --insert --live");
    until("a medium", || medium(&xen).ends_with("/run/a.iso"));
    xen.refused(
        "attach-disk h /run/b.iso hdd --type cdrom --mode readonly",
        "must be there before",
    );

    let id = xen.must("domid h");
    xen.must("save h /run/h.save");
    state(&xen, &["shut off"]);
    xen.must("restore /run/h.save");
    state(&xen, &["running", "idle"]);
    assert_ne!(xen.must("domid h"), id);
    answers(&xen, "ghi", "GHI");
    assert_eq!(xen.must("vncdisplay h"), "127.0.0.1:7");

    xen.must("destroy h");
    state(&xen, &["shut off"]);
    xen.must("undefine h");
    assert_eq!(xen.inside("xl list | wc -l"), "2", "something is left");
}
