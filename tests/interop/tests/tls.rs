//! Both shells and both daemons over TLS: good certificates let in, all others are told why not.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{
    Lkvm, Outcome, Reference, Scratch, Virtd, debian_program, fake_kernel, free_port, guests_path,
    lkvm_domain, or_skip, our_program, reference_program, run, run_with_input, virsh,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Certificates of two authorities: `good` and `other`.
struct Pki {
    folder: Scratch,
    openssl: std::path::PathBuf,
}

impl Pki {
    fn new() -> Result<Self, String> {
        let pki = Self { folder: Scratch::new("pki"), openssl: debian_program("openssl")? };
        pki.folder.set_mode(0o755);
        for name in ["good", "other"] {
            let key = pki.key(name);
            let subject = format!("/CN={name} authority");
            pki.openssl(&[
                "req",
                "-x509",
                "-new",
                "-key",
                &key,
                "-days",
                "2",
                "-subj",
                &subject,
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
                "-out",
                &pki.path(&format!("{name}.crt")),
            ]);
        }
        pki.issue(
            "server",
            "/CN=localhost",
            "good",
            "2",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        );
        pki.issue("named", "/CN=localhost", "good", "2", "basicConstraints=CA:FALSE");
        pki.issue("elsewhere", "/CN=x", "good", "2", "subjectAltName=DNS:elsewhere.example");
        pki.issue("lapsed", "/CN=localhost", "good", "0", "subjectAltName=DNS:localhost");
        pki.client("fred", "/C=GB/O=Ferrovirt, Inc./CN=fred", "good", "2");
        pki.client("eve", "/CN=eve", "other", "2");
        pki.client("late", "/CN=fred", "good", "0");
        pki.client_folder("nobody");
        // What is good for no day at all is good for the rest of this second.
        std::thread::sleep(Duration::from_millis(1100));
        Ok(pki)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn openssl(&self, args: &[&str]) {
        let mut command = Command::new(&self.openssl);
        let outcome = run(command.args(args).current_dir(self.folder.path()), LIMIT);
        assert_eq!(outcome.code, Some(0), "openssl {args:?}: {}", outcome.stderr);
    }

    fn key(&self, name: &str) -> String {
        let path = self.path(&format!("{name}.key"));
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &path]);
        // Everything here is worth nothing, and the reference runs as somebody else.
        self.openssl(&["ec", "-in", &path, "-out", &path]);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .expect("ours");
        path
    }

    fn issue(&self, name: &str, subject: &str, authority: &str, days: &str, extension: &str) {
        let key = self.key(name);
        let (request, out) = (self.path("request"), self.path(&format!("{name}.crt")));
        self.openssl(&["req", "-new", "-key", &key, "-subj", subject, "-out", &request]);
        let extensions = self.folder.write("extensions", format!("{extension}\n"));
        let extensions = extensions.display().to_string();
        let (ca, ca_key) =
            (self.path(&format!("{authority}.crt")), self.path(&format!("{authority}.key")));
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            &extensions,
            "-out",
            &out,
        ]);
    }

    /// A client's folder, as `pkipath` names it.
    fn client(&self, name: &str, subject: &str, authority: &str, days: &str) {
        self.issue(name, subject, authority, days, "extendedKeyUsage=clientAuth");
        let folder = self.client_folder(name);
        for (from, to) in [("crt", "clientcert.pem"), ("key", "clientkey.pem")] {
            let from = self.path(&format!("{name}.{from}"));
            std::fs::copy(from, Path::new(&folder).join(to)).expect("ours");
        }
    }

    fn client_folder(&self, name: &str) -> String {
        let folder = self.path(&format!("{name}.d"));
        std::fs::create_dir_all(&folder).expect("ours");
        std::fs::copy(self.path("good.crt"), Path::new(&folder).join("cacert.pem")).expect("ours");
        folder
    }

    /// Takes a certificate back.
    fn revoke(&self, name: &str) -> String {
        let list = self.path("crl.pem");
        let conf = format!(
            "[ca]\ndefault_ca=a\n[a]\ndatabase={0}/index\ncrlnumber={0}/number\ndefault_md=sha256\n\
             default_crl_days=2\ncertificate={0}/good.crt\nprivate_key={0}/good.key\n",
            self.folder.path().display()
        );
        self.folder.write("ca.conf", conf);
        self.folder.write("index", "");
        self.folder.write("number", "01\n");
        let conf = self.path("ca.conf");
        self.openssl(&["ca", "-config", &conf, "-revoke", &self.path(&format!("{name}.crt"))]);
        self.openssl(&["ca", "-config", &conf, "-gencrl", "-out", &list]);
        list
    }

    fn conf(&self, port: u16, server: &str, more: &str) -> String {
        format!(
            "listen_tls = 1\ntls_port = \"{port}\"\nlisten_addr = \"127.0.0.1\"\nca_file = \"{}\"\n\
             cert_file = \"{}\"\nkey_file = \"{}\"\ncrl_file = \"\"\n{more}\n",
            self.path("good.crt"),
            self.path(&format!("{server}.crt")),
            self.path(&format!("{server}.key")),
        )
    }

    /// The part of an address that shows a client's certificate.
    fn shown_by(&self, who: &str) -> String {
        format!("pkipath={}", self.path(&format!("{who}.d")))
    }

    /// What a shell sees that shows a client's certificate.
    fn visit(&self, shell: &Path, port: u16, who: &str, more: &str, line: &str) -> Outcome {
        let home = Scratch::new("tls-client");
        let uri = format!("test://localhost:{port}/default?{}{more}", self.shown_by(who));
        let outcome = run(virsh(shell, &uri, home.path()).arg(line), LIMIT);
        let folder = self.folder.path().display().to_string();
        let told = |text: String| {
            // Lines of a log have a time in front, and why is for the log only.
            let lines = text.lines().filter(|line| !line.contains("+0000: "));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            text.replace(&port.to_string(), "PORT").replace(&folder, "PKI")
        };
        Outcome { stdout: told(outcome.stdout), stderr: told(outcome.stderr), ..outcome }
    }
}

/// What is seen of a daemon whose certificate is good.
fn of_good_daemon(pki: &Pki, shell: &Path, port: u16) -> Vec<Outcome> {
    let visit = |who: &str, more: &str, line: &str| pki.visit(shell, port, who, more, line);
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
        let expected = pki.visit(&theirs, port, "fred", "", "list");
        assert_eq!(expected.code, Some(code), "{server}: {expected:?} {}", virtd.log());
        let ours = our_program("virsh");
        assert_eq!(pki.visit(&ours, port, "fred", "", "list"), expected, "{server}");
        let unseen = pki.visit(&ours, port, "fred", "&no_verify=1", "list");
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
            let outcome = pki.visit(shell, port, "fred", "", "list");
            assert_eq!(outcome.code, Some(code), "{list}: {outcome:?} {}", virtd.log());
        }
    }
    let port = free_port();
    let revoked = pki.revoke("fred");
    let conf = pki
        .conf(port, "server", "")
        .replace("crl_file = \"\"", &format!("crl_file = \"{revoked}\""));
    let virtd = Virtd::start_listening(|_| conf);
    let outcome = pki.visit(&theirs, port, "fred", "", "list");
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
            let outcome = pki.visit(shell, port, "fred", &more, "list");
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
