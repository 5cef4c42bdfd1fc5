//! What `doctor` looks at: one function for each part of a host that guests need.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::socket::{blame, start};
use super::{Finding, Host, Membership};

/// A part of the host, and what is found of it.
pub(crate) type Check = (&'static str, fn(&Host) -> Vec<Finding>);

pub(crate) const CHECKS: &[Check] = &[
    ("groups", groups),
    ("sockets", sockets),
    ("kvm", kvm),
    ("cgroups", cgroups),
    ("bridges", bridges),
    ("firewall", firewall),
    ("storage", storage),
    ("versions", versions),
];

const READ_WRITE: Access = Access::READ_OK.union(Access::WRITE_OK);

/// Who may talk to the system's daemon, and whom its guests run as.
fn groups(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    let user = host.user_name();
    if host.is_root() {
        found.push(Finding::good("this is root, who may use every socket and device"));
        let known = ["libvirt-qemu", "qemu"].into_iter().find(|name| host.has_user(name));
        found.push(match known {
            Some(name) => Finding::good(format!("guests can run as '{name}'")),
            None => Finding::note(
                "there is no user 'libvirt-qemu' or 'qemu': guests of the system's daemon run as root",
                "useradd --system --no-create-home --groups kvm libvirt-qemu",
            ),
        });
        return found;
    }
    found.push(match host.membership("libvirt") {
        Membership::Now => Finding::good(format!("'{user}' is in group 'libvirt'")),
        Membership::NoGroup => Finding::note(
            "there is no group 'libvirt': only root uses the system's daemon",
            host.join("libvirt"),
        ),
        Membership::NextLogin => Finding::fault(
            format!("'{user}' was put into group 'libvirt' after this login"),
            host.join("libvirt"),
        ),
        Membership::No => Finding::note(
            format!("'{user}' is not in group 'libvirt': qemu:///system may ask for a password"),
            host.join("libvirt"),
        ),
    });
    found
}

/// Where daemons listen, each by its name.
const SOCKETS: &[&str] = &["libvirt-sock", "virtqemud-sock", "virtxend-sock", "virtnetworkd-sock"];

fn sockets(host: &Host) -> Vec<Finding> {
    let folder = Path::new("/run/libvirt");
    let there: Vec<PathBuf> =
        SOCKETS.iter().map(|name| folder.join(name)).filter(|path| host.exists(path)).collect();
    let Some(first) = there.first() else {
        return blame(host, &folder.join(SOCKETS[0]), false).into_iter().collect();
    };
    // One that can be used is enough; of the others it is said what is wrong.
    let mut found: Vec<Finding> = Vec::new();
    for socket in &there {
        let shown = socket.display();
        let good = || Finding::good(format!("'{shown}' can be used"));
        found.push(blame(host, socket, false).unwrap_or_else(good));
    }
    if found.is_empty() {
        found.push(Finding::fault(format!("'{}'", first.display()), start(host, false)));
    }
    found
}

fn kvm(host: &Host) -> Vec<Finding> {
    const DEVICE: &str = "/dev/kvm";
    if host.exists(DEVICE) {
        if host.may(DEVICE, READ_WRITE) {
            return vec![usable_kvm(host)];
        }
        let what = format!("'{DEVICE}' is closed to '{}': guests are emulated", host.user_name());
        return vec![Finding::fault(what, host.open_device(DEVICE, "kvm"))];
    }
    let flags = host.read("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| {
        let lines = flags.lines().filter(|line| line.starts_with("flags"));
        lines.flat_map(str::split_whitespace).any(|word| word == flag)
    };
    let vendor = if has("vmx") {
        Some("kvm_intel")
    } else if has("svm") {
        Some("kvm_amd")
    } else {
        None
    };
    let other_machine = flags.lines().all(|line| !line.starts_with("flags"));
    vec![match (vendor, other_machine) {
        (Some(module), _) if host.exists(format!("/sys/module/{module}")) => Finding::fault(
            format!("module {module} is loaded, but '{DEVICE}' is not there: guests are emulated"),
            // Its number is the kernel's for good.
            format!(
                "{}  # in a container: start it with this device",
                host.as_root("mknod -m 0666 /dev/kvm c 10 232")
            ),
        ),
        (Some(module), _) => Finding::fault(
            format!(
                "module {module} is not loaded, so there is no '{DEVICE}': guests are emulated"
            ),
            host.as_root(&format!("modprobe {module}")),
        ),
        (None, false) if has("hypervisor") => Finding::fault(
            "this host is a guest itself whose processor shows no vmx or svm: guests are emulated",
            "# on the host below: allow nested virtualization and give this guest \
             <cpu mode='host-passthrough'/>",
        ),
        (None, false) => Finding::fault(
            "the processor shows no vmx or svm: guests are emulated",
            "# enable virtualization (VT-x, AMD-V, SVM) in the firmware's setup",
        ),
        (None, true) => Finding::fault(
            format!("'{DEVICE}' is not there: guests are emulated"),
            host.as_root("modprobe kvm"),
        ),
    }]
}

/// A device that is there may still be one that the kernel refuses to open.
fn usable_kvm(host: &Host) -> Finding {
    let device = host.at("/dev/kvm");
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(device);
    match opened {
        Err(error) if host.is_real() => Finding::fault(
            format!("'/dev/kvm' is there but cannot be opened ({error}): guests are emulated"),
            format!("# the kernel tells why: {}", host.as_root("dmesg | grep -i kvm")),
        ),
        _ => Finding::good("'/dev/kvm' can be opened: guests are accelerated"),
    }
}

/// What a guest's limits and accounts need.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "io", "memory", "pids"];

fn cgroups(host: &Host) -> Vec<Finding> {
    const ROOT: &str = "/sys/fs/cgroup";
    let Some(controllers) = host.read(format!("{ROOT}/cgroup.controllers")) else {
        return match host.exists(format!("{ROOT}/cpu")) {
            true => vec![Finding::note(
                "control groups are of version 1",
                "# boot with systemd.unified_cgroup_hierarchy=1",
            )],
            false => vec![Finding::fault(
                format!("no control groups are mounted at '{ROOT}': guests have no limits"),
                host.as_root(&format!("mount -t cgroup2 none {ROOT}")),
            )],
        };
    };
    let mut found = vec![missing_controllers(
        &controllers,
        "control groups of version 2 are there",
        "# boot without cgroup_disable= in the kernel's command line",
    )];
    if !host.is_root() {
        let uid = host.person.uid;
        let own = format!("{ROOT}/user.slice/user-{uid}.slice/user@{uid}.service");
        let delegated = host.read(format!("{own}/cgroup.controllers")).unwrap_or_default();
        let fix = host.as_root(
            "mkdir -p /etc/systemd/system/user@.service.d && sh -c 'printf \
             \"[Service]\\nDelegate=cpu cpuset io memory pids\\n\" \
             >/etc/systemd/system/user@.service.d/delegate.conf' && systemctl daemon-reload",
        ) + "  # then log in again";
        let mut finding = missing_controllers(&delegated, "all are delegated to this user", &fix);
        if finding.fix.is_some() {
            finding.what = format!("{} for guests of qemu:///session", finding.what);
        }
        found.push(finding);
    }
    found
}

fn missing_controllers(there: &str, good: &str, fix: &str) -> Finding {
    let there: Vec<&str> = there.split_whitespace().collect();
    let missing: Vec<&str> =
        CONTROLLERS.iter().copied().filter(|name| !there.contains(name)).collect();
    match missing.is_empty() {
        true => Finding::good(good),
        false => Finding::note(format!("controllers missing: {}", missing.join(", ")), fix),
    }
}

fn bridges(host: &Host) -> Vec<Finding> {
    const NETS: &str = "/sys/class/net";
    let mut found = Vec::new();
    let devices = host.entries(NETS);
    let bridges: Vec<&String> =
        devices.iter().filter(|name| host.exists(format!("{NETS}/{name}/bridge"))).collect();
    found.push(match bridges.is_empty() {
        true => Finding::note(
            "no bridge is there: no virtual network is active",
            "virsh -c qemu:///system net-start default",
        ),
        false => {
            let names: Vec<&str> = bridges.iter().map(|name| name.as_str()).collect();
            Finding::good(format!("bridges: {}", names.join(", ")))
        }
    });
    let forward = host.read("/proc/sys/net/ipv4/ip_forward").unwrap_or_default();
    if !bridges.is_empty() && forward.trim() == "0" {
        found.push(Finding::fault(
            "packets are not forwarded: guests behind a bridge reach this host only",
            host.as_root("sysctl -w net.ipv4.ip_forward=1"),
        ));
    }
    if host.program("dnsmasq").is_none() {
        found.push(Finding::note(
            "dnsmasq is not installed: virtual networks have no DHCP and DNS",
            host.install("dnsmasq-base", "dnsmasq"),
        ));
    }
    found
}

fn firewall(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    let tools = ["nft", "iptables"].into_iter().filter(|name| host.program(name).is_some());
    let tools: Vec<&str> = tools.collect();
    found.push(match tools.is_empty() {
        true => Finding::fault(
            "neither nft nor iptables is installed: virtual networks cannot be started",
            host.install("nftables", "nftables"),
        ),
        false => Finding::good(format!("rules are made with {}", tools[0])),
    });
    let kernel = host.read("/proc/modules").unwrap_or_default();
    let has = |module: &str| {
        kernel.lines().any(|line| line.split(' ').next() == Some(module))
            || host.exists(format!("/sys/module/{module}"))
            || host.exists(format!("/proc/sys/net/netfilter/{module}"))
    };
    let built_in = host.exists("/proc/sys/net/netfilter");
    if !has("nf_tables") && !has("ip_tables") && !built_in {
        found.push(Finding::fault(
            "the kernel has no packet filter loaded",
            host.as_root("modprobe nf_tables"),
        ));
    }
    if host.exists("/run/firewalld") {
        // Where packages put it, and where the fix does.
        let zone = ["/usr/lib/firewalld/zones/libvirt.xml", "/etc/firewalld/zones/libvirt.xml"];
        found.push(match zone.iter().any(|path| host.exists(path)) {
            true => Finding::good("firewalld runs and has a zone for virtual networks"),
            false => Finding::note(
                "firewalld runs, but has no zone 'libvirt': it may drop what guests send",
                host.as_root(
                    "firewall-cmd --permanent --new-zone=libvirt && firewall-cmd --reload",
                ),
            ),
        });
    }
    found
}

/// Where volumes lie, and how much room there must be at least.
const IMAGES: &str = "/var/lib/libvirt/images";
const ROOM_MIB_MIN: u64 = 1024;

fn storage(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    match host.exists(IMAGES) {
        true => {
            found.push(closed_folder(host).unwrap_or_else(|| {
                Finding::good(format!("'{IMAGES}' is there and emulators may enter it"))
            }));
            found.extend(room(host, IMAGES));
        }
        false => found.push(Finding::note(
            format!("'{IMAGES}' is not there, where the system's images lie by custom"),
            host.as_root(&format!("install -d -m 0711 {IMAGES}")),
        )),
    }
    found
}

/// A folder above the images that emulators, who are neither root nor the owner, may not enter.
fn closed_folder(host: &Host) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt as _;
    let mut folders: Vec<&Path> = Path::new(IMAGES).ancestors().collect();
    folders.reverse();
    let closed =
        |folder: &&Path| host.metadata(folder).is_some_and(|found| found.mode() & 0o001 == 0);
    let folder = folders.into_iter().find(closed)?.display().to_string();
    Some(Finding::fault(
        format!("'{folder}' may not be entered by emulators, who run as another user"),
        host.as_root(&format!("chmod o+x {folder}")),
    ))
}

fn room(host: &Host, folder: &str) -> Option<Finding> {
    let found = rustix::fs::statvfs(host.at(folder)).ok()?;
    let free_mib = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
    Some(match free_mib < ROOM_MIB_MIN {
        true => Finding::fault(
            format!("'{folder}' has {free_mib} MiB left"),
            "# make room, or have a pool elsewhere: virsh pool-create-as NAME dir --target FOLDER",
        ),
        false => Finding::good(format!("'{folder}' has {} GiB left", free_mib >> 10)),
    })
}

fn versions(host: &Host) -> Vec<Finding> {
    let mut found = Vec::new();
    found.push(Finding::good(format!(
        "virsh {} (libvirt {})",
        env!("CARGO_PKG_VERSION"),
        crate::commands::host::VERSION
    )));
    if let Some(kernel) = host.read("/proc/sys/kernel/osrelease") {
        found.push(Finding::good(format!("kernel {}", kernel.trim())));
    }
    let arch = std::env::consts::ARCH;
    let emulators = [format!("qemu-system-{arch}"), "qemu-kvm".to_owned()];
    let there = emulators.iter().find_map(|name| host.program(name));
    let there = there.or_else(|| {
        let kvm = Path::new("/usr/libexec/qemu-kvm");
        host.exists(kvm).then(|| kvm.to_owned())
    });
    found.push(match there {
        Some(path) => {
            Finding::good(format!("emulator '{}'{}", path.display(), said_by(host, &path)))
        }
        None => Finding::fault(
            format!("no emulator for {arch} is installed"),
            host.install(emulator_package(arch), "qemu-kvm"),
        ),
    });
    found
}

/// Debian's package with the emulator of a processor.
fn emulator_package(arch: &str) -> &'static str {
    match arch {
        "x86_64" | "x86" => "qemu-system-x86",
        "aarch64" | "arm" => "qemu-system-arm",
        "powerpc64" => "qemu-system-ppc",
        "s390x" => "qemu-system-s390x",
        _ => "qemu-system-misc",
    }
}

/// What a program of this host says of its version.
fn said_by(host: &Host, program: &Path) -> String {
    if !host.is_real() {
        return String::new();
    }
    let output = std::process::Command::new(program).arg("--version").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let version = line.split_once("version ").map_or("", |(_, version)| version);
    if version.is_empty() { String::new() } else { format!(", version {version}") }
}
