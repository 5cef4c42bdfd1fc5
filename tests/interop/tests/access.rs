//! Rules of who may do what, and polkit: what visitors see of them, through shells and signals.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Scratch, Signal, Virtd, our_program, run, signal, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);
const DENIED: &str = "error: access denied: 'TEST' denied access\n";

fn document(name: &str) -> String {
    format!(
        "<domain type='test'><name>{name}</name><memory>8192</memory>\
         <os><type>hvm</type></os></domain>"
    )
}

/// A daemon under rules, and the file that has them.
fn under(rules: &str, more: &str) -> (Virtd, PathBuf) {
    let mut path = PathBuf::new();
    let virtd = Virtd::start_listening(|base| {
        path = base.join("access.rules");
        std::fs::write(&path, rules).expect("the folder is ours");
        format!("listen_tls = 0\naccess_rules_file = \"{}\"\n{more}", path.display())
    });
    (virtd, path)
}

fn ask(virtd: &Virtd, home: &Scratch, line: &str) -> Outcome {
    let uri = virtd.uri("test", "default");
    run(virsh(&our_program("virsh"), &uri, home.path()).arg(line), LIMIT)
}

#[test]
fn rules_decide_who_may_what_and_who_sees_what() {
    let (virtd, _) = under(
        "# nobody touches what is secret, the guest 'test' is only to be looked at\n\
         deny  everyone to * on name=secret*\n\
         deny  everyone to domain.stop domain.suspend on driver=TEST name=test\n\
         allow user=* readonly=yes to connect.getattr\n\
         allow uid=4294967294 to *\n\
         allow readonly=no socket=unix to *\n",
        "access_log_allowed = 1\nlog_filters = \"2:access\"\n",
    );
    let home = Scratch::new("visitor");
    let (secret, web) = (home.write("s.xml", document("secret-1")), document("web-1"));
    let web = home.write("w.xml", web);
    let ask = |line: &str| ask(&virtd, &home, line);
    // The default world goes with its last visitor: everything is said by one.
    let lines = format!(
        "define {}; define {}; list --all --name; suspend test; domstate test; suspend web-1; \
         start web-1; suspend web-1; domstate web-1",
        secret.display(),
        web.display()
    );
    let outcome = ask(&lines);
    let refused: Vec<&str> =
        outcome.stderr.lines().filter(|line| line.contains("denied")).collect();
    assert_eq!(refused, [DENIED.trim_end(); 2], "{outcome:?}");
    assert!(outcome.stdout.contains("test\nweb-1\n"), "{outcome:?}");
    assert!(outcome.stdout.contains("\nrunning\n"), "{outcome:?}");
    assert!(outcome.stdout.ends_with("paused\n\n"), "{outcome:?}");
    let log = virtd.log();
    for line in [
        "denied domain.write api=virDomainDefineXML driver=TEST name=\"secret-1\" uuid=? client=",
        "denied domain.suspend api=virDomainSuspend driver=TEST name=\"test\" uuid=\"6695eb01-",
        "allowed domain.suspend api=virDomainSuspend driver=TEST name=\"web-1\"",
        " by line 3\n",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    // Who only looks may open, and see nothing.
    let uri = virtd.uri("test", "default");
    let mut command = virsh(&our_program("virsh"), &uri, home.path());
    let outcome = run(command.args(["-r", "list", "--all"]), LIMIT);
    assert_eq!(outcome.stderr, format!("error: Failed to list domains\n{DENIED}"), "{outcome:?}");
}

#[test]
fn events_of_what_may_not_be_seen_are_left_out() {
    let (virtd, _) = under("deny everyone to domain.getattr on name=b*\nallow everyone to *\n", "");
    let home = Scratch::new("visitor");
    let uri = virtd.uri("test", "default");
    let mut listener = virsh(&our_program("virsh"), &uri, home.path());
    listener.args(["event", "--all", "--loop", "--timeout", "4"]);
    let files: Vec<String> = ["a1", "b1", "c1"]
        .map(|name| home.write(name, document(name)).display().to_string())
        .into();
    let listening = std::thread::spawn(move || run(&mut listener, LIMIT));
    let registered = || ask(&virtd, &home, "list").code == Some(0);
    assert!(wait_until(LIMIT, registered));
    // Until the listener has registered nothing is heard: it is told often enough.
    let lines: Vec<String> = files.iter().map(|file| format!("create {file}")).collect();
    let again = format!("{}; destroy a1; destroy b1; destroy c1", lines.join("; "));
    while !listening.is_finished() {
        ask(&virtd, &home, &again);
    }
    let heard = listening.join().expect("a listener").stdout;
    assert!(heard.contains("domain 'a1'") && heard.contains("domain 'c1'"), "{heard}");
    assert!(!heard.contains("b1"), "{heard}");
}

#[test]
fn rules_are_read_anew_and_broken_ones_change_nothing() {
    let (virtd, path) = under("allow everyone to *\n", "");
    let home = Scratch::new("visitor");
    let pid = i32::try_from(virtd.pid()).expect("a process");
    let refused = || ask(&virtd, &home, "domid test").code == Some(1);
    assert!(!refused());
    std::fs::write(&path, "deny everyone to domain.getattr\nallow everyone to *\n").expect("ours");
    signal(pid, Signal::HUP);
    assert!(wait_until(LIMIT, refused), "{}", virtd.log());
    std::fs::write(&path, "allow everyone to *\nalow everyone to *\n").expect("ours");
    signal(pid, Signal::HUP);
    let said = || virtd.log().contains("line 2, column 1: a rule begins with 'allow' or 'deny'");
    assert!(wait_until(LIMIT, said), "{}", virtd.log());
    assert!(refused());
}

#[test]
fn a_daemon_whose_rules_cannot_be_read_does_not_start() {
    for (rules, keys, said) in [
        (
            Some("allow user=ann to domain.strt\n"),
            "access_rules_file = \"RULES\"\n",
            "RULES: line 1, column 19: there is no permission 'domain.strt'; did you mean \
             'domain.start'?",
        ),
        (None, "access_rules_file = \"RULES\"\n", "cannot read the access rules in 'RULES'"),
        (
            None,
            "access_drivers = [ \"polkit\" ]\n",
            "access_drivers: the driver 'polkit' is not available; name a file of rules with \
             access_rules_file instead",
        ),
    ] {
        let base = Scratch::new("broken");
        let path = base.join("rules").display().to_string();
        if let Some(rules) = rules {
            base.write("rules", rules);
        }
        let conf = base.write("conf", keys.replace("RULES", &path));
        let mut command = Command::new(our_program("virtd"));
        command.arg("--base-dir").arg(base.path()).arg("--config").arg(conf);
        let outcome = run(&mut command, LIMIT);
        assert_eq!(outcome.code, Some(1), "{keys}: {outcome:?}");
        assert!(outcome.stderr.contains(&said.replace("RULES", &path)), "{keys}: {outcome:?}");
    }
}

/// A program in polkit's place that says what the file beside it says.
fn fake_polkit(folder: &Scratch) {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = folder.path().display();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {shown}/asked\nread code < {shown}/code\n\
         [ \"$code\" = slow ] && exec sleep 20\nexit \"$code\"\n"
    );
    let program = folder.write("pkcheck", script);
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("ours");
}

/// A visitor who is not root.
fn as_nobody(shell: &Path, uri: &str, home: &Scratch) -> Command {
    if !rustix::process::geteuid().is_root() {
        return virsh(shell, uri, home.path());
    }
    home.set_mode(0o777);
    let mut command = virsh(Path::new("setpriv"), uri, home.path());
    // What comes before the shell's own arguments stands before them.
    let args: Vec<OsString> = command.get_args().map(OsString::from).collect();
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(shell).args(args);
    nobody.env_clear();
    for (name, value) in command.get_envs() {
        nobody.envs(value.map(|value| (name, value)));
    }
    command = nobody;
    command
}

#[test]
fn polkit_lets_in_whom_it_knows() {
    let folder = Scratch::new("polkit");
    fake_polkit(&folder);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.path().to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).expect("no colon");
    let virtd = Virtd::start_with(&[("PATH", path)], |_| {
        "listen_tls = 0\nauth_unix_rw = \"polkit\"\nunix_sock_rw_perms = \"0777\"\nauth_timeout = 3\n"
            .to_owned()
    });
    // A shell where everybody can reach it.
    let home = Scratch::new("visitor");
    let shell = home.join("virsh");
    std::fs::copy(our_program("virsh"), &shell).expect("a copy");
    let uri = virtd.uri("test", "default");
    for (code, said) in [
        ("0", ""),
        ("1", "error: authentication failed: access denied by policy\n"),
        (
            "2",
            "error: authentication unavailable: no polkit agent available to authenticate action \
             'org.libvirt.unix.manage'\n",
        ),
        ("3", "error: authentication cancelled: user cancelled authentication process\n"),
        ("127", "error: authentication failed: access denied by policy\n"),
    ] {
        folder.write("code", format!("{code}\n"));
        let outcome = run(as_nobody(&shell, &uri, &home).args(["domid", "test"]), LIMIT);
        let expected = if code == "0" { (Some(0), "1\n\n") } else { (Some(1), "") };
        assert_eq!((outcome.code, outcome.stdout.as_str()), expected, "{code}: {outcome:?}");
        let expected = if said.is_empty() {
            String::new()
        } else {
            format!("error: failed to connect to the hypervisor\n{said}")
        };
        assert_eq!(outcome.stderr, expected, "{code}");
    }
    let asked = std::fs::read_to_string(folder.join("asked")).expect("it was asked");
    assert!(
        asked
            .starts_with("--action-id org.libvirt.unix.manage --allow-user-interaction --process ")
    );
    let process = asked.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a process");
    assert_eq!(process.split(',').count(), 3, "{process}");
    // Polkit that does not answer holds nobody else up, and is not waited for for ever.
    folder.write("code", "slow\n");
    let begun = std::time::Instant::now();
    let outcome = run(as_nobody(&shell, &uri, &home).args(["domid", "test"]), LIMIT);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn without_polkit_its_authentication_is_refused_at_the_start() {
    let base = Scratch::new("nopolkit");
    let conf = base.write("conf", "auth_unix_rw = \"polkit\"\n");
    let mut command = Command::new(our_program("virtd"));
    command.arg("--base-dir").arg(base.path()).arg("--config").arg(conf).env("PATH", base.path());
    let outcome = run(&mut command, LIMIT);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let said = "auth_unix_rw: 'polkit' needs the program 'pkcheck', which is not in PATH";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
}
