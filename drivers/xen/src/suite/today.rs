//! A host of today: what `xl` is given, beside a hypervisor of the test's own and the simulator's xenstore.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use virt_driver::Connection;
use virt_model::ParseFlags;
use virt_model::domain::Domain as Document;
use virt_types::{DomainRef, Uuid, api};

use super::sim::Sim;
use crate::XenDriver;
use crate::channels::Toolstack as _;
use crate::core::{Channels, Core, Dirs, Settings};
use crate::definitions::Files;
use crate::formats::Host;
use crate::hypercalls::layout::LAYOUTS;
use crate::hypercalls::tests::{Fake, Guests, appear, crash};
use crate::hypercalls::{Calls, HyperView};
use crate::store_channel::StoreChannel;
use crate::xenstore::Store;
use crate::xl::{Xl, XlStack};

/// The guest with number 2, as the test's hypervisor has it.
const UUID: &str = "02000200-0200-0200-0200-020002000200";
/// Writes down what it is told, and the configuration that it is given.
const XL: &str = "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$*\" >>\"$here/told\"\n\
    for word; do case $word in *.cfg) cat \"$word\" >\"$here/given\";; esac; done\n\
    if [ -e \"$here/refuses\" ]; then echo 'libxl: error: it is refused' >&2; exit 1; fi\n";

struct Today {
    sim: Sim,
    driver: XenDriver,
    connection: Connection,
    stack: Arc<XlStack>,
    guests: Guests,
    dom: DomainRef,
}

fn document(more: &str) -> String {
    format!(
        "<domain type='xen'><name>a</name><uuid>{UUID}</uuid><memory unit='MiB'>64</memory>\
         <vcpu>1</vcpu><os><type>linux</type><kernel>/boot/k</kernel></os>{more}</domain>"
    )
}

impl Today {
    fn start() -> Self {
        let sim = Sim::start("4.4", &[]);
        let program = sim.dir.write("xl", XL);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("a program");
        let (store, _watcher) = Store::connect(&sim.dir.join("xenstore")).expect("xenstore");
        store.write("/local/domain/2/name", "a").expect("its name");
        let (fake, _) = Fake::new(LAYOUTS[4], 3);
        let guests = fake.guests();
        let calls = Calls::probe(Box::new(fake)).expect("its interface is found");
        let store = Arc::new(StoreChannel::new(Some(sim.dir.join("xenstore"))));
        let hypervisor = Arc::new(HyperView::new(calls, Arc::clone(&store)));
        let place = |name: &str| {
            std::fs::create_dir_all(sim.dir.join(name)).expect("a folder");
            sim.dir.join(name)
        };
        let (config, run) = (place("config"), place("run"));
        let dirs = Dirs { config, run: run.clone(), lib: place("lib"), log: place("log") };
        let host = Host::default();
        let xl = Xl::find(Some(&program)).expect("the program");
        let stack =
            Arc::new(XlStack::new(xl, hypervisor.clone(), Arc::clone(&store), host.clone(), run));
        let definitions = Arc::new(Files { dir: dirs.config.clone(), host });
        let settings = Settings { dirs, config: sim.dir.join("xen.conf") };
        let toolstack = Arc::clone(&stack);
        let channels =
            Channels { hypervisor, toolstack, definitions, store, vnc_listen: None, found: None };
        let driver = XenDriver(Core::new(settings, channels));
        let connection = Connection::new(vec![Arc::new(driver.clone())], "xen:///system", false);
        let dom = connection.domain_lookup_by_name("a").expect("it runs");
        Self { sim, driver, connection, stack, guests, dom }
    }

    fn write(&self, path: &str, value: &str) {
        let (store, _watcher) = Store::connect(&self.sim.dir.join("xenstore")).expect("xenstore");
        store.write(path, value).expect("it is written");
    }

    fn remove(&self, path: &str) {
        let (store, _watcher) = Store::connect(&self.sim.dir.join("xenstore")).expect("xenstore");
        store.remove(path).expect("it goes");
    }

    /// The last line that `xl` was told.
    fn told(&self) -> String {
        let text = std::fs::read_to_string(self.sim.dir.join("told")).unwrap_or_default();
        text.lines().next_back().unwrap_or_default().to_owned()
    }

    /// Makes a guest of a document; gives the configuration that `xl` got.
    fn create(&self, xml: &str) -> String {
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        let document = Document::load(xml, flags, &self.stack.host().rules()).expect("a document");
        self.stack.create(&document).expect("it is made");
        std::fs::read_to_string(self.sim.dir.join("given")).expect("the configuration")
    }
}

#[test]
fn xl_is_given_devices_of_the_host_and_limits_of_interfaces() {
    let today = Today::start();
    let config = today.create(&document(
        "<devices><interface type='bridge'><mac address='00:16:3e:00:00:01'/><source bridge='ovs'/>\
         <virtualport type='openvswitch'/><vlan><tag id='42'/></vlan>\
         <bandwidth><outbound average='1024'/></bandwidth></interface>\
         <hostdev mode='subsystem' type='pci'><source>\
         <address domain='0' bus='3' slot='0' function='1'/></source></hostdev></devices>",
    ));
    assert!(today.told().starts_with("create -e -p -q "), "{}", today.told());
    for part in
        ["bridge=ovs.42,script=vif-openvswitch", "rate=1024KB/s", "pci = [ \"0000:03:00.1\" ]"]
    {
        assert!(config.contains(part), "no {part} in {config}");
    }
    let xml = today.connection.domain_get_xml_desc(&today.dom, 0).expect("its document");
    assert!(xml.contains("<vlan>") && xml.contains("bus='0x03'"), "{xml}");
}

#[test]
fn devices_of_the_host_come_and_go() {
    let today = Today::start();
    today.create(&document(""));
    let device = "<hostdev mode='subsystem' type='pci'><source>\
        <address domain='0' bus='5' slot='0x1f' function='3'/></source></hostdev>";
    today.write("/local/domain/0/backend/pci/2/0/dev-0", "0000:05:1f.3");
    today.connection.domain_attach_device(&today.dom, device).expect("it comes");
    assert_eq!(today.told(), "pci-attach 2 0000:05:1f.3");
    let xml =
        |today: &Today| today.connection.domain_get_xml_desc(&today.dom, 0).expect("a document");
    assert!(xml(&today).contains("slot='0x1f'"), "{}", xml(&today));
    today.connection.domain_attach_device(&today.dom, device).expect_err("it is there");
    today.remove("/local/domain/0/backend/pci/2/0");
    today.connection.domain_detach_device(&today.dom, device).expect("it goes");
    assert_eq!(today.told(), "pci-detach 2 0000:05:1f.3");
    assert!(!xml(&today).contains("hostdev"), "{}", xml(&today));
    today.sim.dir.write("refuses", "");
    let error = today.connection.domain_attach_device(&today.dom, device);
    let error = error.expect_err("it is refused");
    assert!(error.message().contains("it is refused"), "{error}");
    assert!(!xml(&today).contains("hostdev"), "{}", xml(&today));
}

#[test]
fn a_guest_leaves_by_xl_and_stays_where_it_is_refused() {
    let today = Today::start();
    let perform = |uri: &str| {
        let flags = u64::from(api::MIGRATE_LIVE);
        today.connection.domain_migrate_perform(&today.dom, &[], uri, flags, None, 0)
    };
    today.sim.dir.write("refuses", "");
    let error = perform("xenmigr://there.example.org:2222").expect_err("it is refused");
    assert!(error.message().contains("it is refused"), "{error}");
    assert_eq!(today.told(), "migrate -s ssh -p 2222 2 there.example.org");
    assert!(today.connection.domain_lookup_by_name("a").is_ok_and(|dom| dom.id == 2), "it is here");
    for odd in ["-oProxyCommand=x", "xenmigr://-s/", "a;b"] {
        perform(odd).expect_err(odd);
    }
    std::fs::remove_file(today.sim.dir.join("refuses")).expect("it is there");
    // What the tool stack does shows in the hypervisor's list.
    let guests = Arc::clone(&today.guests);
    let told = today.sim.dir.join("told");
    let gone = std::thread::spawn(move || {
        let left = || std::fs::read_to_string(&told).is_ok_and(|text| text.ends_with(" 2 there\n"));
        assert!(test_support::wait_until(super::sim::LONG, left));
        guests.lock().expect("guests").remove(&2);
    });
    perform("xenmigr://there").expect("it leaves");
    gone.join().expect("it has left");
    assert_eq!(today.told(), "migrate 2 there");
    today.connection.domain_lookup_by_name("a").expect_err("it is there, and not here");
}

#[test]
fn what_people_wrote_is_of_the_guest_and_of_its_definition() {
    let today = Today::start();
    today.create(&document(""));
    today.connection.domain_define_xml(&document("<title>kept</title>")).expect("it is defined");
    let (live, config) = (api::DOMAIN_AFFECT_LIVE, api::DOMAIN_AFFECT_CONFIG);
    let set = |text: &str, flags: u32| {
        let kind = api::DOMAIN_METADATA_TITLE;
        today.connection.domain_set_metadata(&today.dom, kind, Some(text), None, None, flags)
    };
    let get = |flags: u32| {
        today.connection.domain_get_metadata(&today.dom, api::DOMAIN_METADATA_TITLE, None, flags)
    };
    assert_eq!(get(config).as_deref(), Ok("kept"));
    get(live).expect_err("the guest was made without");
    set("now", live).expect("of the guest");
    set("later", config).expect("of the definition");
    assert_eq!((get(live).as_deref(), get(config).as_deref()), (Ok("now"), Ok("later")));
    let xml = today.connection.domain_get_xml_desc(&today.dom, api::DOMAIN_XML_INACTIVE);
    assert!(xml.is_ok_and(|xml| xml.contains("<title>later</title>")));
    assert_eq!(today.dom.uuid, Uuid::parse(UUID).expect("a UUID"));
}

#[test]
fn a_definition_of_any_number_of_processors_takes_no_room() {
    let today = Today::start();
    let xml =
        document("").replace(">1</vcpu>", ">4294967295</vcpu>").replace("<name>a<", "<name>b<");
    let xml = xml.replace(UUID, "02000200-0200-0200-0200-0200020002ff");
    let dom = today.connection.domain_define_xml(&xml).expect("it is kept");
    let pins = |count| today.connection.domain_get_vcpu_pin_info(&dom, count, 1, 0);
    let found = pins(2).expect("its first two");
    assert_eq!((found.num, found.cpumaps), (2, vec![0b1111, 0b1111]));
    assert_eq!(pins(i32::MAX).expect("as many as any has").num, 1024);
    assert!(today.connection.domain_get_vcpus_flags(&dom, api::DOMAIN_AFFECT_CONFIG).is_ok());
}

#[test]
fn processors_are_given_their_places_and_are_moved() {
    let today = Today::start();
    let pinned = document("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>");
    let config = today.create(&pinned);
    assert!(config.contains("cpus = [ \"1\" ]"), "{config}");
    today.connection.domain_define_xml(&pinned).expect("it is kept");
    let both = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
    let pin =
        |cpus: &[u8], flags| today.connection.domain_pin_vcpu_flags(&today.dom, 0, cpus, flags);
    let shows = |flags: u32, cpuset: &str| {
        let xml = today.connection.domain_get_xml_desc(&today.dom, flags).expect("a document");
        let words = format!("<vcpupin vcpu='0' cpuset='{cpuset}'/>");
        assert!(xml.contains(&words), "no {words} in {xml}");
    };
    pin(&[0b100], both).expect("it is moved");
    shows(0, "2");
    shows(api::DOMAIN_XML_INACTIVE, "2");
    pin(&[0b1000], api::DOMAIN_AFFECT_CONFIG).expect("from the next start on");
    shows(0, "2");
    shows(api::DOMAIN_XML_INACTIVE, "3");
}

#[test]
fn what_crashes_is_set_aside_and_begins_anew() {
    let today = Today::start();
    today.create(&document("<on_crash>rename-restart</on_crash>"));
    crash(&today.guests, 2);
    let (guests, told) = (Arc::clone(&today.guests), today.sim.dir.join("told"));
    let socket = today.sim.dir.join("xenstore");
    // What the tool stack does shows in xenstore and in the hypervisor's list.
    let acts = std::thread::spawn(move || {
        let said = |words: &str| {
            let text = || std::fs::read_to_string(&told).unwrap_or_default();
            assert!(
                test_support::wait_until(super::sim::LONG, || text().contains(words)),
                "{words}"
            );
        };
        let (store, _watcher) = Store::connect(&socket).expect("xenstore");
        said("rename 2 a-2");
        store.write("/local/domain/2/name", "a-2").expect("its new name");
        store.write("/local/domain/6/name", "a").expect("the new guest's");
        let count = || std::fs::read_to_string(&told).unwrap_or_default().matches("create").count();
        assert!(test_support::wait_until(super::sim::LONG, || count() == 2));
        appear(&guests, 6, Uuid::parse(UUID).expect("a UUID"));
    });
    today.driver.core().tend();
    acts.join().expect("it is done");
    let state = |name: &str| {
        let dom = today.connection.domain_lookup_by_name(name).expect(name);
        let state = today.connection.domain_get_state(&dom, 0).expect("its state").state;
        (dom.id, dom.uuid == today.dom.uuid, state)
    };
    assert_eq!(state("a-2"), (2, false, api::DOMAIN_CRASHED));
    assert_eq!(state("a"), (6, true, api::DOMAIN_RUNNING));
    // It stays until somebody has seen it.
    today.driver.core().tend();
    assert_eq!(state("a-2").0, 2);
}

#[test]
fn what_a_full_guests_screen_takes_is_memory_of_its_own() {
    let today = Today::start();
    today.create(&document(""));
    today.write("/local/domain/2/memory/target", "57344");
    today.write("/local/domain/2/memory/videoram", "8192");
    let xml = today.connection.domain_get_xml_desc(&today.dom, 0).expect("its document");
    assert!(xml.contains("<currentMemory unit='KiB'>65536</currentMemory>"), "{xml}");
}
