//! Real guests under emulation, driven through the driver in this process.

#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driver_qemu::{Dirs, QemuDriver, Settings};
use test_support::{Scratch, skipped, tiny_domain, tiny_guest, wait_until};
use virt_driver::{Connection, Driver, EventFilter, Received, Stream};
use virt_error::Code;
use virt_types::{DomainRef, Event, EventClass, api};

const SOON: Duration = Duration::from_secs(30);

/// A driver on directories of its own, and a connection to it.
struct Private {
    scratch: Scratch,
    connection: Connection,
}

impl Private {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let connection = connect(&scratch);
        Self { scratch, connection }
    }

    /// Forgets the driver as a killed daemon would, and brings a new one up.
    fn restart(&mut self) {
        let nobody = Connection::new(Vec::new(), "", false);
        drop(std::mem::replace(&mut self.connection, nobody));
        self.connection = connect(&self.scratch);
    }

    fn pid(&self, name: &str) -> u32 {
        let path = self.scratch.join(&format!("run/libvirt/qemu/{name}.pid"));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }
}

fn connect(scratch: &Scratch) -> Connection {
    let dir = |name: &str| scratch.join(name).join("libvirt");
    let dirs = Dirs::within(&dir("config"), &dir("state"), &dir("run"), &dir("log"), &dir("cache"));
    let config = scratch.join("config/libvirt/qemu.conf");
    let settings = Settings { uri: "qemu:///session".into(), dirs, config, privileged: false };
    let driver = QemuDriver::start(settings).unwrap();
    Connection::new(vec![Arc::new(driver) as Arc<dyn Driver>], "qemu:///session", false)
}

/// Guests outlive the driver by design: here they must not.
impl Drop for Private {
    fn drop(&mut self) {
        for dom in
            self.connection.connect_list_all_domains(api::CONNECT_LIST_DOMAINS_ACTIVE).unwrap()
        {
            self.connection.domain_destroy_flags(&dom, 0).unwrap();
        }
    }
}

/// The document of the tiny guest, or why there is none here.
fn tiny(name: &str) -> Option<String> {
    if !std::path::Path::new("/usr/bin/qemu-system-x86_64").exists() {
        skipped("no qemu-system-x86_64");
        return None;
    }
    match tiny_guest() {
        Ok(kernel) => Some(tiny_domain(name, "qemu", &kernel)),
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

fn lifecycle(connection: &Connection) -> Receiver<(String, i32, i32)> {
    let (sender, receiver) = channel();
    let sender = Mutex::new(sender);
    let filter = EventFilter::all(EventClass::Domain, 0);
    let sink = Arc::new(move |event: &Event| {
        if let Event::DomainLifecycle { dom, event, detail } = event {
            let _ = sender.lock().unwrap().send((dom.name.to_string(), *event, *detail));
        }
    });
    connection.subscribe(filter, sink).unwrap();
    receiver
}

fn next(events: &Receiver<(String, i32, i32)>) -> (i32, i32) {
    let (_, event, detail) = events.recv_timeout(SOON).unwrap();
    (event, detail)
}

fn state(connection: &Connection, dom: &DomainRef) -> (i32, i32) {
    let state = connection.domain_get_state(dom, 0).unwrap();
    (state.state, state.reason)
}

fn read_until(stream: &dyn Stream, text: &str) -> String {
    let mut said = String::new();
    let mut buffer = [0_u8; 4096];
    let found = wait_until(SOON, || {
        match stream.recv(&mut buffer).unwrap() {
            Received::Data(count) => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Received::Pending => {}
            other => panic!("{other:?} after {said:?}"),
        }
        said.contains(text)
    });
    assert!(found, "{said}");
    said
}

#[test]
fn a_guest_starts_talks_pauses_and_ends() {
    let Some(xml) = tiny("vm") else { return };
    let private = Private::new("qemu-guest");
    let connection = &private.connection;
    let events = lifecycle(connection);
    let dom = connection.domain_define_xml_flags(&xml, 0).unwrap();
    assert_eq!((dom.id, next(&events)), (-1, (api::DOMAIN_EVENT_DEFINED, 0)));
    let dom = connection.domain_create_with_flags(&dom, 0).unwrap();
    assert_eq!(dom.id, 1);
    assert_eq!(next(&events), (api::DOMAIN_EVENT_RESUMED, 0));
    assert_eq!(next(&events), (api::DOMAIN_EVENT_STARTED, 0));
    assert_eq!(state(connection, &dom), (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_BOOTED));

    let console = connection.domain_open_console(&dom, None, 0).unwrap();
    assert!(connection.domain_open_console(&dom, None, 0).is_err(), "one user at a time");
    // What the guest said before anybody listened is lost, so it is asked.
    assert_eq!(console.send(b"ping\r").unwrap(), 5);
    read_until(console.as_ref(), "pong");
    let (told, taken) = std::sync::mpsc::channel();
    console.on_change(Box::new(move || told.send(()).unwrap()));
    let forced = connection.domain_open_console(&dom, None, api::DOMAIN_CONSOLE_FORCE).unwrap();
    assert_eq!(taken.try_recv(), Ok(()), "the old user is told at once");
    let lost = console.recv(&mut [0; 8]).unwrap_err();
    assert!(lost.is(Code::Rpc), "{lost}");
    let unknown = connection.domain_open_console(&dom, Some("nope"), 0).map(drop).unwrap_err();
    assert!(unknown.to_string().ends_with("cannot find character device nope"), "{unknown}");

    connection.domain_suspend(&dom).unwrap();
    connection.domain_suspend(&dom).unwrap();
    assert_eq!(state(connection, &dom), (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER));
    connection.domain_resume(&dom).unwrap();
    assert!(connection.domain_resume(&dom).is_err());
    assert_eq!(state(connection, &dom), (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_UNPAUSED));
    assert_eq!(next(&events), (api::DOMAIN_EVENT_SUSPENDED, 0));
    assert_eq!(next(&events), (api::DOMAIN_EVENT_RESUMED, 0));

    assert!(connection.domain_get_info(&dom).unwrap().cpu_time > 0);
    let live = connection.domain_get_xml_desc(&dom, 0).unwrap();
    assert!(live.contains("<alias name='serial0'/>") && live.contains(" id='1'"), "{live}");
    assert!(live.contains("<console type='pty' tty='/dev/pts/"), "{live}");
    let stored = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).unwrap();
    assert!(!stored.contains("<alias") && !stored.contains(" tty="), "{stored}");

    connection.domain_destroy_flags(&dom, 0).unwrap();
    let (event, detail) = (api::DOMAIN_EVENT_SHUTDOWN, api::DOMAIN_EVENT_SHUTDOWN_HOST);
    assert_eq!(next(&events), (event, detail));
    assert_eq!(next(&events), (api::DOMAIN_EVENT_STOPPED, api::DOMAIN_EVENT_STOPPED_DESTROYED));
    assert_eq!(state(connection, &dom), (api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_DESTROYED));
    assert_eq!(forced.recv(&mut [0; 8]).unwrap(), Received::End);
    assert!(!private.scratch.join("run/libvirt/qemu/vm.xml").exists());
    connection.domain_undefine_flags(&dom, 0).unwrap();
    assert!(connection.domain_lookup_by_name("vm").is_err());
}

#[test]
fn guests_outlive_the_driver_and_are_found_again() {
    let (Some(one), Some(two)) = (tiny("one"), tiny("two")) else { return };
    let mut private = Private::new("qemu-outlive");
    let connection = &private.connection;
    let one = connection.domain_define_xml_flags(&one, 0).unwrap();
    let one = connection.domain_create_with_flags(&one, 0).unwrap();
    let two = connection.domain_create_xml(&two, 0).unwrap();
    connection.domain_suspend(&two).unwrap();
    let pids = [private.pid("one"), private.pid("two")];

    private.restart();
    let connection = &private.connection;
    assert_eq!([private.pid("one"), private.pid("two")], pids);
    assert_eq!(connection.domain_lookup_by_name("one").unwrap(), one);
    assert_eq!(connection.domain_lookup_by_name("two").unwrap(), two);
    assert_eq!(state(connection, &one).0, api::DOMAIN_RUNNING);
    assert_eq!(state(connection, &two), (api::DOMAIN_PAUSED, api::DOMAIN_PAUSED_USER));
    assert!(connection.domain_is_persistent(&one).unwrap());
    assert!(!connection.domain_is_persistent(&two).unwrap());
    connection.domain_resume(&two).unwrap();
    connection.domain_destroy_flags(&two, 0).unwrap();
    assert!(connection.domain_lookup_by_name("two").is_err(), "transient");
    let three = connection.domain_create_xml(&tiny("three").unwrap(), 0).unwrap();
    assert_eq!(three.id, 3, "ids count on");

    // One that ends while nobody watches is noticed.
    let nobody = Connection::new(Vec::new(), "", false);
    drop(std::mem::replace(&mut private.connection, nobody));
    test_support::signal(i32::try_from(pids[0]).unwrap(), test_support::Signal::KILL);
    let path = format!("/proc/{}/cmdline", pids[0]);
    assert!(wait_until(SOON, || std::fs::read(&path).unwrap_or_default().is_empty()));
    private.connection = connect(&private.scratch);
    let one = private.connection.domain_lookup_by_name("one").unwrap();
    assert_eq!(one.id, -1);
    assert_eq!(
        state(&private.connection, &one),
        (api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_CRASHED)
    );
}

#[test]
fn a_stopped_guest_sticks_alone() {
    let (Some(stuck), Some(well)) = (tiny("stuck"), tiny("well")) else { return };
    let private = Private::new("qemu-stuck");
    let connection = &private.connection;
    let stuck = connection.domain_create_xml(&stuck, 0).unwrap();
    let well = connection.domain_create_xml(&well, 0).unwrap();
    let pid = i32::try_from(private.pid("stuck")).unwrap();
    test_support::signal(pid, test_support::Signal::STOP);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| connection.domain_suspend(&stuck));
        let began = std::time::Instant::now();
        connection.domain_suspend(&well).unwrap();
        assert_eq!(connection.connect_list_all_domains(0).unwrap().len(), 2);
        assert!(connection.domain_get_info(&stuck).unwrap().max_mem > 0);
        assert_eq!(connection.connect_get_all_domain_stats(&[], 0, 0).unwrap().len(), 2);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // Ended, it lets its caller go.
        connection.domain_destroy_flags(&stuck, 0).unwrap();
        assert!(waiter.join().unwrap().is_err());
    });
    assert!(connection.domain_lookup_by_name("stuck").is_err());
}

#[test]
fn a_guest_that_is_killed_has_crashed() {
    let Some(xml) = tiny("vm") else { return };
    let private = Private::new("qemu-crash");
    let connection = &private.connection;
    let dom = connection.domain_define_xml_flags(&xml, 0).unwrap();
    let dom = connection.domain_create_with_flags(&dom, 0).unwrap();
    let events = lifecycle(connection);
    let pid = i32::try_from(private.pid("vm")).unwrap();
    test_support::signal(pid, test_support::Signal::KILL);
    assert_eq!(next(&events), (api::DOMAIN_EVENT_STOPPED, api::DOMAIN_EVENT_STOPPED_FAILED));
    assert_eq!(state(connection, &dom), (api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_CRASHED));
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    let Some(xml) = tiny("vm") else { return };
    let xml = xml.replace(
        "<devices>",
        "<devices><disk type='file' device='disk'>\
        <source file='/nonexistent/disk.img'/><target dev='vda' bus='virtio'/></disk>",
    );
    let private = Private::new("qemu-fail");
    let connection = &private.connection;
    let error = connection.domain_create_xml(&xml, 0).unwrap_err();
    assert!(error.message().contains("/nonexistent/disk.img"), "{error}");
    assert!(connection.domain_lookup_by_name("vm").is_err());
    assert_eq!(std::fs::read_dir(private.scratch.join("state/libvirt/qemu")).unwrap().count(), 0);
    assert!(!private.scratch.join("run/libvirt/qemu/vm.xml").exists());
}

#[test]
fn a_reset_ends_a_guest_that_is_not_to_reboot() {
    let Some(xml) = tiny("vm") else { return };
    let xml = xml.replace("<devices>", "<on_reboot>destroy</on_reboot><devices>");
    let private = Private::new("qemu-reset");
    let connection = &private.connection;
    let dom = connection.domain_create_xml(&xml, 0).unwrap();
    let events = lifecycle(connection);
    let console = connection.domain_open_console(&dom, None, 0).unwrap();
    console.send(b"ping\r").unwrap();
    read_until(console.as_ref(), "pong");
    console.send(b"reset\r").unwrap();
    let (event, detail) = (api::DOMAIN_EVENT_SHUTDOWN, api::DOMAIN_EVENT_SHUTDOWN_GUEST);
    assert_eq!(next(&events), (event, detail));
    assert_eq!(next(&events), (api::DOMAIN_EVENT_STOPPED, api::DOMAIN_EVENT_STOPPED_SHUTDOWN));
    assert!(connection.domain_lookup_by_name("vm").is_err());
}

/// What libvirtd writes into a status file beside what we do; none of it may be in the way.
#[test]
fn a_guest_of_libvirtd_is_taken_over() {
    let Some(xml) = tiny("vm") else { return };
    let mut private = Private::new("qemu-takeover");
    let dom = private.connection.domain_create_xml(&xml, 0).unwrap();
    let pid = private.pid("vm");
    let nobody = Connection::new(Vec::new(), "", false);
    drop(std::mem::replace(&mut private.connection, nobody));
    let path = private.scratch.join("run/libvirt/qemu/vm.xml");
    let ours = std::fs::read_to_string(&path).unwrap();
    let dir = private.scratch.path().display().to_string();
    let theirs = ours
        .replace(
            "</vcpus>",
            &format!(
                "</vcpus><qemuCaps><flag name='sdl'/><flag name='hda-duplex'/></qemuCaps>\
                 <devices><device alias='serial0'/></devices><libDir path='{dir}'/>\
                 <channelTargetDir path='{dir}'/><memoryBackingDir path='{dir}'/>\
                 <cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>\
                 <chardevStdioLogd/><nodename index='3'/><fdset index='0'/>\
                 <blockjobs active='no'/><agentTimeout>-2</agentTimeout>"
            ),
        )
        .replace("<alias name='balloon0'/>", "<alias name='balloon0'/><privateData/>");
    assert_ne!(ours, theirs);
    std::fs::write(&path, theirs).unwrap();
    private.connection = connect(&private.scratch);
    let found = private.connection.domain_lookup_by_name("vm").unwrap();
    assert_eq!((found, private.pid("vm")), (dom.clone(), pid));
    let console = private.connection.domain_open_console(&dom, None, 0).unwrap();
    console.send(b"ping\r").unwrap();
    read_until(console.as_ref(), "pong");
}

/// A pid that another process has by now is no guest, and nothing is done to that process.
#[test]
fn a_recycled_pid_is_never_taken_for_a_guest() {
    let Some(xml) = tiny("vm") else { return };
    let mut private = Private::new("qemu-recycled");
    let dom = private.connection.domain_define_xml_flags(&xml, 0).unwrap();
    let dom = private.connection.domain_create_with_flags(&dom, 0).unwrap();
    let pid = private.pid("vm");
    let nobody = Connection::new(Vec::new(), "", false);
    drop(std::mem::replace(&mut private.connection, nobody));
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let path = private.scratch.join("run/libvirt/qemu/vm.xml");
    let status = std::fs::read_to_string(&path).unwrap();
    let status = status.replace(&format!("pid='{pid}'>"), &format!("pid='{}'>", other.id()));
    std::fs::write(&path, status).unwrap();
    test_support::signal(i32::try_from(pid).unwrap(), test_support::Signal::KILL);
    private.connection = connect(&private.scratch);
    assert_eq!(state(&private.connection, &dom).0, api::DOMAIN_SHUTOFF);
    assert!(other.try_wait().unwrap().is_none(), "left alone");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn what_a_guest_has_none_of_is_told_as_such() {
    let Some(xml) = tiny("vm") else { return };
    let private = Private::new("qemu-answers");
    let connection = &private.connection;
    let image = private.scratch.join("disk.raw");
    std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let devices = format!(
        "<disk type='file'><source file='{}'/><target dev='vda' bus='virtio'/></disk>\
         <disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>\
         <interface type='user'><mac address='52:54:00:11:22:33'/></interface>\
         <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
         </devices><q:commandline><q:arg value='-fw_cfg'/><q:arg value='name=opt/x,string=y'/>\
         <q:env name='FERRO_TEST' value='a b'/></q:commandline>",
        image.display()
    );
    let namespace = "<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0' ";
    let xml = xml.replace("</devices>", &devices).replacen("<domain ", namespace, 1);
    let dom = connection.domain_define_xml_flags(&xml, 0).unwrap();
    let dom = connection.domain_create_with_flags(&dom, 0).unwrap();

    let proc = std::path::PathBuf::from(format!("/proc/{}", private.pid("vm")));
    let args = std::fs::read(proc.join("cmdline")).unwrap();
    assert!(String::from_utf8_lossy(&args).contains("-fw_cfg\0name=opt/x,string=y\0"));
    let env = std::fs::read(proc.join("environ")).unwrap();
    assert!(String::from_utf8_lossy(&env).contains("FERRO_TEST=a b\0"));

    let refused = |code: Code, text: &str, error: virt_error::Error| {
        assert!(error.is(code) && error.to_string().contains(text), "{error}");
    };
    assert_eq!(connection.domain_get_job_info(&dom).unwrap().kind, api::DOMAIN_JOB_NONE);
    assert_eq!(connection.domain_list_all_snapshots(&dom, 0).unwrap(), []);
    assert!(!connection.domain_has_current_snapshot(&dom, 0).unwrap());
    let error = connection.domain_interface_stats(&dom, "net0").unwrap_err();
    refused(Code::InvalidArg, "'net0' is not a known interface", error);
    let error = connection.domain_get_block_info(&dom, "hda", 0).unwrap_err();
    refused(Code::InvalidArg, "disk 'hda' does not currently have a source assigned", error);
    let error = connection.domain_get_hostname(&dom, 0).unwrap_err();
    refused(Code::AgentUnresponsive, "QEMU guest agent is not connected", error);
    let block = connection.domain_get_block_info(&dom, "vda", 0).unwrap();
    assert_eq!((block.capacity, block.physical), (1 << 20, 1 << 20));

    let errors = |max| connection.domain_get_disk_errors(&dom, max, 0).unwrap();
    assert_eq!((errors(0).nerrors, errors(2).nerrors), (2, 0));

    connection.domain_destroy_flags(&dom, 0).unwrap();
    let error = connection.domain_get_job_info(&dom).unwrap_err();
    refused(Code::OperationInvalid, "domain is not running", error);
    let block = connection.domain_get_block_info(&dom, "vda", 0).unwrap();
    assert_eq!((block.capacity, block.physical), (1 << 20, 1 << 20));
}
