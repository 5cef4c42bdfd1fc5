//! Ways to a daemon that an administrator sets up: passed sockets, other daemons' names, new
//! certificates while it runs, streams with holes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use interop::{Own, Pki};
use test_support::{
    Daemon, Outcome, Scratch, Virtd, debian_program, free_port, or_skip, our_program, run,
    system_python, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(30);

fn session(uri: &str, line: &str) -> Outcome {
    let home = Scratch::new("ways");
    run(virsh(&our_program("virsh"), uri, home.path()).arg(line), LIMIT)
}

fn admin(program: &Path, socket: &Path, line: &str) -> Outcome {
    let uri = format!("libvirtd+unix:///system?socket={}", socket.display());
    run(Command::new(program).args(["-c", &uri, line]), LIMIT)
}

#[test]
fn a_daemon_has_the_sockets_of_the_one_it_stands_for() {
    let base = Scratch::new("virtd");
    let child = Command::new(our_program("virtd"))
        .arg("--base-dir")
        .arg(base.path())
        .args(["--serve-as", "virtqemud"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("virtd");
    let _daemon = Own(child);
    let place = |name: &str| base.join("run/libvirt").join(name);
    let socket = place("virtqemud-sock");
    let uri = format!("test+unix:///default?socket={}", socket.display());
    assert!(wait_until(LIMIT, || session(&uri, "list").code == Some(0)));
    assert!(place("virtqemud.pid").exists() && !place("libvirt-sock").exists());
    let listed = admin(&our_program("virt-admin"), &place("virtqemud-admin-sock"), "srv-list").ok();
    assert!(listed.contains(" virtqemud\n") && !listed.contains("libvirtd"), "{listed}");
    // A shell that is to choose takes the driver's own daemon.
    let home = Scratch::new("chooser");
    let run_dir = home.join("run/libvirt");
    std::fs::create_dir_all(&run_dir).expect("ours");
    std::os::unix::fs::symlink(&socket, run_dir.join("virttestd-sock")).expect("ours");
    if !rustix::process::geteuid().is_root() {
        let ours = our_program("virsh");
        run(virsh(&ours, "test+unix:///default", home.path()).arg("list"), LIMIT).ok();
    }
}

/// What a service manager does: sockets are made first, and the daemon is started for them.
const MANAGER: &str = r#"
import os, socket, sys
program, base, tcp, tls, *paths = sys.argv[1:]
made = []
for path in paths:
    made.append(socket.socket(socket.AF_UNIX)); made[-1].bind(path)
for port in (tcp, tls):
    made.append(socket.socket(socket.AF_INET)); made[-1].bind(("127.0.0.1", int(port)))
for at, one in enumerate(made):
    one.listen(5)
    os.dup2(one.fileno(), 100 + at)
for at in range(len(made)):
    os.dup2(100 + at, 3 + at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(made)))
os.execv(program, [program, "--base-dir", base])
"#;

#[test]
fn passed_sockets_are_served_each_in_its_way() {
    let python = or_skip!(system_python());
    let pki = or_skip!(Pki::new());
    let (tcp, tls) = (free_port(), free_port());
    let base = Scratch::new("virtd");
    std::fs::create_dir_all(base.join("etc/libvirt")).expect("ours");
    let more = format!("auth_tcp = \"none\"\ntcp_port = \"{tcp}\"");
    base.write("etc/libvirt/libvirtd.conf", pki.conf(tls, "server", &more));
    let sockets = ["a-sock", "a-sock-ro", "a-admin-sock"].map(|name| base.join(name));
    let child = Command::new(python)
        .args(["-c", MANAGER])
        .arg(our_program("virtd"))
        .arg(base.path())
        .args([tcp.to_string(), tls.to_string()])
        .args(&sockets)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(base.join("stderr")).expect("ours"))
        .spawn()
        .expect("python");
    let _daemon = Own(child);
    let [rw, ro, administration] = &sockets;
    let local = |socket: &Path| format!("test+unix:///default?socket={}", socket.display());
    let log = || std::fs::read_to_string(base.join("stderr")).unwrap_or_default();
    assert!(wait_until(LIMIT, || session(&local(rw), "list").code == Some(0)), "{}", log());
    let refused = session(&local(ro), "destroy test");
    assert!(refused.stderr.contains("read only access prevents"), "{refused:?}");
    session(&format!("test+tcp://127.0.0.1:{tcp}/default"), "list").ok();
    let folder = pki.client_folder("fred");
    session(&format!("test://localhost:{tls}/default?pkipath={folder}"), "list").ok();
    let listed = admin(&our_program("virt-admin"), administration, "srv-list").ok();
    assert!(listed.contains("libvirtd"), "{listed}");
}

#[test]
fn new_certificates_hold_for_whoever_comes_next() {
    let theirs = or_skip!(debian_program("virt-admin"));
    let pki = or_skip!(Pki::new());
    let port = free_port();
    let virtd = Virtd::start_listening(|_| pki.conf(port, "server", ""));
    let socket = virtd.socket().with_file_name("libvirt-admin-sock");
    let visit = |who: &str| {
        let folder = pki.path(&format!("{who}.d"));
        session(&format!("test://localhost:{port}/default?pkipath={folder}"), "list")
    };
    std::fs::copy(pki.path("other.crt"), pki.path("eve.d/cacert.pem")).expect("ours");
    assert_eq!((visit("fred").code, visit("eve").code), (Some(0), Some(1)));
    // Who is in stays in.
    let home = Scratch::new("stays");
    let folder = pki.path("fred.d");
    let uri = format!("test://localhost:{port}/default?pkipath={folder}");
    let mut stays = virsh(&our_program("virsh"), &uri, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("virsh");
    let mut input = stays.stdin.take().expect("piped");
    input.write_all(b"domid test\n").expect("it reads");
    let clients = || admin(&theirs, &socket, "client-list libvirtd").stdout;
    assert!(wait_until(LIMIT, || clients().contains(" tls ")));
    pki.issue("next", "/CN=localhost", "other", "2", "subjectAltName=DNS:localhost");
    for (new, old) in [("next.crt", "server.crt"), ("next.key", "server.key")] {
        std::fs::copy(pki.path(new), pki.path(old)).expect("ours");
    }
    // A key that does not belong to its certificate: what was read before holds on.
    std::fs::copy(pki.path("fred.key"), pki.path("server.key")).expect("ours");
    let refused = admin(&theirs, &socket, "server-update-tls libvirtd");
    assert!(refused.stderr.contains("Unable to use server certificate"), "{refused:?}");
    assert_eq!((visit("fred").code, visit("eve").code), (Some(0), Some(1)));
    std::fs::copy(pki.path("next.key"), pki.path("server.key")).expect("ours");
    let good = pki.path("good.crt");
    std::fs::rename(&good, pki.path("good.before")).expect("ours");
    std::fs::copy(pki.path("other.crt"), &good).expect("ours");
    let told = admin(&theirs, &socket, "server-update-tls libvirtd");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!((visit("fred").code, visit("eve").code), (Some(1), Some(0)), "{}", virtd.log());
    assert_eq!(admin(&our_program("virt-admin"), &socket, "server-update-tls libvirtd"), told);
    input.write_all(b"domname 1\nquit\n").expect("it reads");
    drop(input);
    let output = stays.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("domname 1\ntest\n"), "{said}");
}

#[test]
fn holes_stay_holes_on_the_way_up_and_down() {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    const BYTES: u64 = 64 << 20;
    let theirs = or_skip!(debian_program("virsh"));
    let virtd = Virtd::start();
    let uri = format!("{}&streams=1", virtd.uri("test", "default"));
    let home = Scratch::new("holes");
    let source = home.join("source");
    let file = std::fs::File::create(&source).expect("ours");
    file.set_len(BYTES).expect("ours");
    file.write_all_at(&[7; 4096], 1 << 20).expect("ours");
    file.write_all_at(b"end", BYTES - 3).expect("ours");
    let programs = [theirs, our_program("virsh")];
    for up in &programs {
        for down in &programs {
            // The world lasts as long as somebody is there.
            let mut stays = virsh(up, &uri, home.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("virsh");
            let mut input = stays.stdin.take().expect("piped");
            let make = format!(
                "vol-create-as default-pool holes {BYTES}\n\
                 vol-upload --sparse --pool default-pool holes {}\n",
                source.display()
            );
            input.write_all(make.as_bytes()).expect("it reads");
            let target = home.join("target");
            drop(std::fs::remove_file(&target));
            let line =
                format!("vol-download --sparse --pool default-pool holes {}", target.display());
            let same = || {
                let outcome = run(virsh(down, &uri, home.path()).arg(&line), LIMIT);
                let equal = run(Command::new("cmp").arg(&source).arg(&target), LIMIT);
                outcome.code == Some(0) && equal.code == Some(0)
            };
            assert!(wait_until(LIMIT, same), "{} {}", up.display(), down.display());
            let blocks = std::fs::metadata(&target).expect("written").blocks();
            assert!(blocks * 512 < BYTES / 8, "{blocks} {} {}", up.display(), down.display());
            drop(input);
            drop(stays.wait());
        }
    }
}
