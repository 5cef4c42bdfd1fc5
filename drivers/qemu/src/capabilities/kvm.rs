//! Whether KVM runs Linux guests here: found out by running something that needs what Linux needs.
//!
//! A device node proves nothing: on a host that is itself a para-virtual guest `/dev/kvm` opens and
//! interprets 16 and 32 bit code, while an ordinary 64 bit guest hangs. So a guest of some 200 bytes
//! turns on paging, long mode and SSE, and reports through the emulator's exit status.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use virt_host::{Ended, Signal, Spawn};

/// Limit: the guest takes 60 ms even under emulation.
const RUN_WAIT_MAX: Duration = Duration::from_millis(900);

/// Where the guest is loaded and where in the file its code starts.
const LOAD: u32 = 0x10_0000;
const CODE_AT: u32 = 96;

/// The status that `isa-debug-exit` makes of the 0x10 which the guest writes.
const PASSED: i32 = 0x10 << 1 | 1;

/// From 32 bit protected mode: three page tables at 2 MiB map the first 2 MiB, PAE, SSE and long
/// mode go on, a far jump enters 64 bit code, a 64 bit value goes through an SSE register and back,
/// and 0x10 goes to port 0xf4.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xfa, 0xbf, 0x00, 0x00, 0x20, 0x00, 0x31, 0xc0, 0xb9, 0x00, 0x0c, 0x00,
    0x00, 0xfc, 0xf3, 0xab, 0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x03, 0x10,
    0x20, 0x00, 0xc7, 0x05, 0x00, 0x10, 0x20, 0x00, 0x03, 0x20, 0x20, 0x00,
    0xc7, 0x05, 0x00, 0x20, 0x20, 0x00, 0x83, 0x00, 0x00, 0x00, 0xb8, 0x00,
    0x00, 0x20, 0x00, 0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xe0, 0x0d, 0x20, 0x02,
    0x00, 0x00, 0x0f, 0x22, 0xe0, 0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,
    0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30, 0x0f, 0x20, 0xc0, 0x0d, 0x00,
    0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0x0f, 0x01, 0x15, 0x00, 0x01, 0x10,
    0x00, 0xea, 0xc8, 0x00, 0x10, 0x00, 0x08, 0x00, 0x48, 0xb8, 0xf0, 0xde,
    0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0x66, 0x48, 0x0f, 0x6e, 0xc0, 0x66,
    0x48, 0x0f, 0x7e, 0xc3, 0x48, 0x39, 0xc3, 0x75, 0x07, 0xb8, 0x10, 0x00,
    0x00, 0x00, 0xe7, 0xf4, 0xf4, 0xeb, 0xfd, 0x0f, 0x1f, 0x44, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x9a, 0x20, 0x00, 0x0f, 0x00, 0xf0, 0x00, 0x10, 0x00,
];

/// Whether the device can be used by this process at all.
pub(super) fn device_opens() -> bool {
    File::options().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Whether a guest of this emulator really runs on KVM.
pub(super) fn runs_linux(emulator: &Path) -> bool {
    // Fast and sure: without these an x86 host has nothing to run a guest with.
    let flags = virt_host::CpuInfo::host().flags;
    let x86 = cfg!(target_arch = "x86_64");
    if x86 && !flags.iter().any(|flag| flag == "vmx" || flag == "svm") {
        return false;
    }
    runs(emulator, "kvm")
}

/// Runs the guest with this accelerator.
fn runs(emulator: &Path, accelerator: &str) -> bool {
    run(emulator, accelerator).is_ok_and(|ended| ended == Ended::Exited(PASSED))
}

fn run(emulator: &Path, accelerator: &str) -> std::io::Result<Ended> {
    // The emulator opens it through our entry in /proc: nothing needs to be inherited.
    let mut kernel = File::from(memfd_create("kvm-probe", MemfdFlags::CLOEXEC)?);
    kernel.write_all(&image())?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), kernel.as_raw_fd());
    let args = [
        "-accel",
        accelerator,
        "-machine",
        "pc",
        "-m",
        "16",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4",
        "-kernel",
        &path,
    ];
    let spawn = Spawn {
        program: emulator.to_owned(),
        args: args.iter().map(OsString::from).collect(),
        env: vec![("LC_ALL".into(), "C".into())],
        stdin: None,
        output: File::options().write(true).open("/dev/null")?,
        errors: None,
        user: None,
    };
    let process = spawn.start().map_err(std::io::Error::other)?.pidfd;
    if !process.wait(RUN_WAIT_MAX) {
        process.signal(Signal::KILL).map_err(std::io::Error::other)?;
        process.wait(RUN_WAIT_MAX);
    }
    Ok(process.reap())
}

/// The guest as a multiboot kernel in a 32 bit ELF file.
fn image() -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    let size = CODE_AT.saturating_add(u32::try_from(CODE.len()).unwrap_or(0));
    let mut image = b"\x7fELF\x01\x01\x01".to_vec();
    image.resize(16, 0);
    // Executable for the 80386, one program header behind the file header.
    image.extend([2_u16, 3].iter().flat_map(|half| half.to_le_bytes()));
    let words = [1, LOAD + CODE_AT, 52, 0, 0];
    image.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
    image.extend([52_u16, 32, 1, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let segment = [1, 0, LOAD, LOAD, size, size, 7, 4096];
    image.extend(segment.iter().flat_map(|word: &u32| word.to_le_bytes()));
    image.extend([MAGIC, 0, MAGIC.wrapping_neg()].iter().flat_map(|word| word.to_le_bytes()));
    image.extend_from_slice(CODE);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIES_MAX: usize = 30;

    #[test]
    fn the_guest_passes_where_long_mode_works_and_only_there() {
        let emulator = Path::new("/usr/bin/qemu-system-x86_64");
        if !emulator.exists() {
            println!("skipped: no {}", emulator.display());
            return;
        }
        // On a busy machine it may not come to its end in time.
        assert!((0..TRIES_MAX).any(|_| runs(emulator, "tcg")));
        // What does not run the guest does not pass for one that does.
        assert!(!runs(emulator, "nonexistent"));
        assert!(!runs(Path::new("/bin/true"), "tcg"));
    }

    #[test]
    fn the_image_has_the_header_where_loaders_look_for_it() {
        let image = image();
        assert_eq!(image.len(), 96 + CODE.len());
        assert_eq!(image.get(84..88), Some(0x1bad_b002_u32.to_le_bytes().as_slice()));
    }
}
