//! A daemon of SSH, and programs for it to run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use test_support::{Scratch, debian_program, free_port, guests_path, run, wait_until};

use crate::own::Own;

const LIMIT: Duration = Duration::from_secs(30);

/// A program of two lines.
pub fn script(folder: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = folder.write(name, format!("#!/bin/sh\n{text}\n"));
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("ours");
    path
}

/// The test's own daemon of SSH, for its own user and key.
pub struct Sshd {
    _daemon: Own,
    folder: Scratch,
    address: String,
    port: u16,
}

impl Sshd {
    /// Starts it for this host alone; programs are looked for in this folder first.
    pub fn start(path: &Path) -> Result<Self, String> {
        Self::start_at("127.0.0.1", path)
    }

    /// [`Sshd::start`] for others too.
    pub fn start_at(address: &str, path: &Path) -> Result<Self, String> {
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
                "ListenAddress {address}:{port}\nHostKey {shown}/host\nPidFile none\nUsePAM no\n\
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
        let sshd = Self { _daemon: Own(child), folder, address: address.to_owned(), port };
        let up = wait_until(LIMIT, || std::net::TcpStream::connect((address, port)).is_ok());
        if up { Ok(sshd) } else { Err("sshd does not listen".to_owned()) }
    }

    /// How a driver is reached by it.
    pub fn uri(&self, driver: &str, more: &str) -> String {
        let key = self.folder.join("own");
        let known = self.folder.join("known");
        format!(
            "{driver}+ssh://root@{}:{}/{}?keyfile={}&known_hosts={}&no_verify=1&no_tty=1{more}",
            self.address,
            self.port,
            if driver == "test" { "default" } else { guests_path() },
            key.display(),
            known.display()
        )
    }
}
