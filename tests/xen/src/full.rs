//! A full guest that is one boot sector, on a machine whose processor offers virtualisation to Xen.

use std::fs;

use crate::{Console, Xen};

/// The release whose emulator is prepared, and a processor that offers virtualisation: AMD's, which QEMU has.
pub const RELEASE: &str = "4.17";
const CPU: &str = "max";
/// Why a test does not run on others.
pub const ELSEWHERE: &str = "the emulator for full guests is prepared for Xen 4.17";
const DISK_BYTES: usize = 1 << 20;
/// What the guest says first.
const UP: &[u8] = b"full guest is up\r\n\0";

/// Its document.
pub const GUEST: &str = "<domain type='xen'><name>h</name>\
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

/// Boots a machine with what the guest's document names.
pub fn start() -> Result<Xen, String> {
    let xen = Xen::start_on(RELEASE, CPU)?;
    fs::write(xen.share().join("hd.img"), boot_sector()).expect("the folder is ours");
    xen.inside(
        "cp /share/hd.img /run/hd.img; \
         for name in a b; do dd if=/dev/zero of=/run/$name.iso bs=2048 count=64 2>&-; done",
    );
    Ok(xen)
}

/// The guest on its serial line.
pub fn answers(xen: &Xen, typed: &str, said: &str) {
    let mut console = Console::open(xen, "h");
    console.send(typed);
    console.wait_for(said);
    console.leave();
}
