//! Two hosts on one cable: network namespaces of the test's own.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use test_support::{debian_program, run};

const LIMIT: Duration = Duration::from_secs(30);

/// A host where daemons are, and one where clients are; gone when dropped.
pub struct Hosts {
    names: [String; 2],
}

impl Hosts {
    /// Where the daemons are.
    pub const FAR: usize = 0;
    /// Where the clients are.
    pub const NEAR: usize = 1;
    /// The far host's address.
    pub const FAR_ADDRESS: &str = "10.77.0.1";
    const NEAR_ADDRESS: &str = "10.77.0.2";

    pub fn new() -> Result<Self, String> {
        debian_program("ip")?;
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces want root".to_owned());
        }
        let pid = std::process::id();
        let hosts = Self { names: ["far", "near"].map(|name| format!("fv-{name}-{pid}")) };
        let [far, near] = &hosts.names;
        for name in &hosts.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "-n", far, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
            near,
        ])?;
        for (name, address) in [(far, Self::FAR_ADDRESS), (near, Self::NEAR_ADDRESS)] {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "cable"])?;
            ip(&["-n", name, "link", "set", "cable", "up"])?;
        }
        Ok(hosts)
    }

    /// Does something on one of them; what is started there stays there.
    pub fn on<R: Send>(&self, host: usize, work: impl FnOnce() -> R + Send) -> R {
        let place = File::open(format!("/run/netns/{}", self.names[host])).expect("it was made");
        let entered = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(place.as_fd(), network).expect("we are root");
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join().expect("the work is done"))
    }

    /// Pulls the cable, or puts it in again.
    pub fn connect(&self, connected: bool) {
        let state = if connected { "up" } else { "down" };
        ip(&["-n", &self.names[Self::FAR], "link", "set", "cable", state]).expect("a cable");
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let outcome = run(Command::new("ip").args(words), LIMIT);
    if outcome.code == Some(0) { Ok(()) } else { Err(format!("ip {words:?}: {}", outcome.stderr)) }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            drop(ip(&["netns", "del", name]));
        }
    }
}
