//! Both shells through `ssh` and other programs: a real daemon of SSH, the helper, netcat.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_support::{
    Daemon, Lkvm, Outcome, Scratch, Signal, Virtd, debian_program, fake_kernel, free_port,
    guests_path, lkvm_domain, or_skip, our_program, reference_program, run, signal, virsh,
    wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);

fn script(folder: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = folder.write(name, format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    path
}

fn session(shell: &Path, uri: &str, line: &str) -> Outcome {
    let home = Scratch::new("ssh-client");
    run(virsh(shell, uri, home.path()).arg(line), LIMIT)
}

/// The test's own daemon of SSH, for its own user and key.
struct Sshd {
    child: Child,
    folder: Scratch,
    port: u16,
}

impl Sshd {
    fn start(path: &Path) -> Result<Self, String> {
        let program = debian_program("sshd")?;
        if !rustix::process::geteuid().is_root() {
            return Err("sshd lets nobody else in than who runs it, and wants root".to_owned());
        }
        let keygen = debian_program("ssh-keygen")?;
        let folder = Scratch::new("sshd");
        for key in ["host", "own"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key));
            assert_eq!(run(&mut command, LIMIT).code, Some(0), "{key}");
        }
        std::fs::create_dir_all("/run/sshd").map_err(|error| error.to_string())?;
        let port = free_port();
        let shown = folder.path().display();
        let conf = folder.write(
            "conf",
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {shown}/host\nPidFile none\nUsePAM no\n\
                 AuthorizedKeysFile {shown}/own.pub\nStrictModes no\nPermitRootLogin yes\n\
                 PasswordAuthentication no\nSetEnv PATH={}:/usr/bin:/bin\n",
                path.display()
            ),
        );
        let log = std::fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let sshd = Self { child, folder, port };
        let up = wait_until(LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        if up { Ok(sshd) } else { Err("sshd does not listen".to_owned()) }
    }

    fn uri(&self, driver: &str, more: &str) -> String {
        let key = self.folder.join("own");
        let known = self.folder.join("known");
        format!(
            "{}+ssh://root@127.0.0.1:{}/{}?keyfile={}&known_hosts={}&no_verify=1&no_tty=1{more}",
            driver,
            self.port,
            if driver == "test" { "default" } else { guests_path() },
            key.display(),
            known.display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            signal(pid, Signal::TERM);
        }
        drop(self.child.wait());
    }
}

#[test]
fn a_daemon_is_reached_by_ssh_through_helper_and_netcat() {
    let theirs = or_skip!(reference_program("virsh"));
    let virtd = Virtd::start();
    let socket = virtd.socket().display().to_string();
    let path = Scratch::new("path");
    // The helper is asked for this host's daemon; here it has to be the test's.
    let helper = our_program("virt-ssh-helper");
    let told = path.join("told");
    script(
        &path,
        "virt-ssh-helper",
        &format!(
            "echo \"$*\" >> {}\nexec {} 'test+unix:///default?socket={socket}'",
            told.display(),
            helper.display()
        ),
    );
    let sshd = or_skip!(Sshd::start(path.path()));
    let expected = "test\n\n";
    for shell in [&theirs, &our_program("virsh")] {
        for more in ["", "&proxy=native", "&mode=legacy", &format!("&proxy=netcat&socket={socket}")]
        {
            let outcome = session(shell, &sshd.uri("test", more), "domname 1");
            assert_eq!(outcome.stdout, expected, "{} {more}: {outcome:?}", shell.display());
            assert_eq!(outcome.code, Some(0));
        }
        let wrong = session(shell, &sshd.uri("test", "").replace("own&", "host&"), "list");
        assert!(wrong.stderr.contains("Permission denied"), "{wrong:?}");
    }
    let told = std::fs::read_to_string(told).expect("told");
    let one = "test:///default\ntest:///default\ntest:///default?mode=legacy\n";
    assert_eq!(told, one.repeat(2));
}

#[test]
fn the_kvm_tool_is_reached_by_ssh_and_by_other_programs() {
    let theirs = or_skip!(reference_program("virsh"));
    let folder = Scratch::new("kvmtool");
    let lkvm = Lkvm::fake(&folder);
    let xml = lkvm_domain("one", &fake_kernel(&folder), "<console type='pty'/>");
    let file = folder.write("one.xml", xml).display().to_string();
    let mut virtd = Virtd::start();
    virtd.stop();
    lkvm.configure(virtd.base());
    virtd.restart();
    let uri = virtd.uri("kvmtool", guests_path());
    let path = Scratch::new("path");
    let line = format!("exec {} '{uri}'", our_program("virt-ssh-helper").display());
    let carrier = script(&path, "virt-ssh-helper", &line);
    let sshd = or_skip!(Sshd::start(path.path()));
    let ext = format!("kvmtool+ext:///{}?command={}", guests_path(), carrier.display());
    let netcat = format!("&proxy=netcat&socket={}", virtd.socket().display());
    for shell in [&theirs, &our_program("virsh")] {
        for uri in [sshd.uri("kvmtool", ""), sshd.uri("kvmtool", &netcat), ext.clone()] {
            let line = format!("create {file}; suspend one; domstate one; destroy one");
            let outcome = session(shell, &uri, &line);
            let who = format!("{} {uri}: {outcome:?} {}", shell.display(), virtd.log());
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{who}");
            assert!(outcome.stdout.contains("paused\n"), "{who}");
            assert!(lkvm.sockets().is_empty(), "{who}");
        }
    }
}

#[test]
fn any_program_may_carry_the_bytes() {
    let theirs = or_skip!(reference_program("virsh"));
    let virtd = Virtd::start();
    let folder = Scratch::new("ext");
    let helper = our_program("virt-ssh-helper");
    let uri = virtd.uri("test", "default");
    let good = script(&folder, "good", &format!("exec {} '{uri}'", helper.display()));
    let bad =
        script(&folder, "bad", "head -c 4 > /dev/null\necho some words >&2\necho more >&2\nexit 3");
    for shell in [&theirs, &our_program("virsh")] {
        let ext = |program: &Path| format!("test+ext:///default?command={}", program.display());
        let outcome = session(shell, &ext(&good), "domname 1; destroy test; domstate test");
        assert_eq!(outcome.code, Some(0), "{} {outcome:?}", shell.display());
        assert!(outcome.stdout.contains("shut off"), "{outcome:?}");
        let outcome = session(shell, &ext(&bad), "list");
        assert_eq!(outcome.code, Some(1));
        let complaint = "error: Cannot recv data: some words\nmore: Connection reset by peer\n";
        assert!(outcome.stderr.ends_with(complaint), "{} {outcome:?}", shell.display());
    }
    // What is ours ends with its shell.
    let left = run(Command::new("pgrep").arg("-f").arg(good.display().to_string()), LIMIT);
    assert_eq!(left.stdout, "");
}
