//! Interfaces in networks: of a driver in the same daemon, through the seam, or of nobody.
#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod support;

use std::process::Command;
use std::sync::Arc;

use driver_kvmtool::{Dirs, Settings, opener};
use support::{OWN_NETWORK, apart, taps};
use test_support::{Lkvm, Scratch, fake_kernel, lkvm_domain, or_skip};
use virt_driver::{Call, Connection, Driver, Networks};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{NetworkRef, Uuid};

const BRIDGE: &str = "fvnet0";

/// Networks of another driver: one that is active, and one that is not.
struct Others;

impl Driver for Others {
    fn name(&self) -> &str {
        "others"
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }
}

impl Networks for Others {
    fn lookup_by_name(&self, _: &Call<'_>, name: &str) -> Result<NetworkRef> {
        match name {
            "default" | "asleep" => Ok(NetworkRef { name: name.into(), uuid: Uuid([1; 16]) }),
            _ => Err(Error::new(Code::NoNetwork, Origin::Network, "no network with that name")),
        }
    }

    fn is_active(&self, _: &Call<'_>, net: &NetworkRef) -> Result<bool> {
        Ok(&*net.name == "default")
    }

    fn get_bridge_name(&self, _: &Call<'_>, _: &NetworkRef) -> Result<String> {
        Ok(BRIDGE.to_owned())
    }
}

fn members() -> usize {
    std::fs::read_dir(format!("/sys/class/net/{BRIDGE}/brif"))
        .map_or(0, |all| all.flatten().count())
}

#[test]
fn interfaces_come_into_the_networks_that_the_daemon_has() {
    if !or_skip!(apart("interfaces_come_into_the_networks_that_the_daemon_has", OWN_NETWORK)) {
        return;
    }
    let made = Command::new("ip").args(["link", "add", "dev", BRIDGE, "type", "bridge"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return test_support::skipped("this host has no bridges");
    }
    let folder = Scratch::new("networks");
    let (lkvm, kernel) = (Lkvm::fake(&folder), fake_kernel(&folder));
    let dir = |name: &str| folder.join(name);
    let dirs = Dirs { config: dir("config"), run: dir("run"), lib: dir("lib"), log: dir("log") };
    let config = folder.write("kvmtool.conf", lkvm.configuration());
    let uri = "kvmtool:///system";
    let settings = Settings { uri: uri.to_owned(), dirs, config, privileged: false };
    let driver: Arc<dyn Driver> = Arc::new(opener(settings).up().unwrap());
    let connection = Connection::new(vec![Arc::clone(&driver), Arc::new(Others)], uri, false);
    let xml = |name: &str, network: &str| {
        let nic = format!("<interface type='network'><source network='{network}'/></interface>");
        lkvm_domain(name, &kernel, &nic)
    };
    let dom = connection.domain_define_xml(&xml("one", "default")).unwrap();
    let dom = connection.domain_create_with_flags(&dom, 0).unwrap();
    assert_eq!((members(), taps().len()), (1, 1));
    let live = connection.domain_get_xml_desc(&dom, 0).unwrap();
    assert!(live.contains("<source network='default'/>"), "{live}");
    assert!(live.contains("<target dev='vnet0'/>"), "{live}");
    connection.domain_destroy(&dom).unwrap();
    assert_eq!((members(), taps().len()), (0, 0));

    let refused = |connection: &Connection, network: &str| {
        let dom = connection.domain_define_xml(&xml("two", network)).unwrap();
        let error = connection.domain_create_with_flags(&dom, 0).unwrap_err();
        connection.domain_undefine(&dom).unwrap();
        error
    };
    let asleep = refused(&connection, "asleep");
    assert!(asleep.is(Code::OperationInvalid), "{asleep:?}");
    assert!(asleep.message().contains("network 'asleep' is not active"), "{asleep:?}");
    assert!(refused(&connection, "none").is(Code::NoNetwork));
    let alone = Connection::new(vec![driver], uri, false);
    let error = refused(&alone, "default");
    assert!(error.message().contains("this daemon has no networks"), "{error:?}");
    assert!(lkvm.sockets().is_empty() && taps().is_empty());
}
