//! A realm of its own: a key distribution centre on the loopback, whose files are below one folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{Scratch, debian_program, free_port, run, run_with_input, wait_until};

use crate::Own;

const LIMIT: Duration = Duration::from_secs(60);
const REALM: &str = "FERROVIRT.TEST";

/// The realm, with the service `libvirt` of this host.
pub struct Realm {
    _centre: Own,
    dir: Scratch,
}

impl Realm {
    pub fn start() -> Result<Self, String> {
        let centre = debian_program("krb5kdc")?;
        for program in ["kdb5_util", "kadmin.local", "kinit"] {
            debian_program(program)?;
        }
        let dir = Scratch::new("realm");
        dir.set_mode(0o755);
        let port = free_port();
        let path = |name: &str| dir.join(name).display().to_string();
        // Whatever this host is called, it is localhost here, and nobody is asked about names.
        let client = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n\
             dns_lookup_realm = false\n dns_canonicalize_hostname = false\n rdns = false\n\
             ignore_acceptor_hostname = true\n default_rcache_name = none:\n\
             udp_preference_limit = 1\n\
             [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
             [domain_realm]\n localhost = {REALM}\n"
        );
        let keeper = format!(
            "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n {REALM} = {{\n  database_name = {}\n  key_stash_file = {}\n }}\n\
             [logging]\n kdc = FILE:{}\n",
            path("principal"),
            path("stash"),
            path("log"),
        );
        dir.write("krb5.conf", client);
        dir.write("kdc.conf", keeper);
        let command = |program: &str| {
            let mut command = Command::new(program);
            command.env("KRB5_CONFIG", dir.join("krb5.conf"));
            command.env("KRB5_KDC_PROFILE", dir.join("kdc.conf"));
            command
        };
        let must = |command: &mut Command| {
            let outcome = run(command, LIMIT);
            if outcome.code == Some(0) { Ok(()) } else { Err(format!("{outcome:?}")) }
        };
        must(command("kdb5_util").args(["create", "-s", "-P", "master", "-r", REALM]))?;
        let keytab = path("keytab");
        for line in [
            "addprinc -pw secret fred",
            "addprinc -pw secret eve",
            "addprinc -randkey libvirt/localhost",
            &format!("ktadd -k {keytab} libvirt/localhost"),
        ] {
            must(command("kadmin.local").args(["-r", REALM, "-q", line]))?;
        }
        // An unprivileged daemon reads it too.
        must(Command::new("chmod").args(["644", &keytab]))?;
        let child = command(&centre.display().to_string())
            .arg("-n")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let realm = Self { _centre: Own(child), dir };
        if wait_until(LIMIT, || realm.ticket("fred").is_ok()) {
            Ok(realm)
        } else {
            Err(format!("no ticket: {:?}", realm.ticket("fred")))
        }
    }

    /// Gets somebody a ticket, in a file of its own.
    pub fn ticket(&self, user: &str) -> Result<PathBuf, String> {
        let cache = self.dir.join(&format!("tickets-of-{user}"));
        let mut command = Command::new("kinit");
        command.arg(user).env("KRB5_CONFIG", self.config()).env("KRB5CCNAME", &cache);
        let outcome = run_with_input(&mut command, "secret\n", LIMIT);
        if outcome.code == Some(0) { Ok(cache) } else { Err(format!("{outcome:?}")) }
    }

    /// What a program of this realm reads.
    pub fn config(&self) -> PathBuf {
        self.dir.join("krb5.conf")
    }

    /// The daemons' keys.
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keytab")
    }

    /// The folder that tells libvirt's daemon to take tickets.
    pub fn reference_folder(&self) -> &Path {
        let keys = self.keys();
        self.dir.write("libvirt.conf", format!("mech_list: gssapi\nkeytab: {}\n", keys.display()));
        self.dir.path()
    }
}
