//! Guests for tests: the tiny one of `guest/`, and a Linux one from a kernel and busybox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::programs::{debian_program, target};
use crate::scratch::Scratch;

const CFLAGS: &[&str] = &[
    "-m32",
    "-march=i686",
    "-O2",
    "-Wall",
    "-Werror",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-mno-sse",
    "-mno-mmx",
    "-c",
];

/// Sectors after the boot sector that a loader reads in real mode: room for 20 KiB.
const SETUP_SECTORS: usize = 39;
const SECTOR_BYTES: usize = 512;

/// Builds the tiny guest, a kernel image that boots in 0.1 s; or says what there is to build it.
pub fn tiny_guest() -> Result<PathBuf, String> {
    // Tests of one process run side by side too, and would share the names below.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let gcc = debian_program("gcc")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let folder = target().join("guest");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let image = folder.join("tiny.bzImage");
    if is_newer(&image, &source) {
        return Ok(image);
    }
    // Each process builds under names of its own, and the last rename stands.
    let own = |name: &str| folder.join(format!("{}-{name}", std::process::id()));
    let (start, main, elf, flat) = (own("start.o"), own("guest.o"), own("elf"), own("flat"));
    let sectors = format!("-DSETUP_SECTS={SETUP_SECTORS}");
    tool(
        Command::new(&gcc)
            .args(CFLAGS)
            .arg(sectors)
            .arg(source.join("start.S"))
            .arg("-o")
            .arg(&start),
    )?;
    tool(Command::new(&gcc).args(CFLAGS).arg(source.join("guest.c")).arg("-o").arg(&main))?;
    let mut link = Command::new("ld");
    link.args(["-m", "elf_i386", "-T"]).arg(source.join("guest.ld")).args([&start, &main]);
    tool(link.arg("-o").arg(&elf))?;
    tool(Command::new("objcopy").args(["-O", "binary", "-j", ".text"]).args([&elf, &flat]))?;
    let mut bytes = fs::read(&flat).map_err(|error| error.to_string())?;
    let room = (SETUP_SECTORS + 1) * SECTOR_BYTES;
    assert!(bytes.len() <= room, "the tiny guest has grown past {room} bytes");
    // The loader wants a protected-mode part: one empty sector.
    bytes.resize(room + SECTOR_BYTES, 0);
    fs::write(&flat, bytes).map_err(|error| error.to_string())?;
    fs::rename(&flat, &image).map_err(|error| error.to_string())?;
    for made in [start, main, elf] {
        fs::remove_file(made).map_err(|error| error.to_string())?;
    }
    Ok(image)
}

fn is_newer(image: &Path, source: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let sources = fs::read_dir(source).into_iter().flatten().flatten();
    time(image)
        .is_some_and(|made| sources.map(|entry| entry.path()).all(|path| time(&path) <= Some(made)))
}

fn tool(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    // A compiler that is there and fails is a fault of ours, and no reason to leave a test out.
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A boot sector: it counts up in the second sector, prints the count on the serial line, and ends
/// the machine.
pub fn counting_boot_sector() -> Vec<u8> {
    let code: &[u8] = &[
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0x8e, 0xc0, // mov es, ax
        0xbb, 0x00, 0x80, // mov bx, 0x8000
        0xb8, 0x01, 0x02, // mov ax, 0x0201: read one sector
        0xb9, 0x02, 0x00, // mov cx, 2: the second
        0x30, 0xf6, // xor dh, dh
        0xcd, 0x13, // int 0x13
        0xfe, 0x06, 0x00, 0x80, // inc byte [0x8000]
        0xb8, 0x01, 0x03, // mov ax, 0x0301: write one sector
        0xb9, 0x02, 0x00, // mov cx, 2
        0x30, 0xf6, // xor dh, dh
        0xcd, 0x13, // int 0x13
        0xa0, 0x00, 0x80, // mov al, [0x8000]
        0x04, 0x30, // add al, '0'
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xee, // out dx, al
        0xb0, 0x00, // mov al, 0
        0xe6, 0xf4, // out 0xf4, al: end
        0xf4, // hlt
        0xeb, 0xfd, // jmp $-1
    ];
    let mut sector = code.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// A copy of the tiny guest in a folder that whoever runs emulators may read.
pub fn tiny_guest_in(folder: &Scratch) -> Result<PathBuf, String> {
    let kernel = folder.join("kernel");
    fs::copy(tiny_guest()?, &kernel).map_err(|error| format!("{}: {error}", kernel.display()))?;
    Ok(kernel)
}

/// A folder that emulators of whatever user may write to, with the tiny guest in it; or why there is no
/// emulator, or no guest.
pub fn guest_folder(name: &str) -> Result<(Scratch, PathBuf), String> {
    debian_program("qemu-system-x86_64")?;
    let folder = Scratch::new(name);
    folder.set_mode(0o777);
    let kernel = tiny_guest_in(&folder)?;
    Ok((folder, kernel))
}

/// A domain that boots the tiny guest, with a serial console. `accel` is `qemu` or `kvm`.
pub fn tiny_domain(name: &str, accel: &str, kernel: &Path) -> String {
    domain(name, accel, 64, &format!("<kernel>{}</kernel>", kernel.display()))
}

/// A domain that boots Linux with a serial console.
pub fn linux_domain(name: &str, accel: &str, kernel: &Path, initrd: &Path) -> String {
    let boot = format!(
        "<kernel>{}</kernel>\n    <initrd>{}</initrd>\n    <cmdline>console=ttyS0 quiet</cmdline>",
        kernel.display(),
        initrd.display()
    );
    domain(name, accel, 256, &boot)
}

fn domain(name: &str, accel: &str, memory_mib: u32, boot: &str) -> String {
    format!(
        "<domain type='{accel}'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    {boot}
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <serial type='pty'/>
    <console type='pty'/>
    <memballoon model='virtio'/>
  </devices>
</domain>
"
    )
}

/// An initial file system for Linux, in the kernel's own archive format ("newc").
#[derive(Default)]
pub struct Initramfs {
    archive: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// What the Linux guest runs as its first process: a shell on the console, and an ear for the
/// power button, which is how a host asks a guest to shut down.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do insmod $module; done
for button in /dev/input/event*; do
    { dd if=$button of=/dev/null bs=24 count=1 2>/dev/null && poweroff -f; } &
done
hostname guest
echo "This is $(uname -sr), with $(grep -c ^processor /proc/cpuinfo) CPU and $(awk '/MemTotal/ {print $2}' /proc/meminfo) KiB of memory."
exec setsid cttyhack sh
"#;

impl Initramfs {
    /// Busybox, the modules in the order of their names, and our init.
    pub fn with_busybox(busybox: &Path, modules: &[PathBuf]) -> std::io::Result<Vec<u8>> {
        let mut made = Self::default();
        for folder in ["bin", "dev", "proc", "sys", "modules"] {
            made.add(folder, FOLDER, &[]);
        }
        made.add("bin/busybox", PROGRAM, &fs::read(busybox)?);
        for (number, module) in modules.iter().enumerate() {
            made.add(&format!("modules/{number:02}.ko"), PROGRAM, &fs::read(module)?);
        }
        made.add("init", PROGRAM, INIT.as_bytes());
        Ok(made.finish())
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.archive
    }

    /// A file, with the folders it is in.
    pub(crate) fn add_program(&mut self, path: &str, content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            self.add(&path[..at], FOLDER, &[]);
        }
        self.add(path, PROGRAM, content);
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = content.len();
        let name_size = name.len() + 1;
        // Magic, then inode, mode, uid, gid, links, time, size, four device numbers, name size, sum.
        let fields =
            [self.entries as usize, mode as usize, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.archive.extend_from_slice(b"070701");
        for field in fields {
            self.archive.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.archive.extend_from_slice(name.as_bytes());
        self.archive.push(0);
        self.pad();
        self.archive.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.archive.resize(self.archive.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_aligned_and_ends_with_its_trailer() {
        let busybox = Path::new("/proc/self/comm");
        let archive = Initramfs::with_busybox(busybox, &[]).expect("readable");
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8_lossy(&archive);
        assert_eq!(text.matches("070701").count(), 8);
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }
}
