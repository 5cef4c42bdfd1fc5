//! Certificates: good ones, and such as nobody should accept.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use test_support::{Scratch, debian_program, run};

const LIMIT: Duration = Duration::from_secs(30);

/// Certificates of two authorities: `good` and `other`.
pub struct Pki {
    pub folder: Scratch,
    openssl: std::path::PathBuf,
}

impl Pki {
    pub fn new() -> Result<Self, String> {
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
        pki.client("joe", "/CN=joe", "good", "2");
        pki.client("eve", "/CN=eve", "other", "2");
        pki.client("late", "/CN=fred", "good", "0");
        pki.client_folder("nobody");
        // What is good for no day at all is good for the rest of this second.
        std::thread::sleep(Duration::from_millis(1100));
        Ok(pki)
    }

    pub fn path(&self, name: &str) -> String {
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

    pub fn issue(&self, name: &str, subject: &str, authority: &str, days: &str, extension: &str) {
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
    pub fn client(&self, name: &str, subject: &str, authority: &str, days: &str) {
        self.issue(name, subject, authority, days, "extendedKeyUsage=clientAuth");
        let folder = self.client_folder(name);
        for (from, to) in [("crt", "clientcert.pem"), ("key", "clientkey.pem")] {
            let from = self.path(&format!("{name}.{from}"));
            std::fs::copy(from, Path::new(&folder).join(to)).expect("ours");
        }
    }

    pub fn client_folder(&self, name: &str) -> String {
        let folder = self.path(&format!("{name}.d"));
        std::fs::create_dir_all(&folder).expect("ours");
        std::fs::copy(self.path("good.crt"), Path::new(&folder).join("cacert.pem")).expect("ours");
        folder
    }

    /// Takes a certificate back.
    pub fn revoke(&self, name: &str) -> String {
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

    /// The part of an address that shows a client's certificate.
    pub fn shown_by(&self, who: &str) -> String {
        format!("pkipath={}", self.path(&format!("{who}.d")))
    }

    pub fn conf(&self, port: u16, server: &str, more: &str) -> String {
        format!(
            "listen_tls = 1\ntls_port = \"{port}\"\nlisten_addr = \"127.0.0.1\"\nca_file = \"{}\"\n\
             cert_file = \"{}\"\nkey_file = \"{}\"\ncrl_file = \"\"\n{more}\n",
            self.path("good.crt"),
            self.path(&format!("{server}.crt")),
            self.path(&format!("{server}.key")),
        )
    }
}
