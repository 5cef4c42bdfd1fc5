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
    let kernel = fetched("vmlinuz")?;
    let folder = Scratch::new("inside");
    let archive = archive(programs, &[], &format!("{script}{AFTER}"))?;
    let initrd = folder.write("initrd", archive);
    let mut command = Command::new(qemu);
    command.args(["-accel", "tcg", "-m", "1024", "-nographic", "-no-reboot", "-nic", "none"]);
    command.args(["-append", "console=ttyS0 quiet panic=-1", "-kernel"]).arg(kernel);
    let outcome = run(command.arg("-initrd").arg(initrd), limit);
    match outcome.code {
        Some(0) => Ok(outcome.stdout.replace('\r', "")),
        code => panic!("the guest ended with {code:?}: {} {}", outcome.stdout, outcome.stderr),
    }
}

/// Something for guests that setup has fetched.
fn fetched(name: &str) -> Result<PathBuf, String> {
    let path = target().join("guest").join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("no {name} for a Linux guest (cargo xtask setup fetches one)"))
}

/// A file system with busybox, programs and their libraries, and modules, whose first process runs a script.
fn archive(programs: &[PathBuf], modules: &[PathBuf], script: &str) -> Result<Vec<u8>, String> {
    let mut archive = Initramfs::default();
    let mut add = |from: &Path, to: &str| {
        let content = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
        archive.add_program(to.trim_start_matches('/'), &content);
        Ok::<_, String>(())
    };
    add(&debian_program("busybox")?, "bin/busybox")?;
    let folder = Scratch::new("stripped");
    let mut libraries = BTreeSet::new();
    for program in programs {
        libraries.extend(needed(program)?);
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Without what only a debugger reads it is a tenth as large.
        let small = folder.join(&name);
        let stripped = Command::new("strip").arg(program).arg("-o").arg(&small).status();
        let small = if stripped.is_ok_and(|status| status.success()) { &small } else { program };
        add(small, &format!("programs/{name}"))?;
    }
    for library in libraries {
        add(Path::new(&library), &library)?;
    }
    for (number, module) in modules.iter().enumerate() {
        add(module, &format!("modules/{number:02}.ko"))?;
    }
    archive.add_program("init", format!("{BEFORE}{script}").as_bytes());
    Ok(archive.finish())
}

/// A Linux with QEMU's agent in it: its kernel, and its file system.
pub struct LinuxSystem {
    pub kernel: PathBuf,
    pub initrd: Vec<u8>,
}

/// The modules of Debian's kernel that guests need to obey the power button and to have disks, interfaces
/// and an agent, in the order in which they need one another.
pub const KERNEL_MODULES: &[&str] = &[
    "drivers/input/evdev.ko",
    "drivers/acpi/button.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/char/virtio_console.ko",
    "drivers/block/virtio_blk.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

/// A disk with a file system, an interface, what the agent calls, and the agent. The second disk is for
/// the memory of a guest that sleeps without current.
const WITH_AGENT: &str = r#"
for module in /modules/*; do insmod $module; done
hostname guest
mkdir -p /mnt /sbin /usr/sbin /var/run
ln -s /bin/busybox /sbin/hwclock
cat > /sbin/shutdown <<'END'
#!/bin/sh
case "$*" in *-r*) reboot -f ;; *) poweroff -f ;; esac
END
cat > /usr/sbin/chpasswd <<'END'
#!/bin/sh
cat > /run/passwords
END
cat > /usr/sbin/pm-is-supported <<'END'
#!/bin/sh
[ "$1" != --suspend-hybrid ]
END
cat > /usr/sbin/pm-suspend <<'END'
#!/bin/sh
echo mem > /sys/power/state
END
cat > /usr/sbin/pm-hibernate <<'END'
#!/bin/sh
mkswap /dev/vdb && swapon /dev/vdb
echo platform > /sys/power/disk
echo disk > /sys/power/state
END
chmod 755 /sbin/shutdown /usr/sbin/*
cat > /etc/os-release <<'END'
NAME="Guest"
ID=guest
VERSION_ID="1"
PRETTY_NAME="A guest of tests"
END
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mke2fs -q /dev/vda
mount -t ext4 /dev/vda /mnt
while true; do
    /programs/qemu-ga -m virtio-serial -p /dev/vport*p1 -t /run
    sleep 1
done
"#;

/// The system, or why there is none.
pub fn linux_with_agent() -> Result<LinuxSystem, String> {
    let file_name = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
    let modules: Result<Vec<PathBuf>, String> =
        KERNEL_MODULES.iter().map(|path| fetched(file_name(path))).collect();
    let initrd = archive(&[fetched("qemu-ga")?], &modules?, WITH_AGENT)?;
    Ok(LinuxSystem { kernel: fetched("vmlinuz")?, initrd })
}

/// The libraries of a program, as its loader finds them.
fn needed(program: &Path) -> Result<Vec<String>, String> {
    let listed = Command::new("ldd").arg(program).output();
    let listed = listed.map_err(|error| format!("ldd: {error}"))?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(str::to_owned).collect())
}
