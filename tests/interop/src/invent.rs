//! Sessions that nobody wrote: lines over the table of commands, with plausible arguments and some that
//! are not. The same seed gives the same sessions.

use std::path::Path;

use crate::side::text_of;

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a small number").max(1);
        usize::try_from(self.next() % count).expect("below a small number")
    }

    /// True so often of a hundred.
    fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Number,
    Text,
    Words,
}

struct Choice {
    name: String,
    kind: Kind,
    required: bool,
    positional: bool,
}

/// A command of the table and its options.
pub struct Entry {
    name: String,
    choices: Vec<Choice>,
}

/// Commands that wait, leave or speak in words of their own.
const LEFT_OUT: &[&str] = &[
    "event",
    "net-event",
    "nodedev-event",
    "pool-event",
    "secret-event",
    "qemu-monitor-event",
    "help",
    "quit",
    "exit",
    "cd",
    "connect",
    "self-test",
    "complete",
];

/// Reads the tables of commands and options.
pub fn table(folder: &Path) -> Vec<Entry> {
    let options = text_of(&folder.join("virsh_options.tsv"));
    let rows: Vec<Vec<&str>> = options.lines().skip(1).map(|l| l.split('\t').collect()).collect();
    let commands = text_of(&folder.join("virsh_commands.tsv"));
    let names = commands.lines().skip(1).filter_map(|line| line.split('\t').next());
    names
        .filter(|name| !LEFT_OUT.contains(name))
        .map(|name| Entry {
            name: name.to_owned(),
            choices: rows.iter().filter(|row| row[0] == name).map(|row| choice(row)).collect(),
        })
        .collect()
}

fn choice(row: &[&str]) -> Choice {
    let kind = match row[3] {
        "bool" => Kind::Switch,
        "number" => Kind::Number,
        "argv" => Kind::Words,
        _ => Kind::Text,
    };
    Choice {
        name: row[2].to_owned(),
        kind,
        required: row[5] == "yes",
        positional: row[4] != "-" && row[6] == "no",
    }
}

/// What may come before, so that there is something to find.
const BEFORE: &[&str] = &[
    "destroy test",
    "suspend test",
    "shutdown test",
    "undefine test",
    "managedsave test",
    "setvcpus test 1",
    "autostart test",
    "iothreadadd test 1",
    "snapshot-create-as test s1",
    "snapshot-create-as test s1; snapshot-create-as test s2",
    "checkpoint-create-as test c1",
    "checkpoint-create-as test c1; checkpoint-create-as test c2",
    "vol-create-as default-pool v1 1M",
    "vol-create-as default-pool v1 1M --allocation 4k --format qcow2",
    "net-destroy default",
    "net-define network.xml",
    "pool-destroy default-pool",
    "pool-define pool.xml",
    "define domain.xml",
    "create domain.xml",
    "iface-define interface.xml",
    "iface-destroy eth1",
    "iface-begin",
    "nodedev-create device.xml",
    "attach-disk test /guest/new.img vdb",
    "attach-interface test network default --config --live",
    "detach-disk test vda",
    "desc test words",
    "metadata test http://x.org/n --key k --set '<a/>'",
];

/// What may come after, so that it is seen what became of it.
const AFTER: &[&str] = &[
    "dumpxml test",
    "dumpxml test --inactive",
    "dominfo test",
    "domstate test --reason",
    "vcpucount test",
    "domblklist test --details",
    "domiflist test",
    "iothreadinfo test",
    "list --all --title",
    "snapshot-list test --tree",
    "snapshot-list test --parent",
    "checkpoint-list test --parent",
    "net-list --all",
    "net-dumpxml default",
    "net-port-list default",
    "pool-list --all --details",
    "pool-dumpxml default-pool",
    "vol-list default-pool --details",
    "iface-list --all",
    "nodedev-list --tree",
];

/// What an option of this name is likely to be given.
const VALUES: &[(&str, &[&str])] = &[
    ("domain", &["test", "test", "test", "test", "test", "1", "nosuch", "domain", "2", "''"]),
    ("network", &["default", "default", "default", "nosuch", "net"]),
    ("pool", &["default-pool", "default-pool", "default-pool", "nosuch", "pool"]),
    ("inputpool", &["default-pool", "nosuch"]),
    ("vol", &["v1", "v1", "/default-pool/v1", "nosuch"]),
    ("interface", &["eth1", "testnet0", "aa:bb:cc:dd:ee:ff", "eth0", "nosuch"]),
    ("device", &["computer", "vda", "scsi_host1", "test-scsi-host-vport", "nosuch"]),
    ("path", &["vda", "vda", "sda", "/guest/diskimage1", "nosuch", "/default-pool/v1"]),
    ("target", &["vda", "vdb", "hdc", "sda", "nosuch"]),
    ("disk", &["vda", "vdb", "nosuch"]),
    ("dev", &["vda", "vdb", "nosuch"]),
    ("snapshotname", &["s1", "s1", "s2", "nosuch"]),
    ("checkpointname", &["c1", "c1", "c2", "nosuch"]),
    ("secret", &["11111111-2222-3333-4444-555555555555", "nosuch"]),
    ("name", &["a", "test", "default", "v1", "a/b", "'a b'"]),
    ("newname", &["b", "test", "v1"]),
    ("new-name", &["b", "test", "a/b", "''"]),
    ("type", &["cdrom", "disk", "dir", "network", "bridge", "user", "lifecycle", "x", "poweroff"]),
    ("source", &["/guest/new.img", "default", "br0", "''", "nosuch"]),
    ("state", &["on", "off", "up", "down", "x"]),
    ("model", &["virtio", "e1000", "x"]),
    ("mode", &["mem", "shareable", "readonly", "acpi", "agent", "0", "strict", "preferred,acpi"]),
    ("format", &["raw", "qcow2", "x", "qemu-argv", "elf"]),
    ("cache", &["none", "x"]),
    ("targetbus", &["virtio", "ide", "scsi", "x"]),
    ("driver", &["qemu", "x"]),
    ("subdriver", &["qcow2", "raw"]),
    ("mac", &["52:54:00:11:22:33", "aa:bb:cc:dd:ee:ff", "x"]),
    ("inbound", &["1", "10,20,30", "a", "1,2,3,4,5", ",,"]),
    ("outbound", &["1", "10,20,30", "a", "0"]),
    ("cpulist", &["0", "0-1", "1,^1", "r", "x", "0-99", "''"]),
    ("vcpulist", &["0", "0-1", "x", "9"]),
    ("nodeset", &["0", "0-1", "x", "''"]),
    ("uri", &["http://x.org/n", "x", "''"]),
    ("key", &["k", "''"]),
    ("set", &["<a/>", "'<a>b</a>'", "x", "a=b", "''"]),
    ("xpath", &["//name", "/domain/@id", "//nosuch", "'string(//name)'", "//["]),
    ("capacity", &["1M", "1048576", "x", "-1", "1.5G", "0"]),
    ("allocation", &["4k", "0", "x"]),
    ("mountpoint", &["/", "x"]),
    ("codeset", &["linux", "usb", "x"]),
    ("keycode", &["KEY_A", "30", "0x1e", "x"]),
    ("signame", &["SIGTERM", "term", "9", "x", "kill"]),
    ("pid", &["1", "x"]),
    ("event", &["lifecycle", "x", "instructions"]),
    ("enable", &["cmt", "instructions", "x"]),
    ("disable", &["cmt", "x"]),
    ("os", &["hvm", "x"]),
    ("action", &["restart", "destroy", "preserve", "x"]),
    ("command", &["add", "modify", "delete", "add-last", "x"]),
    ("section", &["dns-host", "ip-dhcp-host", "portgroup", "bridge", "x"]),
    ("cap", &["system", "pci", "net,scsi_host", "x"]),
    ("memspec", &["file=/m,snapshot=external", "snapshot=no", "x"]),
    ("diskspec", &["vda,snapshot=no", "vda,file=/s", "vda", "x", "vda,checkpoint=bitmap"]),
    ("group", &["domain", "x"]),
    ("group-name", &["g1", "limit0", "''"]),
    ("algorithm", &["zero", "nnsa", "x"]),
    ("timezone", &["UTC"]),
    ("duration", &["1", "0"]),
    ("time", &["0", "x"]),
    ("arch", &["x86_64", "i686", "x"]),
    ("virttype", &["test", "kvm", "x"]),
    ("emulator", &["/usr/bin/test-hv", "x"]),
    ("machine", &["pc", "x"]),
    ("bandwidth", &["0", "1", "x"]),
    ("adapter-name", &["host0"]),
    ("source-path", &["/a", "''"]),
    ("source-host", &["localhost"]),
    ("offset", &["0", "1", "x"]),
    ("length", &["0", "1", "x"]),
    ("user", &["root", "''"]),
    ("password", &["x", "''"]),
    ("string", &["a", "'a b'", "--", "<a>"]),
    ("cmd", &["a", "{}"]),
    ("alias", &["ua-x", "x", "''"]),
    ("address", &["pci:0000.00.11.00", "ide:00.00.00", "x"]),
    ("desturi", &["test:///default", "x"]),
    ("device-weights", &["/dev/sda,100", "x", "/dev/sda,1,/dev/sdb"]),
];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "1",
    "2",
    "4",
    "-1",
    "100",
    "1024",
    "8388608",
    "1k",
    "99999999999999999999",
    "x",
    "''",
];

const TEXTS: &[&str] = &["x", "1", "test", "a,b", "''", "on", "yes"];

/// The files that commands of a kind are given: the first letters of the command, and the file.
const FILES: &[(&str, &str)] = &[
    ("net-port", "port.xml"),
    ("net-update", "port.xml"),
    ("net-", "network.xml"),
    ("pool-", "pool.xml"),
    ("vol-", "volume.xml"),
    ("iface-", "interface.xml"),
    ("nodedev-", "device.xml"),
    ("secret-", "secret.xml"),
    ("nwfilter-", "filter.xml"),
    ("snapshot-", "snapshot.xml"),
    ("cpu-", "cpu.xml"),
    ("hypervisor-cpu-", "cpu.xml"),
    ("attach-device", "disk.xml"),
    ("detach-device", "disk.xml"),
    ("update-device", "disk.xml"),
    ("define", "domain.xml"),
    ("create", "domain.xml"),
];

fn file(dice: &mut Dice, command: &str) -> &'static str {
    let own = FILES.iter().find(|(start, _)| command.starts_with(start)).map(|(_, file)| *file);
    match dice.below(10) {
        0 => "nosuch.xml",
        1 => dice.one_of(FILES).1,
        // Commands that write a file or read what another wrote.
        _ => own.unwrap_or("made"),
    }
}

fn value(dice: &mut Dice, command: &str, choice: &Choice) -> String {
    let is_file = matches!(&*choice.name, "file" | "xml" | "xmlfile" | "vcpu" | "dest" | "srcSpec");
    if is_file && choice.kind == Kind::Text {
        return file(dice, command).to_owned();
    }
    if choice.kind == Kind::Number {
        return (*dice.one_of(NUMBERS)).to_owned();
    }
    let known = VALUES.iter().find(|(name, _)| *name == choice.name).map(|(_, values)| *values);
    let values = match known {
        // Sometimes what nobody expects.
        Some(values) if !dice.percent(3) => values,
        _ => TEXTS,
    };
    (*dice.one_of(values)).to_owned()
}

fn argument(dice: &mut Dice, command: &str, choice: &Choice) -> String {
    if choice.kind == Kind::Switch {
        return format!("--{}", choice.name);
    }
    let value = value(dice, command, choice);
    match dice.below(8) {
        0 => format!("--{}={value}", choice.name),
        _ if choice.positional && !dice.percent(25) => value,
        _ => format!("--{} {value}", choice.name),
    }
}

fn command(dice: &mut Dice, entry: &Entry) -> String {
    let mut words = vec![entry.name.clone()];
    // About one and a half of those that may be left out, however many there are.
    let free = entry.choices.iter().filter(|choice| !choice.required).count().max(1);
    let share = (150 / free).clamp(2, 40);
    for choice in &entry.choices {
        let wanted = if choice.required { 97 } else { share };
        if dice.percent(wanted) {
            words.push(argument(dice, &entry.name, choice));
        }
    }
    words.join(" ")
}

/// One session: sometimes something before, a command or two, sometimes a look at what came of it.
fn session(dice: &mut Dice, table: &[Entry]) -> String {
    let mut lines = Vec::new();
    if dice.percent(45) {
        lines.push((*dice.one_of(BEFORE)).to_owned());
    }
    for _ in 0..=dice.below(2) {
        let entry = dice.one_of(table);
        lines.push(command(dice, entry));
    }
    if dice.percent(60) {
        lines.push((*dice.one_of(AFTER)).to_owned());
    }
    lines.join("; ")
}

/// So many sessions; each one only once.
pub fn invented(seed: u64, count: usize, table: &[Entry]) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut made: Vec<String> = Vec::with_capacity(count);
    while made.len() < count {
        let session = session(&mut dice, table);
        if !made.contains(&session) {
            made.push(session);
        }
    }
    made
}
