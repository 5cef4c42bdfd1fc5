//! A script that runs as the first process of a Linux guest: for what this host's kernel has not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::guest::Initramfs;
use crate::programs::{debian_program, target};
use crate::scratch::Scratch;
use crate::shell::run;

/// Before the script: what programs expect of a system. Control groups are of version 2 alone.
const BEFORE: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /tmp /run /etc /root /usr/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo root:x:0:0::/root:/bin/sh > /etc/passwd
echo root:x:0: > /etc/group
export PATH=/bin HOME=/root
cd /programs
";

const AFTER: &str = "\npoweroff -f\n";

/// Runs a script in a guest of Debian's kernel, emulated, and gives what it wrote on the console; or
/// why there can be no such guest. The programs lie beside each other in its folder.
pub fn in_linux_guest(
    programs: &[PathBuf],
    script: &str,
    limit: Duration,
) -> Result<String, String> {
    let qemu = debian_program("qemu-system-x86_64")?;
    let busybox = debian_program("busybox")?;
    let kernel = target().join("guest/vmlinuz");
    if !kernel.exists() {
        return Err("no kernel for a Linux guest (cargo xtask demo fetches one)".to_owned());
    }
    let mut archive = Initramfs::default();
    let add = |archive: &mut Initramfs, from: &Path, to: &str| {
        let content = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
        archive.add_program(to.trim_start_matches('/'), &content);
        Ok::<_, String>(())
    };
    add(&mut archive, &busybox, "bin/busybox")?;
    let folder = Scratch::new("inside");
    let mut libraries = BTreeSet::new();
    for program in programs {
        libraries.extend(needed(program)?);
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Without what only a debugger reads it is a tenth as large.
        let small = folder.join(&name);
        let stripped = Command::new("strip").arg(program).arg("-o").arg(&small).status();
        let small = if stripped.is_ok_and(|status| status.success()) { &small } else { program };
        add(&mut archive, small, &format!("programs/{name}"))?;
    }
    for library in libraries {
        add(&mut archive, Path::new(&library), &library)?;
    }
    archive.add_program("init", format!("{BEFORE}{script}{AFTER}").as_bytes());
    let initrd = folder.write("initrd", archive.finish());
    let mut command = Command::new(qemu);
    command.args(["-accel", "tcg", "-m", "1024", "-nographic", "-no-reboot", "-nic", "none"]);
    command.args(["-append", "console=ttyS0 quiet panic=-1", "-kernel"]).arg(kernel);
    let outcome = run(command.arg("-initrd").arg(initrd), limit);
    match outcome.code {
        Some(0) => Ok(outcome.stdout.replace('\r', "")),
        code => panic!("the guest ended with {code:?}: {} {}", outcome.stdout, outcome.stderr),
    }
}

/// The libraries of a program, as its loader finds them.
fn needed(program: &Path) -> Result<Vec<String>, String> {
    let listed = Command::new("ldd").arg(program).output();
    let listed = listed.map_err(|error| format!("ldd: {error}"))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(str::to_owned).collect())
}
