//! Trouble on request: calls wait and fail, guests crash, as documents ask for it.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::{NodeFile, Recorder, open};
use virt_driver::{CallContext, Connection};
use virt_error::Code;
use virt_types::api;

const BOUND: &str = "xmlns:fault='urn:ferrovirt:fault:1'";

/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn guest(name: &str, faults: &str) -> String {
    format!(
        "<domain type='test' {BOUND}><name>{name}</name><memory>1024</memory>\
         <os><type>hvm</type></os>{faults}</domain>"
    )
}

fn took(call: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    call();
    begun.elapsed()
}

fn until(done: impl Fn() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[test]
fn a_document_that_is_defined_asks_for_its_own_trouble_only() {
    let connection = open();
    let faults =
        "<fault:fail call='virDomainCreate*' code='no-memory' message='all gone' times='2'/>";
    let dom = connection.domain_define_xml(&guest("weak", faults)).unwrap();
    let other = connection.domain_define_xml(&guest("strong", "")).unwrap();
    for _ in 0..2 {
        let error = connection.domain_create(&dom).unwrap_err();
        assert!(error.is(Code::NoMemory), "{error:?}");
        assert_eq!(error.message(), "out of memory: all gone");
        assert!(!connection.domain_is_active(&dom).unwrap());
    }
    connection.domain_create(&dom).unwrap();
    connection.domain_create(&other).unwrap();
    // What was asked for is part of the document, and goes with the next one.
    let xml = connection.domain_get_xml_desc(&dom, api::DOMAIN_XML_INACTIVE).unwrap();
    assert!(xml.contains("<fault:fail call='virDomainCreate*' code='no-memory'"), "{xml}");
    assert!(xml.contains("xmlns:fault='urn:ferrovirt:fault:1'"), "{xml}");
    connection.domain_destroy(&dom).unwrap();
    connection.domain_define_xml(&xml).unwrap();
    assert!(connection.domain_create(&dom).is_err(), "a new definition counts from its start");
    connection.domain_define_xml(&guest("weak", "").replace("<memory", &uuid(&xml))).unwrap();
    connection.domain_create(&dom).unwrap();
}

/// The line with the UUID of a document, before the element that stands behind it.
fn uuid(xml: &str) -> String {
    let line = xml.lines().find(|line| line.contains("<uuid>")).expect("a UUID");
    format!("{line}<memory")
}

#[test]
fn calls_wait_and_hold_up_nobody_else() {
    let connection = open();
    let slow = "<fault:latency call='virDomainSuspend' ms='400' jitter-ms='100'/>";
    let dom = connection.domain_create_xml(&guest("slow", slow), 0).unwrap();
    assert!(!connection.drivers()[0].answers_at_once("virDomainGetInfo"));
    let suspended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let slow = scope.spawn(|| {
            connection.domain_suspend(&dom).unwrap();
            suspended.store(true, Ordering::Release);
        });
        let mut asked = 0;
        while !suspended.load(Ordering::Acquire) && asked < 100 {
            connection.domain_get_info(&dom).unwrap();
            connection.domain_set_autostart(&dom, 1).unwrap();
            asked += 1;
        }
        slow.join().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(400));
        assert!(asked > 1, "another call on the same guest waited with it");
    });
}

#[test]
fn the_connection_answers_at_once_where_nothing_was_asked_for() {
    assert!(open().drivers()[0].answers_at_once("virDomainGetInfo"));
}

#[test]
fn a_call_that_hangs_ends_when_its_caller_gives_up() {
    let connection = open();
    let hang = "<fault:hang call='virDomainGetInfo'/>";
    let dom = connection.domain_create_xml(&guest("hangs", hang), 0).unwrap();
    let context = std::sync::Arc::new(CallContext::new(Vec::new(), |_| {}));
    let call = connection.with_context(std::sync::Arc::clone(&context));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| call.domain_get_info(&dom).unwrap_err());
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        context.cancel.cancel();
        assert!(waiting.join().unwrap().is(Code::OperationAborted));
    });
}

#[test]
fn a_node_file_asks_for_trouble_everywhere() {
    let content = format!(
        "<node {BOUND}>\
         <fault:latency call='virConnectOpen' ms='150'/>\
         <fault:fail call='virNetworkCreate' name='n*' code='VIR_ERR_OPERATION_FAILED'/>\
         <fault:fail call='virStorageVolDelete' name='v' times='1' message='the disk is full'/>\
         <fault:fail call='virDomainDefineXML*' name='bad'/>\
         <fault:fail call='virNodeGetInfo' skip='1' times='1' code='internal-error'/>\
         {}\
         <network><name>net</name></network>\
         <pool type='dir'><name>p</name><target><path>/p</path></target>\
         <fault:fail call='virStorageVolCreateXML' code='no-memory'/>\
         <volume><name>v</name><capacity>5</capacity></volume></pool></node>",
        // The prefix is bound at the root alone.
        guest("inside", "<fault:fail call='virDomainReboot'/>").replace(BOUND, ""),
    );
    let file = NodeFile::new("faults", &content);
    let mut opened = None;
    assert!(took(|| opened = file.open("").ok()) >= Duration::from_millis(150));
    let connection = opened.expect("it opens, late");
    let refused = |what: virt_error::Result<()>, message: &str| {
        assert_eq!(what.expect_err(message).message(), message);
    };
    let net = connection.network_lookup_by_name("net").unwrap();
    connection.network_destroy(&net).unwrap();
    let usual = "operation failed: fault injected on request";
    refused(connection.network_create(&net), usual);
    let pool = connection.storage_pool_lookup_by_name("p").unwrap();
    let volume = connection.storage_vol_lookup_by_name(&pool, "v").unwrap();
    refused(connection.storage_vol_delete(&volume, 0), "operation failed: the disk is full");
    let new = "<volume><name>w</name><capacity>1</capacity></volume>";
    let created = connection.storage_vol_create_xml(&pool, new, 0).map(drop);
    refused(created, "out of memory: fault injected on request");
    connection.storage_vol_delete(&volume, 0).unwrap();
    refused(connection.domain_define_xml(&guest("bad", "")).map(drop), usual);
    connection.domain_define_xml(&guest("good", "")).unwrap();
    let inside = connection.domain_lookup_by_name("inside").unwrap();
    refused(connection.domain_reboot(&inside, 0), usual);
    let info = || connection.node_get_info().map(drop);
    info().unwrap();
    refused(info(), "internal error: fault injected on request");
    info().unwrap();
}

fn state(connection: &Connection, name: &str) -> Option<(i32, i32)> {
    let dom = connection.domain_lookup_by_name(name).ok()?;
    let found = connection.domain_get_state(&dom, 0).ok()?;
    Some((found.state, found.reason))
}

#[test]
fn a_guest_crashes_by_itself_and_everybody_hears_of_it() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let dom = connection.domain_define_xml(&guest("a", "<fault:crash after-ms='30'/>")).unwrap();
    for run in 1..=2 {
        connection.domain_create(&dom).unwrap();
        assert!(until(|| events.of("a").len() == 1 + 3 * run), "{:?}", events.of("a"));
        assert_eq!(
            state(&connection, "a"),
            Some((api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_CRASHED))
        );
    }
    let steps: Vec<_> = events.of("a").iter().map(|(event, detail, _)| (*event, *detail)).collect();
    assert_eq!(steps, [(0, 0), (2, 0), (8, 0), (5, 2), (2, 0), (8, 0), (5, 2)]);
    // One that is stopped in time does not crash in its next run before its time.
    let late = guest("b", "<fault:crash after-ms='3600000'/>");
    let late = connection.domain_create_xml(&late, 0).unwrap();
    connection.domain_destroy(&late).unwrap();
    assert_eq!(events.of("b").len(), 2);
}

#[test]
fn what_comes_of_a_crash_is_what_the_document_says() {
    let connection = open();
    let crashing = |name: &str, action: &str| {
        let faults = "<fault:crash call='virDomainInjectNMI'/>";
        let xml =
            guest(name, faults).replace("<os>", &format!("<on_crash>{action}</on_crash><os>"));
        connection.domain_create_xml(&xml, 0).unwrap()
    };
    let kept = crashing("kept", "preserve");
    connection.domain_inject_nmi(&kept, 0).unwrap();
    let crashed = (api::DOMAIN_CRASHED, api::DOMAIN_CRASHED_PANICKED);
    assert_eq!(state(&connection, "kept"), Some(crashed));
    connection.domain_destroy(&kept).unwrap();
    let again = crashing("again", "restart");
    connection.domain_inject_nmi(&again, 0).unwrap();
    let running = (api::DOMAIN_RUNNING, api::DOMAIN_RUNNING_CRASHED);
    assert_eq!(state(&connection, "again"), Some(running));
    let gone = crashing("gone", "destroy");
    assert!(connection.domain_inject_nmi(&gone, 0).unwrap_err().is(Code::NoDomain));
    assert_eq!(state(&connection, "gone"), None);
}

#[test]
fn guests_of_a_node_file_crash_too() {
    let content = format!(
        "<node {BOUND}><fault:crash name='web*' after-ms='50'/>{}{}</node>",
        guest("web1", ""),
        guest("db", "")
    );
    let file = NodeFile::new("crashes", &content);
    let connection = file.open("").unwrap();
    let off = Some((api::DOMAIN_SHUTOFF, api::DOMAIN_SHUTOFF_CRASHED));
    assert!(until(|| state(&connection, "web1") == off));
    assert_eq!(state(&connection, "db").unwrap().0, api::DOMAIN_RUNNING);
}

#[test]
fn a_fault_that_makes_no_sense_is_refused_with_its_document() {
    let connection = open();
    let error = connection.domain_define_xml(&guest("a", "<fault:fire/>")).unwrap_err();
    assert_eq!(error.message(), "XML error: fault: there is no 'fire'");
    assert!(connection.domain_lookup_by_name("a").is_err());
    let net = format!("<network {BOUND}><name>n</name><fault:latency/></network>");
    assert!(connection.network_define_xml(&net).is_err());
    assert!(connection.network_lookup_by_name("n").is_err());
}

#[test]
fn a_strict_reader_takes_faults_and_finds_their_mistakes() {
    let connection = open();
    let flags = api::DOMAIN_DEFINE_VALIDATE;
    let good = guest("a", "<fault:crash after-ms='5' seed='1'/><fault:hang call='x'/>");
    connection.domain_define_xml_flags(&good, flags).unwrap();
    let bad = guest("b", "<fault:hang cal='x'/>");
    let error = connection.domain_define_xml_flags(&bad, flags).unwrap_err();
    assert!(error.is(Code::XmlInvalidSchema), "{error:?}");
}
