//! Two hosts on one cable: who reaches whom, and who notices that the cable was pulled.

use std::path::Path;
use std::time::Duration;

use interop::{Hosts, Person, Pki, Sshd};
use test_support::{
    Daemon, Outcome, Reference, Scratch, Virtd, debian_program, free_port, or_skip, our_program,
    reference_program, run, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A certificate of the far host, beside those that every [`Pki`] has.
fn certificates() -> Result<Pki, String> {
    let pki = Pki::new()?;
    let names = format!("subjectAltName=IP:{}", Hosts::FAR_ADDRESS);
    pki.issue("far", "/CN=far", "good", "2", &names);
    Ok(pki)
}

fn conf(pki: &Pki, tcp: u16, tls: u16) -> String {
    let more = format!(
        "listen_tcp = 1\nauth_tcp = \"none\"\ntcp_port = \"{tcp}\"\n\
         keepalive_interval = 1\nkeepalive_count = 2\n"
    );
    pki.conf(tls, "far", &more).replace("127.0.0.1", Hosts::FAR_ADDRESS)
}

/// What a shell on the near host sees of a daemon on the far one.
fn seen(hosts: &Hosts, shell: &Path, uri: &str) -> Outcome {
    let home = Scratch::new("near");
    hosts.on(Hosts::NEAR, || run(virsh(shell, uri, home.path()).arg("list --all --name"), LIMIT))
}

#[test]
fn another_host_is_reached_by_tcp_tls_and_ssh() {
    let theirs = or_skip!(reference_program("virsh"));
    let hosts = or_skip!(Hosts::new());
    let pki = or_skip!(certificates());
    let ports: [u16; 4] = std::array::from_fn(|_| free_port());
    let [tcp, tls, reference_tcp, reference_tls] = ports;
    let text = conf(&pki, reference_tcp, reference_tls);
    let reference = or_skip!(hosts.on(Hosts::FAR, || Reference::start_with(&text, &[])));
    let virtd = hosts.on(Hosts::FAR, || Virtd::start_listening(|_| conf(&pki, tcp, tls)));
    let sshd = or_skip!(
        hosts.on(Hosts::FAR, || Sshd::start_at(Hosts::FAR_ADDRESS, Path::new("/usr/bin")))
    );
    let folder = pki.path("fred.d");
    let far = Hosts::FAR_ADDRESS;
    let daemons: [(&str, &dyn Daemon, u16, u16); 2] =
        [("virtd", &virtd, tcp, tls), ("libvirtd", &reference, reference_tcp, reference_tls)];
    for (name, daemon, tcp, tls) in daemons {
        let socket = daemon.socket().display();
        for shell in [&theirs, &our_program("virsh")] {
            for uri in [
                format!("test+tcp://{far}:{tcp}/default"),
                format!("test://{far}:{tls}/default?pkipath={folder}"),
                sshd.uri("test", &format!("&proxy=netcat&socket={socket}")),
            ] {
                let outcome = seen(&hosts, shell, &uri);
                let who = format!("{name} {} {uri}: {outcome:?}", shell.display());
                assert_eq!(outcome.stdout.trim(), "test", "{who} {}", virtd.log());
            }
        }
    }
    // The near host's own loopback leads nowhere.
    let nowhere = seen(&hosts, &theirs, &format!("test+tcp://127.0.0.1:{tcp}/default"));
    assert!(nowhere.stderr.contains("Connection refused"), "{nowhere:?}");
}

#[test]
fn both_sides_notice_that_the_cable_was_pulled() {
    let theirs = or_skip!(reference_program("virsh"));
    let administrator = or_skip!(debian_program("virt-admin"));
    let hosts = or_skip!(Hosts::new());
    let pki = or_skip!(certificates());
    let (tcp, tls) = (free_port(), free_port());
    let virtd = hosts.on(Hosts::FAR, || Virtd::start_listening(|_| conf(&pki, tcp, tls)));
    let admin = virtd.socket().with_file_name("libvirt-admin-sock");
    let admin = format!("libvirtd+unix:///system?socket={}", admin.display());
    let is_there = || {
        let mut command = std::process::Command::new(&administrator);
        run(command.args(["-c", &admin, "client-list libvirtd"]), LIMIT).stdout.contains(" tcp ")
    };
    for shell in [&theirs, &our_program("virsh")] {
        let home = Scratch::new("near");
        let uri = format!("test+tcp://{}:{tcp}/default", Hosts::FAR_ADDRESS);
        // What was pulled takes a moment to be a cable again.
        assert!(wait_until(LIMIT, || seen(&hosts, shell, &uri).code == Some(0)));
        let (said, code) = hosts.on(Hosts::NEAR, || {
            let args = ["-k", "1", "-K", "2", "event", "test", "lifecycle", "--loop"];
            let mut waits = Person::new(shell, &uri, home.path(), &args);
            // One that is still about to connect has nothing to notice it by: that it listens is seen first.
            let here = virtd.uri("test", "default");
            let listens = wait_until(LIMIT, || {
                let mut stir = virsh(&our_program("virsh"), &here, home.path());
                run(stir.arg("suspend test; resume test"), LIMIT).ok();
                waits.has_seen("event 'lifecycle'", Duration::from_secs(1))
            });
            assert!(listens && is_there(), "{}", virtd.log());
            hosts.connect(false);
            assert!(wait_until(LIMIT, || !is_there()), "the daemon does not notice");
            waits.leaves()
        });
        assert_eq!(code, Some(1), "{} does not notice: {said}", shell.display());
        hosts.connect(true);
    }
}
