//! Serial lines and consoles of guests, written in every way: how both daemons number, name and connect them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use test_support::{
    Daemon, Normaliser, Outcome, Reference, Scratch, Virtd, guest_folder, guests_path, or_skip,
    reference_program, run, tiny_domain, virsh,
};

const LIMIT: Duration = Duration::from_secs(120);

/// What stands in each guest's document.
const GUESTS: &[(&str, &str)] = &[
    ("none", ""),
    ("one", "<serial type='pty'/>"),
    ("console", "<console type='pty'/>"),
    ("both", "<serial type='pty'/><console type='pty'/>"),
    ("two", "<serial type='pty'/><serial type='pty'/>"),
    ("second-first", "<serial type='pty'><target port='1'/></serial><serial type='pty'/>"),
    (
        "second-first-console",
        "<serial type='pty'><target port='1'/></serial><serial type='pty'/><console type='pty'/>",
    ),
    ("only-second", "<serial type='pty'><target port='1'/></serial>"),
    ("only-third", "<serial type='null'><target port='2'/></serial><serial type='null'/>"),
    (
        "twice-the-same",
        "<serial type='null'><target port='0'/></serial><serial type='null'><target port='0'/></serial>",
    ),
    (
        "mixed",
        "<serial type='null'><target port='3'/></serial><serial type='pty'/>\
         <serial type='file'><source path='{DIR}/out'/></serial>\
         <serial type='null'><target port='1'/></serial>",
    ),
    ("pci-beside", "<serial type='pty'><target type='pci-serial'/></serial><serial type='pty'/>"),
    (
        "pci-asked-for",
        "<serial type='pty'><target type='pci-serial'/></serial><console type='pty'/>",
    ),
    (
        "usb-beside",
        "<serial type='null'><target type='usb-serial'/></serial><serial type='null'/>\
         <serial type='null'><target type='usb-serial' port='0'/></serial>",
    ),
    ("virtio", "<console type='pty'><target type='virtio'/></console>"),
    (
        "virtio-and-serial",
        "<console type='pty'><target type='virtio'/></console><serial type='pty'/>",
    ),
    (
        "serial-and-virtio",
        "<console type='pty'/><console type='null'><target type='virtio'/></console>",
    ),
    (
        "consoles",
        "<console type='pty'><target type='serial' port='0'/></console>\
         <console type='null'><target type='virtio' port='1'/></console>\
         <console type='null'><target type='virtio'/></console>",
    ),
    (
        "other-console",
        "<serial type='null'/><console type='pty'><target type='serial' port='0'/></console>",
    ),
    ("console-at-one", "<console type='pty'><target type='serial' port='1'/></console>"),
    (
        "serial-and-console-at-one",
        "<serial type='null'/><console type='null'><target type='serial' port='1'/></console>",
    ),
    ("two-consoles", "<console type='pty'/><console type='pty'/>"),
    (
        "five",
        "<serial type='null'/><serial type='null'/><serial type='null'/><serial type='null'/><serial type='null'/>",
    ),
    (
        "isa-model",
        "<serial type='null'><target type='isa-serial'><model name='isa-serial'/></target></serial>",
    ),
    (
        "wrong-model",
        "<serial type='null'><target type='isa-serial'><model name='pci-serial'/></target></serial>",
    ),
    ("debugcon", "<serial type='null'><target type='isa-debug'/></serial><serial type='null'/>"),
    (
        "parallel",
        "<parallel type='null'/><parallel type='null'><target port='0'/></parallel><serial type='null'/>",
    ),
    ("huge", "<serial type='null'><target port='99'/></serial>"),
    ("word", "<serial type='null'><target port='x'/></serial>"),
    (
        "channels",
        "<channel type='null'><target type='virtio' name='a'/></channel>\
        <channel type='null'><target type='virtio' name='b'/></channel><console type='null'><target type='virtio'/></console>",
    ),
];

struct Side {
    shell: PathBuf,
    uri: String,
    home: Scratch,
}

impl Side {
    fn new(shell: &Path, daemon: &dyn Daemon, path: &str) -> Result<Self, String> {
        let (home, kernel) = guest_folder("serial")?;
        for (name, devices) in GUESTS {
            let document = tiny_domain(name, "qemu", &kernel);
            let plain = "<serial type='pty'/>\n    <console type='pty'/>";
            assert!(document.contains(plain));
            let devices = devices.replace("{DIR}", &home.path().to_string_lossy());
            home.write(&format!("{name}.xml"), document.replace(plain, &devices));
        }
        Ok(Self { shell: shell.to_owned(), uri: daemon.uri("qemu", path), home })
    }

    fn say(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(virsh(&self.shell, &self.uri, self.home.path()).arg(line), LIMIT)
    }

    /// What becomes of one guest's lines, defined and running.
    fn lead(&self, name: &str) -> Vec<Outcome> {
        let normaliser = Normaliser::new("")
            .replacing(self.home.path().to_string_lossy(), "{DIR}")
            .replacing(&self.uri, "{URI}");
        let normal = |line: &str| normaliser.outcome(&self.say(line));
        let parts = "//devices/*[self::serial or self::console or self::parallel or self::channel]";
        let shown = format!("dumpxml {name} --xpath '{parts}'");
        let mut all = vec![normal(&format!("define {{DIR}}/{name}.xml")), normal(&shown)];
        // What was shown says the same when it is read again.
        let whole = self.say(&format!("dumpxml {name} --inactive")).stdout;
        self.home.write("again.xml", whole);
        all.extend([
            normal("define {DIR}/again.xml"),
            normal(&shown),
            normal(&format!("start {name}")),
        ]);
        let mut running = normal(&shown);
        running.stdout = without_terminals(&running.stdout);
        let terminal = self.say(&format!("ttyconsole {name}")).stdout;
        all.push(running);
        all.push(Outcome {
            stdout: without_terminals(&terminal),
            stderr: String::new(),
            code: None,
        });
        drop(self.say(&format!("destroy {name}; undefine {name}")));
        all
    }
}

/// Which terminal it is depends on who else has one.
fn without_terminals(text: &str) -> String {
    let mut parts = text.split("/dev/pts/");
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        made += "/dev/pts/N";
        made += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    made
}

#[test]
fn lines_are_numbered_and_named_as_with_libvirt() {
    let shell = or_skip!(reference_program("virsh"));
    let reference = or_skip!(Reference::start());
    let virtd = Virtd::start();
    let theirs = or_skip!(Side::new(&shell, &reference, "session"));
    let ours = or_skip!(Side::new(&shell, &virtd, guests_path()));
    let all = |side: &Side| GUESTS.iter().map(|(name, _)| side.lead(name)).collect::<Vec<_>>();
    let (wanted, found) = std::thread::scope(|scope| {
        let wanted = scope.spawn(|| all(&theirs));
        let found = all(&ours);
        (wanted.join().expect("it does not panic"), found)
    });
    // What libvirt's programs say by chance they do not say again.
    const THEIR_TRIES: usize = 3;
    let again = |name: &str, found: &[Outcome]| {
        (0..THEIR_TRIES).any(|_| theirs.lead(name).as_slice() == found)
    };
    let pairs = GUESTS.iter().zip(wanted.iter().zip(&found));
    let different: Vec<String> = pairs
        .filter(|((name, _), (wanted, found))| wanted != found && !again(name, found))
        .map(|((name, _), (wanted, found))| format!("{name}: wanted {wanted:#?}\nfound {found:#?}"))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
