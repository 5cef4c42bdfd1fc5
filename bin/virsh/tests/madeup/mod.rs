//! Hosts made up in a folder: whole ones, what can be broken on one, and an administrator who does as told.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use test_support::Scratch;
use virt_json::Value;

/// A person of the made-up host who is not root, and the group that both its daemon and KVM are for.
pub(crate) const PERSON: u32 = 7001;

/// What is delegated to that person.
pub(crate) const DELEGATED: &str =
    "sys/fs/cgroup/user.slice/user-7001.slice/user@7001.service/cgroup.controllers";

fn emulator() -> String {
    format!("usr/bin/qemu-system-{}", std::env::consts::ARCH)
}

/// What is wrong, and what mends it.
pub(crate) type Finding = (String, String);

pub(crate) struct Host(pub(crate) Scratch);

impl Host {
    /// A host that lacks nothing.
    pub(crate) fn whole() -> Self {
        let host = Self(Scratch::new("doctor"));
        for (path, text, mode) in [
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\nalice:x:7001:7001::/home/alice:/bin/sh\nlibvirt-qemu:x:64055:108::/:/bin/false\n",
                0o644,
            ),
            ("etc/group", "root:x:0:\nlibvirt:x:7002:alice\nkvm:x:7003:alice\n", 0o644),
            ("run/libvirt/libvirt-sock", "", 0o666),
            ("run/systemd/system/x", "", 0o644),
            ("usr/lib/systemd/system/virtqemud.socket", "", 0o644),
            ("dev/kvm", "", 0o666),
            ("proc/cpuinfo", "flags\t\t: fpu vmx sse\n", 0o444),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n", 0o444),
            ("sys/class/net/virbr0/bridge/id", "", 0o444),
            ("proc/sys/net/ipv4/ip_forward", "1\n", 0o644),
            ("proc/sys/kernel/osrelease", "6.1.0\n", 0o444),
            ("proc/modules", "nf_tables 1 0 - Live\n", 0o644),
            ("usr/sbin/nft", "", 0o755),
            ("usr/sbin/dnsmasq", "", 0o755),
            ("usr/bin/apt-get", "", 0o755),
            ("var/lib/libvirt/images/x", "", 0o600),
        ] {
            host.write(path, text, mode);
        }
        host.write(&emulator(), "", 0o755);
        host.write(DELEGATED, "cpuset cpu io memory pids\n", 0o644);
        host.0.set_mode(0o755);
        host
    }

    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        // A file that is there may be closed to its owner too.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("a file");
        set_mode(&path, mode);
    }

    /// Gives a file to a group.
    pub(crate) fn belongs_to(&self, path: &str, gid: u32) {
        std::os::unix::fs::chown(self.0.join(path), None, Some(gid)).expect("root may");
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.0.join(path);
        match path.is_dir() {
            true => std::fs::remove_dir_all(path).expect("it goes"),
            false => std::fs::remove_file(path).expect("it goes"),
        }
    }

    /// What the doctor says: its findings that are not good, and whether it is satisfied.
    pub(crate) fn seen_by(&self, uid: u32) -> Result<(Vec<Finding>, bool), String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virsh"));
        if uid != rustix::process::geteuid().as_raw() {
            command.uid(uid).gid(uid);
        }
        self.seen_through(&mut command)
    }

    /// The same for somebody who logs in now, and so has the groups that the host's file names.
    pub(crate) fn seen_after_login(&self, uid: u32) -> Result<(Vec<Finding>, bool), String> {
        let (people, groups) = (self.read("etc/passwd"), self.read("etc/group"));
        let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
        let name = people
            .lines()
            .map(fields)
            .find_map(|line| (line[2] == uid.to_string()).then(|| line[0].clone()))
            .ok_or("nobody of that number")?;
        let groups: Vec<String> = groups
            .lines()
            .map(fields)
            .filter(|line| line[3].split(',').any(|member| member == name))
            .map(|line| line[2].clone())
            .chain([uid.to_string()])
            .collect();
        let mut command = Command::new("setpriv");
        let id = uid.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--groups", &groups.join(",")]);
        self.seen_through(command.arg(env!("CARGO_BIN_EXE_virsh")))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    fn seen_through(&self, command: &mut Command) -> Result<(Vec<Finding>, bool), String> {
        command.env_clear().args(["doctor", "--output", "json", "--root"]).arg(self.0.path());
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = virt_json::parse(&text).map_err(|error| format!("{error}: {text}"))?;
        let text =
            |finding: &Value, key| finding.get(key).and_then(Value::as_str).map(str::to_owned);
        let bad = found
            .as_array()
            .unwrap_or_default()
            .iter()
            .filter_map(|finding| Some((text(finding, "what")?, text(finding, "fix")?)));
        Ok((bad.collect(), output.status.success()))
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

pub(crate) type Break = fn(&Host);

/// What is broken, how it is named, and how what root is told to mend it with begins.
pub(crate) const BROKEN: &[(Break, &str, &str)] = &[
    (
        |host| host.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644),
        "there is no user 'libvirt-qemu' or 'qemu'",
        "useradd --system --no-create-home --groups kvm libvirt-qemu",
    ),
    (
        |host| host.remove("run/libvirt"),
        "'/run/libvirt' does not exist",
        "systemctl start virtqemud.socket",
    ),
    (
        |host| host.remove("run/libvirt/libvirt-sock"),
        "its daemon does not run",
        "systemctl start virtqemud.socket",
    ),
    (
        |host| {
            host.remove("run/libvirt");
            host.remove("run/systemd");
            host.write("usr/sbin/virtd", "", 0o755);
        },
        "'/run/libvirt' does not exist",
        "virtd --daemon",
    ),
    (
        |host| {
            host.remove("run/libvirt");
            host.remove("usr/lib/systemd");
        },
        "'/run/libvirt' does not exist",
        "apt-get install libvirt-daemon-system",
    ),
    (
        |host| {
            host.remove("run/libvirt");
            host.write("run/libvirt", "", 0o644);
        },
        "'/run/libvirt' is no folder",
        "# name another socket: ?socket=PATH in the URI",
    ),
    (|host| host.remove("dev/kvm"), "module kvm_intel is not loaded", "modprobe kvm_intel"),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "flags\t\t: fpu svm\n", 0o444);
        },
        "module kvm_amd is not loaded",
        "modprobe kvm_amd",
    ),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("sys/module/kvm_intel/x", "", 0o444);
        },
        "module kvm_intel is loaded, but",
        "mknod -m 0666 /dev/kvm c 10 232  # in a container: start it with this device",
    ),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "processor\t: 0\n", 0o444);
        },
        "'/dev/kvm' is not there",
        "modprobe kvm",
    ),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "flags\t\t: fpu sse hypervisor\n", 0o444);
        },
        "is a guest itself",
        "# on the host below: allow nested virtualization and give this guest \
         <cpu mode='host-passthrough'/>",
    ),
    (
        |host| {
            host.remove("dev/kvm");
            host.write("proc/cpuinfo", "flags\t\t: fpu sse\n", 0o444);
        },
        "no vmx or svm",
        "# enable virtualization (VT-x, AMD-V, SVM) in the firmware's setup",
    ),
    (
        |host| host.remove("sys/fs/cgroup/cgroup.controllers"),
        "no control groups",
        "mount -t cgroup2 none /sys/fs/cgroup",
    ),
    (
        |host| {
            host.remove("sys/fs/cgroup/cgroup.controllers");
            host.write("sys/fs/cgroup/cpu/tasks", "", 0o444);
        },
        "of version 1",
        "# boot with systemd.unified_cgroup_hierarchy=1",
    ),
    (
        |host| host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n", 0o444),
        "controllers missing: cpuset, io, pids",
        "# boot without cgroup_disable= in the kernel's command line",
    ),
    (
        |host| host.remove("sys/class/net/virbr0"),
        "no bridge",
        "virsh -c qemu:///system net-start default",
    ),
    (
        |host| host.write("proc/sys/net/ipv4/ip_forward", "0\n", 0o644),
        "not forwarded",
        "sysctl -w net.ipv4.ip_forward=1",
    ),
    (|host| host.remove("usr/sbin/dnsmasq"), "dnsmasq", "apt-get install dnsmasq-base"),
    (
        |host| {
            host.remove("usr/sbin/dnsmasq");
            host.remove("usr/bin/apt-get");
            host.write("usr/bin/dnf", "", 0o755);
        },
        "dnsmasq",
        "dnf install dnsmasq",
    ),
    (
        |host| {
            host.remove("usr/sbin/dnsmasq");
            host.remove("usr/bin/apt-get");
        },
        "dnsmasq",
        "# install dnsmasq-base with this host's package manager",
    ),
    (|host| host.remove("usr/sbin/nft"), "neither nft nor iptables", "apt-get install nftables"),
    (|host| host.write("proc/modules", "", 0o644), "no packet filter", "modprobe nf_tables"),
    (
        |host| host.write("run/firewalld/x", "", 0o644),
        "no zone 'libvirt'",
        "firewall-cmd --permanent --new-zone=libvirt && firewall-cmd --reload",
    ),
    (
        |host| host.remove("var/lib/libvirt/images"),
        "images' is not there",
        "install -d -m 0711 /var/lib/libvirt/images",
    ),
    (
        |host| set_mode(&host.0.join("var/lib/libvirt"), 0o700),
        "'/var/lib/libvirt' may not be entered by emulators",
        "chmod o+x /var/lib/libvirt",
    ),
    (|host| host.remove(&emulator()), "no emulator", "apt-get install qemu-system-"),
];

/// What fixes call that would change the kernel or services, or fetch something: each knows the one thing
/// that a fix may ask of it, and does to the made-up host what the real one does.
const SHIMS: &[(&str, &str)] = &[
    ("sudo", r#"exec "$@""#),
    (
        "systemctl",
        r#"case "$*" in
        "start virtqemud.socket") listen ;;
        daemon-reload) sed -n s/^Delegate=//p /etc/systemd/system/user@.service.d/*.conf >"$ROOT/$DELEGATED" ;;
        *) exit 64 ;;
        esac"#,
    ),
    ("virtd", r#"[ "$*" = --daemon ] && listen"#),
    (
        "listen",
        "mkdir -p /run/libvirt && : >/run/libvirt/libvirt-sock && chmod 666 /run/libvirt/libvirt-sock",
    ),
    (
        "modprobe",
        r#"case "$*" in
        kvm | kvm_intel | kvm_amd) : >/dev/kvm; chmod 666 /dev/kvm ;;
        nf_tables) echo "nf_tables 1 0 - Live" >"$ROOT/proc/modules" ;;
        *) exit 64 ;;
        esac"#,
    ),
    (
        "apt-get",
        r#"case "$*" in
        "install dnsmasq-base") program=usr/sbin/dnsmasq ;;
        "install nftables") program=usr/sbin/nft ;;
        "install libvirt-daemon-system") listen; exit ;;
        "install qemu-system-"*) program=$EMULATOR ;;
        *) exit 64 ;;
        esac
        : >"$ROOT/$program""#,
    ),
    ("dnf", r#"[ "$*" = "install dnsmasq" ] && : >"$ROOT/usr/sbin/dnsmasq""#),
    (
        "mount",
        r#"[ "$*" = "-t cgroup2 none /sys/fs/cgroup" ] &&
        echo cpuset cpu io memory pids >/sys/fs/cgroup/cgroup.controllers"#,
    ),
    (
        "firewall-cmd",
        r#"case "$*" in
        "--permanent --new-zone=libvirt") mkdir -p /etc/firewalld/zones && : >/etc/firewalld/zones/libvirt.xml ;;
        --reload) ;;
        *) exit 64 ;;
        esac"#,
    ),
    (
        "virsh",
        r#"[ "$*" = "-c qemu:///system net-start default" ] && mkdir -p /sys/class/net/virbr0/bridge"#,
    ),
];

/// In a mount namespace the made-up host's folders lie over the real one's, whose tools do the rest.
const OVER: &str = r#"set -e
mount --make-rprivate /
for part in etc run var/lib sys/class/net sys/fs/cgroup proc/sys/net/ipv4/ip_forward dev
do mount --bind "$ROOT/$part" "/$part"
done
PATH="$SHIMS:/usr/sbin:/usr/bin:/sbin:/bin"
exec sh -c "$FIX""#;

/// A host whose administrator does what is said.
pub(crate) struct Administrator {
    tools: Scratch,
}

impl Administrator {
    /// Or why nobody here can be one.
    pub(crate) fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a mount namespace wants root".to_owned());
        }
        let tools = Scratch::new("doctor-tools");
        for (name, text) in SHIMS {
            let path = tools.write(name, format!("#!/bin/sh\n{text}\n"));
            set_mode(&path, 0o755);
        }
        let tried = Command::new("unshare").args(["--mount", "true"]).output();
        match tried.is_ok_and(|output| output.status.success()) {
            true => Ok(Self { tools }),
            false => Err("this host lets nobody have a mount namespace".to_owned()),
        }
    }

    /// Types a fix as it was printed.
    pub(crate) fn types(&self, host: &Host, fix: &str) -> Result<(), String> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", OVER]).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("FIX", fix);
        command.env("ROOT", host.0.path()).env("SHIMS", self.tools.path());
        command.env("EMULATOR", emulator()).env("DELEGATED", DELEGATED);
        let output = command.output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{fix}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}
