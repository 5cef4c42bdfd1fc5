//! A simulated manager of Logical Domains, with a daemon of ours beside it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use test_support::{Daemon as _, Scratch, Signal, Virtd, our_program, signal, virsh, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = "<domain type='ldoms'>
  <name>web1</name>
  <uuid>0b6d7c1e-4a52-41f3-9c0d-7e1f5a2b3c4d</uuid>
  <memory unit='GiB'>2</memory>
  <vcpu>4</vcpu>
  <os><type arch='sparc64' machine='sun4v'>ldom</type><boot dev='hd'/></os>
  <devices>
    <disk type='file'><source file='/ldoms/web1.img'/><target dev='vd0' bus='vdisk'/></disk>
    <interface type='bridge'>
      <mac address='00:14:4f:fc:00:01'/><source bridge='primary-vsw0'/>
    </interface>
  </devices>
</domain>
";

/// The simulated manager, with a daemon beside it.
pub struct LdomsHost {
    manager: Child,
    pub virtd: Virtd,
    pub port: String,
    /// Where other machines reach it.
    pub remote: Option<String>,
    pub home: Scratch,
}

impl LdomsHost {
    /// The guest that stands in `web1.xml` of its folder.
    pub const DOCUMENT: &str = DOCUMENT;

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(further: &[&str]) -> Self {
        let home = Scratch::new("ldoms");
        home.write("web1.xml", DOCUMENT);
        let ready = home.join("ready");
        let manager = Command::new(our_program("ldmd-sim"))
            .args(["--profile", "3.6", "--listen", "127.0.0.1:0", "--console-ports", "0"])
            .args(further)
            .arg("--ready-file")
            .arg(&ready)
            .arg("--request-log")
            .arg(home.join("requests"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        assert!(wait_until(LIMIT, || ready.exists()), "the simulator is not ready");
        let text = std::fs::read_to_string(&ready).expect("its address");
        let listen = text.lines().find_map(|line| line.strip_prefix("listen=127.0.0.1:"));
        let port = listen.expect("a port").to_owned();
        let remote = text.lines().find_map(|line| line.strip_prefix("remote-listen="));
        let remote = remote.map(str::to_owned);
        Self { manager, virtd: Virtd::start(), port, remote, home }
    }

    pub fn uri(&self) -> String {
        format!("{}&port={}", self.virtd.uri("ldoms", "default"), self.port)
    }

    pub fn virsh(&self, program: &Path) -> Command {
        virsh(program, &self.uri(), self.home.path())
    }

    /// What the manager has been asked so far, but for being told of events.
    pub fn requests(&self) -> Vec<String> {
        let all = std::fs::read_to_string(self.home.join("requests")).unwrap_or_default();
        all.lines().filter(|line| !line.starts_with("reg-")).map(str::to_owned).collect()
    }
}

impl Drop for LdomsHost {
    fn drop(&mut self) {
        signal(self.manager.id().cast_signed(), Signal::TERM);
        let ended = wait_until(LIMIT, || matches!(self.manager.try_wait(), Ok(Some(_))));
        assert!(ended, "the simulator does not end");
    }
}
