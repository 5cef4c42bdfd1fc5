//! What `xm` showed and did, by `virt-xm` and virsh, on simulated hosts.

use std::process::{Command, Stdio};
use std::time::Duration;

use interop::XendHost;
use test_support::{
    Daemon as _, Outcome, Terminal, our_program, reference_program, run, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The guide's fields, in its order.
const FIELDS: &[&str] = &[
    "host",
    "release",
    "version",
    "machine",
    "nr_cpus",
    "nr_nodes",
    "sockets_per_node",
    "cores_per_socket",
    "threads_per_core",
    "cpu_mhz",
    "hw_caps",
    "total_memory",
    "free_memory",
    "xen_major",
    "xen_minor",
    "xen_extra",
    "xen_caps",
    "xen_scheduler",
    "xen_pagesize",
    "platform_params",
    "xen_changeset",
    "cc_compiler",
    "cc_compile_by",
    "cc_compile_domain",
    "cc_compile_date",
    "xend_config_format",
];

/// What was done with `xm`, the same with virsh, and what is to be seen of it then.
const VERBS: &[(&str, &str, &str)] = &[
    ("new", "define {DIR}/sxc18.xml", "list --all"),
    ("start", "start sxc18", "domstate sxc18"),
    ("domid", "domid sxc18", ""),
    ("domname", "domname 1", ""),
    ("console", "ttyconsole sxc18", ""),
    ("pause", "suspend sxc18", "domstate sxc18"),
    ("unpause", "resume sxc18", "domstate sxc18"),
    ("mem-set", "setmem sxc18 300M", "dommemstat sxc18"),
    ("mem-max", "setmaxmem sxc18 600M", "dominfo sxc18"),
    ("vcpu-set", "setvcpus sxc18 2", "vcpucount sxc18"),
    ("vcpu-pin", "vcpupin sxc18 0 1,3", "vcpupin sxc18"),
    ("vcpu-list", "vcpuinfo sxc18", ""),
    ("sched-credit", "schedinfo sxc18 --weight 500 --cap 50", "schedinfo sxc18"),
    ("block-attach", "attach-disk sxc18 /srv/more.img xvdc", "domblklist sxc18"),
    ("block-list", "domblklist sxc18", ""),
    ("block-detach", "detach-disk sxc18 xvdc", "domblklist sxc18"),
    (
        "network-attach",
        "attach-interface sxc18 bridge br1 --mac 00:16:3e:00:00:09",
        "domiflist sxc18",
    ),
    ("network-list", "domiflist sxc18", ""),
    ("network-detach", "detach-interface sxc18 bridge --mac 00:16:3e:00:00:09", "domiflist sxc18"),
    ("dump-core", "dump sxc18 {DIR}/core", ""),
    ("save", "save sxc18 {DIR}/saved", "domstate sxc18"),
    ("restore", "restore {DIR}/saved", "domstate sxc18"),
    ("suspend", "managedsave sxc18", "list --all --managed-save"),
    ("resume", "start sxc18", "domstate sxc18"),
    ("reboot", "reboot sxc18", ""),
    ("destroy", "destroy sxc18", "domstate sxc18"),
    ("rename", "domrename sxc18 other", "list --all"),
    ("create", "create {DIR}/win.xml", "list"),
    ("shutdown", "shutdown win", ""),
    ("delete", "undefine other", "list --all"),
    ("info", "nodeinfo", ""),
    ("list", "list", ""),
    ("uptime", "domstats --vcpu", ""),
    ("migrate", "migrate --help", ""),
];

fn xm(host: &XendHost) -> Command {
    let mut command = Command::new(our_program("virt-xm"));
    command.arg("--connect").arg(host.virtd().uri("xen", ""));
    command.arg("--config").arg(host.virtd().base().join("etc/libvirt/xen.conf"));
    command.env("HOME", host.home().path());
    command
}

fn ask(host: &XendHost, line: &str) -> Outcome {
    run(xm(host).args(line.split_whitespace()), LIMIT)
}

fn started(profile: &str) -> XendHost {
    let host = XendHost::start(profile);
    let file = host.home().join("sxc18.xml").display().to_string();
    for words in [["define", &file], ["start", "sxc18"]] {
        run(host.virsh(&our_program("virsh")).args(words), LIMIT).ok();
    }
    host
}

#[test]
fn info_has_the_guides_fields_in_the_guides_order() {
    for (profile, format) in [("3.0.3", "2"), ("3.1", "4"), ("4.1", "4")] {
        let host = XendHost::start(profile);
        let said = ask(&host, "info").ok();
        let split = |line: &str| {
            let (name, value) = line.split_at(23);
            (name.trim_end().to_owned(), value.strip_prefix(": ").expect("a colon").to_owned())
        };
        let fields: Vec<_> = said.lines().map(split).collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, FIELDS, "{profile}");
        assert!(fields.iter().all(|(_, value)| !value.is_empty()), "{profile}: {said}");
        assert_eq!(fields.last().map(|(_, value)| value.as_str()), Some(format), "{profile}");
    }
}

#[test]
fn domains_are_listed_as_they_were() {
    let host = started("3.1");
    let said = ask(&host, "list").ok();
    let mut lines = said.lines();
    let head = "Name                                        ID   Mem VCPUs      State   Time(s)";
    assert_eq!(lines.next(), Some(head));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("Domain-0    ") && line.contains("r-----"))
    );
    let guest = lines.next().expect("the guest");
    let words: Vec<&str> = guest.split_whitespace().collect();
    assert_eq!(words[..5], ["sxc18", "1", "256", "1", "-b----"], "{guest}");
    run(host.virsh(&our_program("virsh")).args(["destroy", "sxc18"]), LIMIT).ok();
    let said = ask(&host, "list sxc18").ok();
    assert_eq!(said.lines().count(), 2, "one is asked for: {said}");
    assert!(said.contains("sxc18  ") && !said.contains("-b----"), "{said}");
    assert!(ask(&host, "list --long sxc18").ok().contains("<name>sxc18</name>"));
}

#[test]
fn shares_are_shown_and_set() {
    let host = started("3.4");
    assert!(ask(&host, "sched-credit").ok().contains("Weight"));
    ask(&host, "sched-credit -d sxc18 -w 500 -c100").ok();
    let said = ask(&host, "sched-credit -d sxc18").ok();
    let row = said.lines().last().expect("a row");
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words, ["sxc18", "1", "500", "100"], "{said}");
    let said = ask(&host, "sched-credit -w 500");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("-d"), "{said:?}");
}

#[test]
fn the_log_is_xends() {
    let host = started("4.1");
    let said = ask(&host, "log").ok();
    assert!(!said.trim().is_empty(), "xend has nothing to say");
}

#[test]
fn top_is_renewed_until_it_is_left() {
    let host = started("4.1");
    let said = ask(&host, "top -b -d 1 -i 2").ok();
    assert_eq!(said.matches("NAME").count(), 2, "{said}");
    assert_eq!(said.matches("sxc18").count(), 2, "{said}");
    let mut terminal = Terminal::start(xm(&host).args(["top", "-d", "1"])).expect("a terminal");
    terminal.wait_for("sxc18", LIMIT).expect("the guest is shown");
    terminal.wait_for("\u{1b}[H", LIMIT).expect("it is shown anew");
    terminal.wait_for("sxc18", LIMIT).expect("the guest is shown again");
    terminal.send("q").expect("it reads");
    assert_eq!(terminal.end(LIMIT), Some(0));
}

#[test]
fn each_verb_has_one_of_virshs() {
    let host = XendHost::start("4.1");
    let help = ask(&host, "help").ok();
    let shell = our_program("virsh");
    let directory = host.home().path().display().to_string();
    for (verb, line, look) in VERBS {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb}: {help}");
        let line = line.replace("{DIR}", &directory);
        let said = run(host.virsh(&shell).arg(&line), LIMIT);
        assert_eq!(said.code, Some(0), "{verb}: virsh {line}: {}", said.stderr);
        if !look.is_empty() {
            run(host.virsh(&shell).arg(look), LIMIT).ok();
        }
    }
    // Nothing that `virt-xm` names is left out here but what it does itself, and what is nobody's.
    let own = ["sched-credit", "log", "top", "help", "dmesg", "info", "list"];
    let named = help.lines().skip(2).filter_map(|line| line.split_whitespace().next());
    for verb in named.filter(|verb| !own.contains(verb)) {
        assert!(VERBS.iter().any(|(name, _, _)| *name == verb), "{verb} is tried nowhere");
    }
}

#[test]
fn verbs_with_the_same_words_are_passed_on() {
    let host = started("4.1");
    let state = || run(host.virsh(&our_program("virsh")).args(["domstate", "sxc18"]), LIMIT).ok();
    ask(&host, "pause sxc18").ok();
    assert_eq!(state().trim(), "paused");
    ask(&host, "unpause sxc18").ok();
    // The guide's own words: suspend without a file keeps it, resume brings it back.
    ask(&host, "suspend sxc18").ok();
    assert_eq!(state().trim(), "shut off");
    ask(&host, "resume sxc18").ok();
    assert!(wait_until(LIMIT, || state().trim() != "shut off"));
    let said = ask(&host, "mem-set sxc18 100");
    assert!(said.code == Some(1) && said.stderr.contains("virsh setmem"), "{said:?}");
    let said = ask(&host, "frobnicate");
    assert!(said.code == Some(1) && said.stderr.contains("virt-xm help"), "{said:?}");
}

#[test]
fn a_guest_moves_by_the_old_word() {
    let (here, there) = (started("3.3"), XendHost::start("3.3"));
    let said = ask(&here, "migrate -l sxc18");
    assert!(said.code == Some(1) && said.stderr.contains("a domain and a host"), "{said:?}");
    let (host, port) = there.relocation().rsplit_once(':').expect("an address with a port");
    ask(&here, &format!("migrate -l -p {port} sxc18 {host}")).ok();
    let runs = |host: &XendHost| ask(host, "list").ok().contains("sxc18  ");
    assert!(wait_until(LIMIT, || runs(&there)), "it has not arrived");
    let state = run(here.virsh(&our_program("virsh")).args(["domstate", "sxc18"]), LIMIT).ok();
    assert_eq!(state.trim(), "shut off", "it is on both");
}

#[test]
fn configurations_in_xenstore_are_everybodys() {
    let more = "xenstore_path = \"/tools/domains\"\nvnc_listen = \"0.0.0.0\"\n";
    let host = XendHost::configured("3.0.3", more);
    let shell = our_program("virsh");
    let file = host.home().join("sxc18.xml").display().to_string();
    run(host.virsh(&shell).args(["define", &file]), LIMIT).ok();
    std::fs::create_dir(host.home().join("other")).expect("a folder");
    // Another daemon on this host keeps its own files, and finds the domain in xenstore.
    let other =
        host.another(&format!("{more}xm_dir = \"{}/other\"\n", host.home().path().display()));
    let uri = other.uri("xen", "");
    let there = |words: &[&str]| {
        run(virsh(&shell, &uri, host.home().path()).args(words).stdin(Stdio::null()), LIMIT)
    };
    assert!(there(&["list", "--all"]).ok().contains("sxc18"));
    assert!(there(&["dumpxml", "sxc18"]).ok().contains("/srv/sxc18.img"));
    // Debian's shell sees the same, whichever daemon it asks.
    if let Ok(theirs) = reference_program("virsh") {
        for daemon in [host.virtd(), &other] {
            let mut asked = virsh(&theirs, &daemon.uri("xen", ""), host.home().path());
            let said = run(asked.args(["list", "--all", "--name"]), LIMIT).ok();
            let names: Vec<&str> = said.split_whitespace().collect();
            assert_eq!(names, ["Domain-0", "sxc18"]);
        }
    }
    there(&["setvcpus", "sxc18", "2", "--config"]).ok();
    let count =
        run(host.virsh(&shell).args(["vcpucount", "sxc18", "--config", "--current"]), LIMIT);
    assert_eq!(count.code, Some(0), "{count:?}");
    there(&["start", "sxc18"]).ok();
    assert!(run(host.virsh(&shell).arg("list"), LIMIT).ok().contains("sxc18"));
    // Where no address is named, the one of the configuration is listened on.
    assert!(there(&["dumpxml", "sxc18"]).ok().contains("0.0.0.0"));
    there(&["destroy", "sxc18"]).ok();
    there(&["undefine", "sxc18"]).ok();
    assert!(!there(&["list", "--all"]).ok().contains("sxc18"));
}
