//! Debian's virsh on hosts of xend's time: the xVM guide's commands, through our daemon.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop::{Own, Pki, Sshd, XendHost, script, shells};
use test_support::{
    Daemon as _, Normaliser, Scratch, Terminal, Virtd, free_port, or_skip, our_program,
    reference_program, run, shared, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Ctrl-], with which a person leaves a console.
const LEAVE: &str = "\u{1d}";

/// The guide's commands, and what stands beside them; each line is one session.
const SESSIONS: &[&str] = &[
    "uri",
    "list",
    "list --all",
    "version --daemon",
    "nodeinfo",
    "freecell",
    "dominfo Domain-0",
    "dumpxml Domain-0",
    "define {DIR}/sxc18.xml",
    "list --inactive",
    "start sxc18",
    "start sxc18",
    "list",
    "domid sxc18",
    "domname 1",
    "domuuid sxc18",
    "domstate sxc18",
    "dominfo sxc18",
    "dumpxml sxc18",
    "vcpucount sxc18",
    "vcpupin sxc18 0 1,3",
    "vcpupin sxc18",
    "vcpuinfo sxc18",
    "schedinfo sxc18",
    "schedinfo sxc18 --weight 500",
    "schedinfo sxc18 --cap 50",
    "schedinfo sxc18 --cap 5000",
    "setmem sxc18 300M",
    "setmem sxc18 600M",
    "setmaxmem sxc18 1G",
    "setvcpus sxc18 2",
    "setvcpus sxc18 3",
    "dommemstat sxc18",
    "vncdisplay sxc18",
    "domblklist sxc18",
    "domiflist sxc18",
    "attach-disk sxc18 /srv/cd.iso xvdc --type cdrom --mode readonly",
    "domblklist sxc18",
    "detach-disk sxc18 xvdc",
    "attach-interface sxc18 bridge e1000g0 --mac 00:16:3e:1b:2c:3e",
    "domiflist sxc18",
    "detach-interface sxc18 bridge --mac 00:16:3e:1b:2c:3e",
    "suspend sxc18",
    "domstate sxc18 --reason",
    "shutdown sxc18",
    "resume sxc18",
    "domstate sxc18",
    "save sxc18 {DIR}/saved",
    "domstate sxc18",
    "save-image-dumpxml {DIR}/saved",
    "restore {DIR}/saved",
    "domid sxc18",
    "managedsave sxc18",
    "list --all",
    "undefine sxc18",
    "start sxc18",
    "dump sxc18 {DIR}/core",
    "dump sxc18 /nowhere/core",
    "autostart sxc18",
    "autostart sxc18 --disable",
    "domstats sxc18 --state --balloon --block --interface",
    "create {DIR}/win.xml",
    "domblklist win",
    "attach-disk win /srv/b.iso hdc --type cdrom --mode readonly",
    "domblklist win",
    "attach-disk win /srv/b.iso hdd --type cdrom --mode readonly",
    "vncdisplay win",
    "list --all",
    "destroy win",
    "destroy sxc18",
    "destroy sxc18",
    "dumpxml sxc18",
    "domxml-from-native xen-sxpr {DIR}/a.sxp",
    "domxml-to-native xen-xm {DIR}/sxc18.xml",
    "domrename sxc18 other",
    "undefine other",
    "undefine other",
    "destroy Domain-0",
    "list --all",
];

/// What the founding documents write where a host is named.
const NAMED: &str = "example.com";

/// Every address of this hypervisor in the documents that the project was founded on.
fn spellings() -> Result<BTreeSet<String>, String> {
    let folder = shared("founding-documents")?;
    let files = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut found = BTreeSet::new();
    for file in files {
        let path = file.map_err(|error| error.to_string())?.path();
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let words = text.split(|c: char| c.is_whitespace() || "<>()\"'".contains(c));
        let address = |word: &&str| word.starts_with("xen:") || word.starts_with("xen+");
        found.extend(words.filter(address).map(str::to_owned));
    }
    Ok(found)
}

#[test]
fn every_spelling_of_the_founding_documents_reaches_the_host() {
    let theirs = or_skip!(reference_program("virsh"));
    let spellings = or_skip!(spellings());
    assert!(spellings.len() >= 6, "{spellings:?}");
    let pki = or_skip!(Pki::new());
    let (tls, tcp) = (free_port(), free_port());
    let more = format!("listen_tcp = 1\nauth_tcp = \"none\"\ntcp_port = \"{tcp}\"");
    let virtd = Virtd::start_listening(|_| pki.conf(tls, "server", &more));
    let host = XendHost::start_beside("4.1", virtd);
    let socket = format!("socket={}", host.virtd().socket().display());
    let path = Scratch::new("path");
    let helper = our_program("virt-ssh-helper");
    let line = format!("exec {} 'xen+unix:///?{socket}'", helper.display());
    script(&path, "virt-ssh-helper", &line);
    let sshd = or_skip!(Sshd::start(path.path()));
    for spelling in &spellings {
        // The documents' host is this one, at ports and with keys of the test's own.
        let uri = match spelling.split_once("//").expect("an address") {
            ("xen+ssh:", "root@example.com/") => sshd.uri("xen", ""),
            ("xen+tcp:", _) => spelling.replace(NAMED, &format!("localhost:{tcp}")),
            ("xen:", rest) if rest.starts_with(NAMED) => {
                let named = spelling.replace(NAMED, &format!("localhost:{tls}"));
                format!("{named}?{}", pki.shown_by("fred"))
            }
            ("xen:" | "xen+unix:", "" | "/") => format!("{spelling}?{socket}"),
            _ => panic!("an address that is not tried yet: {spelling}"),
        };
        for shell in [&theirs, &our_program("virsh")] {
            let outcome = run(virsh(shell, &uri, host.home().path()).arg("domid Domain-0"), LIMIT);
            assert_eq!(outcome.stdout, "0\n\n", "{} {uri}: {outcome:?}", shell.display());
        }
    }
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("xen.golden")
}

/// Without what differs from one run to the next.
fn steady(line: &str) -> String {
    let (name, rest) = line.split_once(':').unwrap_or((line, ""));
    match name.trim() {
        "CPU time" | "CPU" => format!("{name}: {{TIME}}"),
        _ if line.contains("/dev/pts/") => {
            let words = line.split('\'').map(|word| match word.starts_with("/dev/pts/") {
                true => "{TTY}",
                false => word,
            });
            words.collect::<Vec<_>>().join("'")
        }
        _ if rest.contains("libvirt") && name.contains("library") => format!("{name}: {{VERSION}}"),
        _ => line.trim_end().to_owned(),
    }
}

#[test]
fn the_guides_commands_say_what_they_said() {
    let shell = or_skip!(reference_program("virsh"));
    let host = XendHost::start("4.1");
    let socket = host.virtd().base().display().to_string();
    let mut said = String::new();
    for session in SESSIONS {
        let directory = host.home().path().to_string_lossy().into_owned();
        let line = session.replace("{DIR}", &directory);
        let outcome = run(host.virsh(&shell).arg(line), LIMIT);
        let normaliser = Normaliser::new(XendHost::PARAVIRTUAL)
            .replacing(directory, "{DIR}")
            .replacing(socket.clone(), "{BASE}");
        let outcome = normaliser.outcome(&outcome);
        let code = outcome.code.unwrap_or(-1);
        said.push_str(&format!(
            "$ virsh {session}\n{}{}[{code}]\n",
            outcome.stdout, outcome.stderr
        ));
    }
    let said: Vec<String> = said.lines().map(steady).collect();
    let said = said.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(golden(), said).expect("the file is ours");
        return;
    }
    let kept = std::fs::read_to_string(golden()).expect("the kept transcripts");
    assert_eq!(said, kept);
}

#[test]
fn both_shells_work_on_old_releases_and_new() {
    for profile in ["3.0.1", "3.0.4", "3.3", "4.4"] {
        let host = XendHost::start(profile);
        for shell in &shells() {
            let ok = |words: &[&str]| run(host.virsh(shell).args(words), LIMIT).ok();
            let file = host.home().join("sxc18.xml").display().to_string();
            ok(&["define", &file]);
            ok(&["start", "sxc18"]);
            assert!(ok(&["list"]).contains("sxc18"), "{profile}");
            ok(&["setvcpus", "sxc18", "2"]);
            ok(&["destroy", "sxc18"]);
            assert!(ok(&["list", "--inactive"]).contains("sxc18"), "{profile}");
            ok(&["undefine", "sxc18"]);
        }
    }
}

#[test]
fn a_console_opens_for_debians_shell_and_can_be_left() {
    let shell = or_skip!(reference_program("virsh"));
    let host = XendHost::start("3.4");
    let create = format!("create {}/sxc18.xml", host.home().path().display());
    run(host.virsh(&shell).arg(create), LIMIT).ok();
    let tty = run(host.virsh(&shell).args(["ttyconsole", "sxc18"]), LIMIT).ok();
    assert!(tty.trim().starts_with("/dev/pts/"), "{tty}");
    let mut command = host.virsh(&shell);
    command.args(["console", "sxc18"]);
    let mut terminal = Terminal::start(&mut command).expect("a terminal");
    terminal.wait_for("sxc18 login:", LIMIT).expect("the guest");
    assert!(wait_until(LIMIT, || terminal.is_raw()), "the shell takes each key");
    terminal.send("root\r").expect("the shell reads");
    terminal.wait_for("root", LIMIT).expect("the guest answers");
    terminal.send(LEAVE).expect("the shell reads");
    assert_eq!(terminal.end(LIMIT), Some(0));
}

/// A guest that is kept and runs.
fn starts_one(host: &XendHost, shell: &Path) {
    let file = host.home().join("sxc18.xml").display().to_string();
    run(host.virsh(shell).args(["define", &file]), LIMIT).ok();
    run(host.virsh(shell).args(["start", "sxc18"]), LIMIT).ok();
}

#[test]
fn a_guest_moves_by_the_guides_command() {
    for shell in &shells() {
        let (here, there) = (XendHost::start("3.1"), XendHost::start("3.1"));
        starts_one(&here, shell);
        let to = format!("xenmigr://{}", there.relocation());
        // The guide's `xen://` is this same host.
        let own = here.virtd().uri("xen", "");
        run(here.virsh(shell).args(["migrate", "sxc18", "--live", &own, &to]), LIMIT).ok();
        let runs =
            |host: &XendHost| run(host.virsh(shell).arg("list"), LIMIT).ok().contains("sxc18");
        assert!(wait_until(LIMIT, || runs(&there)), "it has not arrived");
        assert!(!runs(&here), "it is on both");
        let kept = run(here.virsh(shell).args(["list", "--inactive"]), LIMIT).ok();
        assert!(kept.contains("sxc18"), "its definition has not stayed");
    }
}

#[test]
fn a_guest_that_moves_is_seen_on_both_hosts() {
    for shell in &shells() {
        let (here, there) = (XendHost::start("3.4"), XendHost::start("3.4"));
        starts_one(&here, shell);
        // The row of the guest in a list, as words.
        let row = |host: &XendHost| {
            let list = run(host.virsh(shell).arg("list"), LIMIT).ok();
            let row = list.lines().find(|line| line.contains("sxc18")).unwrap_or_default();
            row.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
        };
        here.set("fault=migrate-slow\n");
        let own = here.virtd().uri("xen", "");
        let to = format!("xenmigr://{}", there.relocation());
        let mut moves = here.virsh(shell);
        moves.args(["migrate", "sxc18", "--live", &own, &to]).stdin(Stdio::null());
        let mut moves = Own(moves.stdout(Stdio::null()).spawn().expect("the shell starts"));
        // It waits there for the rest of it, and runs here as if nothing were.
        assert!(wait_until(LIMIT, || row(&there) == "sxc18 paused"), "{}", row(&there));
        assert_eq!(row(&here), "sxc18 idle");
        here.set("");
        assert!(wait_until(LIMIT, || row(&there) == "sxc18 idle"), "{}", row(&there));
        let ended = || matches!(moves.0.try_wait(), Ok(Some(_)));
        assert!(wait_until(LIMIT, ended), "the shell still waits");
        assert_eq!(row(&here), "", "it is on both");
    }
}

#[test]
fn media_of_paravirtual_guests_come_and_go_whether_they_run_or_not() {
    let host = XendHost::start("4.1");
    let shell = our_program("virsh");
    let ok = |line: &str| run(host.virsh(&shell).arg(line), LIMIT).ok();
    ok(&format!("define {}/sxc18.xml", host.home().path().display()));
    for start in [false, true] {
        let how = if start { "" } else { " --config" };
        if start {
            ok("start sxc18");
        }
        let attach = |medium: &str| {
            ok(&format!("attach-disk sxc18 {medium} xvdc --type cdrom --mode readonly{how}"));
        };
        attach("/srv/cd.iso");
        assert!(ok("domblklist sxc18").contains("/srv/cd.iso"), "running: {start}");
        // Another medium: out with the one, in with the other.
        ok(&format!("detach-disk sxc18 xvdc{how}"));
        attach("/srv/other.iso");
        let list = ok("domblklist sxc18");
        assert!(list.contains("/srv/other.iso") && !list.contains("/srv/cd.iso"), "{list}");
        ok(&format!("detach-disk sxc18 xvdc{how}"));
        assert!(!ok("domblklist sxc18").contains("xvdc"), "running: {start}");
    }
}

#[test]
fn displays_have_addresses_and_passwords_that_not_everybody_is_shown() {
    let host = XendHost::start("4.1");
    let shell = our_program("virsh");
    let ok = |line: &str| run(host.virsh(&shell).arg(line), LIMIT).ok();
    let vnc = "<graphics type='vnc' port='5904' listen='127.0.0.1' passwd='secret'/>";
    let document = XendHost::PARAVIRTUAL.replace("<graphics type='vnc' autoport='yes'/>", vnc);
    let file = host.home().write("vnc.xml", document);
    ok(&format!("define {}", file.display()));
    ok("start sxc18");
    assert!(ok("vncdisplay sxc18").starts_with("127.0.0.1:"), "nobody else reaches it");
    assert!(!ok("dumpxml sxc18").contains("secret"));
    assert!(ok("dumpxml sxc18 --security-info").contains("passwd='secret'"));
    let mut read_only = host.virsh(&shell);
    let refused = run(read_only.args(["--readonly", "dumpxml", "sxc18", "--security-info"]), LIMIT);
    assert!(refused.code == Some(1) && !refused.stdout.contains("secret"), "{refused:?}");
}

#[test]
fn changes_are_kept_over_a_reboot_and_a_new_daemon() {
    let shell = our_program("virsh");
    for profile in ["3.0.4", "3.3", "4.4"] {
        let host = XendHost::start(profile);
        let ok = |line: &str| run(host.virsh(&shell).arg(line), LIMIT).ok();
        ok(&format!("define {}/sxc18.xml", host.home().path().display()));
        ok("start sxc18");
        ok("setmem sxc18 300M");
        ok("setvcpus sxc18 2");
        let before = ok("domid sxc18");
        ok("reboot sxc18");
        let is_new = || {
            let now = run(host.virsh(&shell).args(["domid", "sxc18"]), LIMIT).stdout;
            now != before && now.trim().parse::<u32>().is_ok()
        };
        assert!(wait_until(LIMIT, is_new), "{profile}: it does not come again");
        let info = ok("dominfo sxc18");
        for (name, value) in [("CPU(s):", "2"), ("Used memory:", "307200 KiB")] {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            assert_eq!(line.map(str::trim), Some(value), "{profile}: {info}");
        }
        ok("destroy sxc18");
        let other = host.another("");
        let mut asked = virsh(&shell, &other.uri("xen", ""), host.home().path());
        let xml = run(asked.args(["dumpxml", "sxc18"]), LIMIT).ok();
        assert!(xml.contains(">307200</currentMemory>"), "{profile}: {xml}");
        assert!(!xml.contains("current='1'"), "{profile}: {xml}");
    }
}

#[test]
fn what_people_wrote_into_documents_stays_there() {
    let shell = our_program("virsh");
    let notes = "<title>the web</title><description>of sxc</description>\
        <metadata><o:owner xmlns:o='urn:owner'>me</o:owner></metadata>";
    for profile in ["3.0.2", "3.1", "4.1"] {
        let host = XendHost::start(profile);
        let ok = |line: &str| run(host.virsh(&shell).arg(line), LIMIT).ok();
        let document = XendHost::PARAVIRTUAL.replace("<memory", &format!("{notes}<memory"));
        let file = host.home().write("noted.xml", document);
        ok(&format!("define {}", file.display()));
        for what in ["dumpxml sxc18", "start sxc18", "dumpxml sxc18", "dumpxml sxc18 --inactive"] {
            let said = ok(what);
            if what.starts_with("dumpxml") {
                for part in
                    ["<title>the web</title>", "<description>of sxc</description>", ">me</o:owner>"]
                {
                    assert!(said.contains(part), "{profile}: {what}: no {part} in {said}");
                }
            }
        }
        ok("desc sxc18 --live --config another word");
        assert!(ok("desc sxc18").contains("another word"), "{profile}");
        ok("metadata sxc18 urn:owner --live --config --key o --set <owner>you</owner>");
        ok("destroy sxc18");
        assert!(ok("metadata sxc18 urn:owner").contains("you"), "{profile}");
        ok("undefine sxc18");
    }
}

#[test]
fn xend_over_tcp_is_warned_of() {
    let host = XendHost::configured("3.4", "xend_address = \"127.0.0.1:1\"\n");
    let said = run(host.virsh(&our_program("virsh")).arg("list"), LIMIT);
    assert_eq!(said.code, Some(1), "nobody listens there: {said:?}");
    assert!(said.stderr.contains("(xend-http-server yes)"), "{said:?}");
    let log = host.virtd().log();
    assert!(log.contains("whoever reaches 127.0.0.1:1 is root on this host"), "{log}");
}
