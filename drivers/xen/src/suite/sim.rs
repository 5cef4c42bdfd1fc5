//! A simulated host of a test's own, and connections to it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_support::{Scratch, our_program, wait_until};
use virt_driver::{Connection, Driver as _, EventFilter};
use virt_error::Result;
use virt_types::{Event, api};

use crate::core::{Dirs, Settings};
use crate::{XenDriver, open};

/// The releases whose behaviour differs.
pub(super) const PROFILES: &[&str] =
    &["3.0.1", "3.0.2", "3.0.3", "3.0.4", "3.1", "3.2", "3.3", "3.4", "4.0", "4.1", "4.4"];
/// How long what a guest does by itself may take on a busy machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// How the simulated host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// xend's socket, and xenstore.
    Unix,
    /// xend over TCP, without xenstore and without its folder.
    TcpAlone,
}

pub(super) struct Sim {
    pub(super) dir: Scratch,
    child: Option<Child>,
    arguments: Vec<String>,
    listen: String,
    pub(super) relocation: String,
}

impl Sim {
    pub(super) fn start(profile: &str, further: &[&str]) -> Self {
        let dir = Scratch::new("xend-sim");
        let mut arguments = vec!["--profile".to_owned(), profile.to_owned()];
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        let mut sim =
            Self { dir, child: None, arguments, listen: String::new(), relocation: String::new() };
        sim.set("");
        sim.restart();
        sim
    }

    pub(super) fn restart(&mut self) {
        let ready = self.dir.join("ready");
        let _ = std::fs::remove_file(&ready);
        let mut command = Command::new(our_program("xend-sim"));
        command.args(&self.arguments).args([
            "--listen",
            "127.0.0.1:0",
            "--relocation",
            "127.0.0.1:0",
        ]);
        for (option, name) in [
            ("--unix", "xend"),
            ("--xenstore", "xenstore"),
            ("--domains-dir", "domains"),
            ("--ready-file", "ready"),
            ("--control-file", "control"),
            ("--log", "requests"),
        ] {
            command.arg(option).arg(self.dir.join(name));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("the simulator starts"));
        assert!(wait_until(LONG, || ready.exists()), "the simulator is not ready");
        let text = std::fs::read_to_string(&ready).expect("its addresses");
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        self.listen = of("listen=");
        self.relocation = of("relocation=");
    }

    pub(super) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        test_support::signal(child.id().cast_signed(), test_support::Signal::TERM);
        if !wait_until(LONG, || matches!(child.try_wait(), Ok(Some(_)))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Faults from the next request on.
    pub(super) fn set(&self, faults: &str) {
        self.dir.write("control", faults);
    }

    /// What xend was asked until now.
    pub(super) fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn xm_dir(&self) -> PathBuf {
        self.dir.join("xm")
    }

    pub(super) fn settings(&self, way: Way) -> Settings {
        let path = |name: &str| self.dir.join(name).display().to_string();
        std::fs::create_dir_all(self.xm_dir()).expect("a folder");
        let mut conf = format!("xm_dir = \"{}\"\nprivcmd = \"\"\nxl = \"/nowhere\"\n", path("xm"));
        match way {
            Way::Unix => conf.push_str(&format!(
                "xend_socket = \"{}\"\nxenstored_socket = \"{}\"\nxend_domains_dir = \"{}\"\n",
                path("xend"),
                path("xenstore"),
                path("domains")
            )),
            Way::TcpAlone => conf.push_str(&format!(
                "xend_address = \"{}\"\nxenstored_socket = \"/nowhere\"\n\
                 xend_domains_dir = \"/nowhere\"\n",
                self.listen
            )),
        }
        let config = self.dir.write("xen.conf", conf);
        let dir = |name: &str| self.dir.join("driver").join(name);
        let dirs =
            Dirs { config: dir("config"), run: dir("run"), lib: dir("lib"), log: dir("log") };
        Settings { dirs, config }
    }

    pub(super) fn try_driver(&self, way: Way) -> Result<XenDriver> {
        open::start(self.settings(way))
    }

    pub(super) fn connect(&self, way: Way) -> Connection {
        let driver = self.try_driver(way).expect("the driver comes up");
        Connection::new(vec![Arc::new(driver)], "xen:///", false)
    }

    /// A connection, and the lifecycle events that come from now on: name, event, detail.
    pub(super) fn watched(&self, way: Way) -> (Connection, Heard) {
        let driver = self.try_driver(way).expect("the driver comes up");
        let heard = Heard::default();
        let into = heard.clone();
        let filter =
            EventFilter::all(virt_types::EventClass::Domain, api::DOMAIN_EVENT_ID_LIFECYCLE);
        let sink = Arc::new(move |event: &Event| {
            if let Event::DomainLifecycle { dom, event, detail } = event {
                into.0.lock().expect("heard").push((dom.name.to_string(), *event, *detail));
            }
        });
        driver.events().expect("events").subscribe(filter, sink).expect("a subscription");
        (Connection::new(vec![Arc::new(driver)], "xen:///", false), heard)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Events in the order in which they came.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<(String, i32, i32)>>>);

impl Heard {
    /// Waits until an event has come, and says whether it did.
    pub(super) fn wait_for(&self, name: &str, event: i32, detail: i32) -> bool {
        let wanted = (name.to_owned(), event, detail);
        wait_until(LONG, || self.0.lock().expect("heard").contains(&wanted))
    }

    pub(super) fn all(&self) -> Vec<(String, i32, i32)> {
        self.0.lock().expect("heard").clone()
    }
}

/// A paravirtual guest; `says` is what its kernel is told, and with it the simulated guest.
pub(super) fn paravirtual(name: &str, says: &str) -> String {
    format!(
        "<domain type='xen'><name>{name}</name><memory unit='MiB'>256</memory>\
         <currentMemory unit='MiB'>128</currentMemory><vcpu current='1'>2</vcpu>\
         <os><type>linux</type><kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd>\
         <cmdline>root=/dev/xvda {says}</cmdline></os>\
         <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>\
         <on_crash>preserve</on_crash>\
         <devices><disk type='file'><driver name='file'/><source file='/srv/{name}.img'/>\
         <target dev='xvda'/></disk>\
         <interface type='bridge'><mac address='00:16:3e:00:00:01'/><source bridge='xenbr0'/>\
         <script path='vif-bridge'/></interface>\
         <graphics type='vnc' autoport='yes'/></devices></domain>"
    )
}

/// A full guest with a drive.
pub(super) fn full(name: &str) -> String {
    format!(
        "<domain type='xen'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>\
         <os><type>hvm</type><loader>/usr/lib/xen/boot/hvmloader</loader><boot dev='hd'/></os>\
         <features><pae/><acpi/><apic/></features>\
         <devices><emulator>/usr/lib/xen/bin/qemu-dm</emulator>\
         <disk type='file'><driver name='file'/><source file='/srv/{name}.img'/>\
         <target dev='hda'/></disk>\
         <disk type='file' device='cdrom'><driver name='file'/><source file='/srv/a.iso'/>\
         <target dev='hdc'/><readonly/></disk>\
         <graphics type='vnc' port='5904'/></devices></domain>"
    )
}
