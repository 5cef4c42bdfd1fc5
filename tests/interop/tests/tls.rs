//! Both shells and both daemons over TLS: good certificates let in, all others are told why not.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop::Pki;
use test_support::{
    Lkvm, Outcome, Reference, Scratch, Virtd, fake_kernel, free_port, guests_path, lkvm_domain,
    or_skip, our_program, reference_program, run, run_with_input, virsh,
};

const LIMIT: Duration = Duration::from_secs(30);

/// What a shell sees that shows a client's certificate.
fn visit(pki: &Pki, shell: &Path, port: u16, who: &str, more: &str, line: &str) -> Outcome {
    let home = Scratch::new("tls-client");
    let folder = pki.path(&format!("{who}.d"));
    let uri = format!("test://localhost:{port}/default?pkipath={folder}{more}");
    let outcome = run(virsh(shell, &uri, home.path()).arg(line), LIMIT);
    let folder = pki.folder.path().display().to_string();
    let told = |text: String| {
        // Lines of a log have a time in front, and why is for the log only.
        let lines = text.lines().filter(|line| !line.contains("+0000: "));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        text.replace(&port.to_string(), "PORT").replace(&folder, "PKI")
    };
    Outcome { stdout: told(outcome.stdout), stderr: told(outcome.stderr), ..outcome }
}

/// What is seen of a daemon whose certificate is good.
fn of_good_daemon(pki: &Pki, shell: &Path, port: u16) -> Vec<Outcome> {
    let visit = |who: &str, more: &str, line: &str| visit(pki, shell, port, who, more, line);
    vec![
        visit("fred", "", "list; uri; dumpxml test"),
        visit("fred", "", "destroy test; start test; domid test"),
        visit("nobody", "", "list"),
        visit("eve", "", "list"),
        visit("late", "", "list"),
        // Only the daemon looks at it.
        visit("eve", "&no_sanity=1", "list"),
        visit("late", "&no_sanity=1", "list"),
    ]
}

#[test]
fn nobody_sees_a_difference_over_tls() {
    let theirs = or_skip!(reference_program("virsh"));
    let pki = or_skip!(Pki::new());
    let (port, reference_port) = (free_port(), free_port());
    let reference_conf = pki.conf(reference_port, "server", "");
    let _reference = or_skip!(Reference::start_with(&reference_conf, &[]));
    let virtd = Virtd::start_listening(|_| pki.conf(port, "server", ""));
    let expected = of_good_daemon(&pki, &theirs, reference_port);
    let codes: Vec<Option<i32>> = expected.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [0, 0, 1, 1, 1, 1, 1].map(Some), "{expected:#?}");
    assert_eq!(of_good_daemon(&pki, &theirs, port), expected, "their shell: {}", virtd.log());
    let ours = our_program("virsh");
    assert_eq!(of_good_daemon(&pki, &ours, reference_port), expected, "ours, their daemon");
    assert_eq!(of_good_daemon(&pki, &ours, port), expected, "ours with ours");
}

#[test]
fn a_daemon_with_a_bad_certificate_is_refused() {
    let theirs = or_skip!(reference_program("virsh"));
    let pki = or_skip!(Pki::new());
    // A common name will do where no name is given otherwise.
    for (server, code) in [("named", 0), ("elsewhere", 1), ("lapsed", 1)] {
        let port = free_port();
        let virtd =
            Virtd::start_listening(|_| pki.conf(port, server, "tls_no_sanity_certificate = 1"));
        let expected = visit(&pki, &theirs, port, "fred", "", "list");
        assert_eq!(expected.code, Some(code), "{server}: {expected:?} {}", virtd.log());
        let ours = our_program("virsh");
        assert_eq!(visit(&pki, &ours, port, "fred", "", "list"), expected, "{server}");
        let unseen = visit(&pki, &ours, port, "fred", "&no_verify=1", "list");
        assert_eq!(unseen.code, Some(0), "{server}: {unseen:?}");
    }
}

#[test]
fn only_listed_names_are_let_in_and_none_taken_back() {
    let theirs = or_skip!(reference_program("virsh"));
    let pki = or_skip!(Pki::new());
    let lists = |port: u16, list: &str| {
        pki.conf(port, "server", &format!("tls_allowed_dn_list = [\"{list}\"]"))
    };
    for (list, code) in
        [("C=GB,O=Ferrovirt\\\\, Inc.,CN=fred", 0), ("C=GB,*,CN=fre?", 0), ("CN=fred", 1)]
    {
        let port = free_port();
        let virtd = Virtd::start_listening(|_| lists(port, &list.replace("\\\\", "\\")));
        for shell in [&theirs, &our_program("virsh")] {
            let outcome = visit(&pki, shell, port, "fred", "", "list");
            assert_eq!(outcome.code, Some(code), "{list}: {outcome:?} {}", virtd.log());
        }
    }
    let port = free_port();
    let revoked = pki.revoke("fred");
    let conf = pki
        .conf(port, "server", "")
        .replace("crl_file = \"\"", &format!("crl_file = \"{revoked}\""));
    let virtd = Virtd::start_listening(|_| conf);
    let outcome = visit(&pki, &theirs, port, "fred", "", "list");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(virtd.log().contains("Revoked"), "{}", virtd.log());
}

#[test]
fn under_tls_a_password_may_be_said() {
    let theirs = or_skip!(reference_program("virsh"));
    let pki = or_skip!(Pki::new());
    let port = free_port();
    let mut command = Command::new(our_program("virtd"));
    let line = run_with_input(command.args(["--sasl-password", "fred"]), "secret\n", LIMIT).ok();
    let passwords = pki.folder.write("passwords", line).display().to_string();
    let more = format!("auth_tls = \"sasl\"\nsasl_password_file = \"{passwords}\"");
    let virtd = Virtd::start_listening(|_| pki.conf(port, "server", &more));
    for shell in [&theirs, &our_program("virsh")] {
        for (password, mechanism, code) in [
            ("secret", "PLAIN", 0),
            ("wrong", "PLAIN", 1),
            ("secret", "SCRAM-SHA-256", 0),
            ("wrong", "SCRAM-SHA-256", 1),
        ] {
            let text = format!(
                "[credentials-x]\nauthname=fred\npassword={password}\n\
                 [auth-libvirt-localhost]\ncredentials=x\n"
            );
            let file = pki.folder.write("auth", text).display().to_string();
            let more = format!("&authfile={file}&auth=sasl.{mechanism}");
            let outcome = visit(&pki, shell, port, "fred", &more, "list");
            let who = format!("{} {password} {mechanism}", shell.display());
            assert_eq!(outcome.code, Some(code), "{who}: {outcome:?} {}", virtd.log());
        }
    }
}

#[test]
fn the_kvm_tool_is_reached_over_tls_and_tcp() {
    let theirs = or_skip!(reference_program("virsh"));
    let pki = or_skip!(Pki::new());
    let (port, plain, folder) = (free_port(), free_port(), Scratch::new("kvmtool"));
    let lkvm = Lkvm::fake(&folder);
    let xml = lkvm_domain("one", &fake_kernel(&folder), "<console type='pty'/>");
    let file = folder.write("one.xml", xml).display().to_string();
    let more = format!("listen_tcp = 1\ntcp_port = \"{plain}\"\nauth_tcp = \"none\"");
    let virtd = Virtd::start_listening(|base| {
        lkvm.configure(base);
        pki.conf(port, "server", &more)
    });
    let (path, shown) = (guests_path(), pki.shown_by("fred"));
    for shell in [&theirs, &our_program("virsh")] {
        for uri in [
            format!("kvmtool+tls://localhost:{port}/{path}?{shown}"),
            format!("kvmtool://localhost:{port}/{path}?{shown}"),
            format!("kvmtool+tcp://localhost:{plain}/{path}"),
        ] {
            let line = format!("create {file}; suspend one; domstate one; destroy one; uri");
            let outcome = run(virsh(shell, &uri, folder.path()).arg(line), LIMIT);
            let who = format!("{} {uri}: {outcome:?} {}", shell.display(), virtd.log());
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{who}");
            assert!(outcome.stdout.contains("paused\n"), "{who}");
            assert!(lkvm.sockets().is_empty(), "{who}");
        }
    }
}
