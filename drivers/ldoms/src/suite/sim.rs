//! A simulated manager of a test's own, and connections to it.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use test_support::{Scratch, our_program, wait_until};
use virt_driver::Connection;
use virt_error::Result;

use crate::LdomsDriver;
use crate::link::Target;
use crate::manager::Manager;

/// The releases whose behaviour differs.
pub(super) const PROFILES: &[&str] =
    &["1.0", "1.1", "1.2", "1.3", "2.0", "2.2", "3.0", "3.2", "3.6"];

pub(super) struct Sim {
    pub(super) dir: Scratch,
    child: Option<Child>,
    arguments: Vec<String>,
    listen: String,
    pub(super) remote: Option<String>,
}

impl Sim {
    pub(super) fn start(profile: &str, further: &[&str]) -> Self {
        let dir = Scratch::new("ldmd-sim");
        let mut arguments = vec!["--profile".to_owned(), profile.to_owned()];
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        let listen = "127.0.0.1:0".to_owned();
        let mut sim = Self { dir, child: None, arguments, listen, remote: None };
        sim.set("");
        sim.restart();
        sim
    }

    /// Starts it (again), at the address it had.
    pub(super) fn restart(&mut self) {
        let ready = self.dir.join("ready");
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(our_program("ldmd-sim"))
            .args(&self.arguments)
            .args(["--listen", &self.listen, "--console-ports", "0"])
            .arg("--ready-file")
            .arg(&ready)
            .arg("--control-file")
            .arg(self.dir.join("control"))
            .arg("--state-dir")
            .arg(self.dir.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        self.child = Some(child);
        assert!(
            wait_until(Duration::from_secs(30), || ready.exists()),
            "the simulator is not ready"
        );
        let text = std::fs::read_to_string(&ready).expect("its addresses");
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::to_owned)
        };
        self.listen = of("listen=").expect("its address");
        self.remote = of("remote-listen=");
    }

    pub(super) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        test_support::signal(child.id().cast_signed(), test_support::Signal::TERM);
        let ended = wait_until(Duration::from_secs(10), || matches!(child.try_wait(), Ok(Some(_))));
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Changes settings while it runs; the control file is read within a moment.
    pub(super) fn set(&self, settings: &str) {
        self.dir.write("control", format!("# settings\n{settings}\n"));
        std::thread::sleep(Duration::from_millis(if self.child.is_some() { 300 } else { 0 }));
    }

    pub(super) fn port(&self) -> &str {
        self.listen.rsplit(':').next().unwrap_or_default()
    }

    pub(super) fn uri(&self, further: &str) -> String {
        format!("ldoms:///default?port={}&timeout=20{further}", self.port())
    }

    /// A manager with nothing known of it yet.
    pub(super) fn manager(&self) -> Arc<Manager> {
        self.manager_at(&self.uri("")).expect("the manager is there")
    }

    pub(super) fn manager_at(&self, uri: &str) -> Result<Arc<Manager>> {
        let manager = Manager::new(Target::of(uri)?.expect("an LDoms URI"), None);
        manager.reach()?;
        Ok(manager)
    }

    pub(super) fn connect(&self) -> Connection {
        connection(&self.manager())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn connection(manager: &Arc<Manager>) -> Connection {
    Connection::new(vec![Arc::new(LdomsDriver(Arc::clone(manager)))], "ldoms:///default", false)
}

/// A domain with a disk and an interface.
pub(super) fn document(name: &str, vcpus: u32, memory_mib: u32) -> String {
    let mut xml = format!("<domain type='ldoms'>\n  <name>{name}</name>\n");
    let _ = write!(
        xml,
        "<memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu>\
         <os><type arch='sparc64'>ldom</type><boot dev='hd'/></os>\
         <devices><disk type='file'><source file='/ldoms/{name}.img'/>\
         <target dev='vd0' bus='vdisk'/></disk>\
         <interface type='bridge'><source bridge='primary-vsw0'/></interface></devices></domain>"
    );
    xml
}
