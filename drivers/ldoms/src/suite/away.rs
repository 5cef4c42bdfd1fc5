//! Domains that leave: to another manager, and into the manager's own files and back.

use std::sync::Arc;
use std::time::Duration;

use test_support::{or_skip, wait_until};
use virt_driver::CallContext;
use virt_error::Code;
use virt_types::api;

use super::sim::{Sim, connection, document};
use crate::message::{Item, Message, Property, parse_size};

#[test]
fn a_migration_is_watched_and_can_be_called_off() {
    let sim = Sim::start("3.6", &[]);
    let auth = "[credentials-c]\nusername=root\npassword=p\n[auth-ldoms-other]\ncredentials=c\n";
    let auth = sim.dir.write("auth", auth);
    let manager =
        sim.manager_at(&sim.uri(&format!("&authfile={}", auth.display()))).expect("there");
    let connection = connection(&manager);
    let dom = connection.domain_create_xml(&document("web1", 1, 256), 0).expect("it runs");
    let kind = || connection.domain_get_job_info(&dom).expect("a job or none").kind;
    assert_eq!(kind(), api::DOMAIN_JOB_NONE);
    let idle = connection.domain_abort_job(&dom).expect_err("nothing goes on");
    assert!(idle.is(Code::OperationInvalid), "{idle:?}");
    let go = || connection.domain_migrate_perform(&dom, &[], "ldoms://root@other/", 0, None, 0);
    sim.set("migrate-delay = 20000");
    std::thread::scope(|scope| {
        let moving = scope.spawn(go);
        let seen = wait_until(Duration::from_secs(15), || kind() == api::DOMAIN_JOB_BOUNDED);
        assert!(seen, "its progress is told");
        let info = connection.domain_get_job_info(&dom).expect("a job");
        assert_eq!((info.data_total, info.data_processed + info.data_remaining), (100, 100));
        let stats = connection.domain_get_job_stats(&dom, 0).expect("its figures");
        assert!(stats.params.iter().any(|param| param.field == "data_remaining"), "{stats:?}");
        connection.domain_abort_job(&dom).expect("it is called off");
        let called_off = moving.join().expect("no panic").expect_err("called off");
        assert!(called_off.message().contains("cancelled"), "{called_off:?}");
    });
    assert_eq!(connection.domain_is_active(&dom), Ok(true));
    assert!(wait_until(Duration::from_secs(10), || kind() == api::DOMAIN_JOB_NONE));
    // So is one whose caller has gone.
    let context = Arc::new(CallContext::new(Vec::new(), |_| {}));
    let leaver = connection.with_context(Arc::clone(&context));
    std::thread::scope(|scope| {
        let go = || leaver.domain_migrate_perform(&dom, &[], "ldoms://root@other/", 0, None, 0);
        let moving = scope.spawn(go);
        assert!(wait_until(Duration::from_secs(15), || kind() == api::DOMAIN_JOB_BOUNDED));
        context.cancel.cancel();
        moving.join().expect("no panic").expect_err("called off");
    });
    assert!(wait_until(Duration::from_secs(10), || kind() == api::DOMAIN_JOB_NONE));
    assert_eq!(connection.domain_is_active(&dom), Ok(true));
    sim.set("migrate-delay = 200");
    go().expect("it goes");
    let gone = connection.domain_lookup_by_name("web1").expect_err("it is the other's now");
    assert!(gone.is(Code::NoDomain), "{gone:?}");
}

#[test]
fn documents_become_the_managers_files_and_back() {
    const FORMAT: &str = "ldoms-xml";
    for profile in ["1.0", "3.6"] {
        let sim = Sim::start(profile, &[]);
        let connection = sim.connect();
        let native = connection.connect_domain_xml_to_native(FORMAT, &document("web1", 4, 2048), 0);
        let native = native.expect("constraints");
        for part in ["add-domain", "id='web1'", "vds_volume", "primary-vsw0", "/ldoms/web1.img"] {
            assert!(native.contains(part), "{part}: {native}");
        }
        let xml =
            connection.connect_domain_xml_from_native(FORMAT, &native, 0).expect("a document");
        for part in [
            "<domain type='ldoms'",
            "<name>web1</name>",
            "<memory unit='KiB'>2097152</memory>",
            "<vcpu placement='static'>4</vcpu>",
            "<source file='/ldoms/web1.img'/>",
            "<source bridge='primary-vsw0'/>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        let again = connection.connect_domain_xml_to_native(FORMAT, &xml, 0).expect("constraints");
        assert_eq!(connection.connect_domain_xml_from_native(FORMAT, &again, 0), Ok(xml.clone()));
        connection.domain_define_xml(&xml).expect("what came back can be defined");
        // The file of the oldest release, as its guide prints it.
        let old = "<LDM_interface version='1.0'><data version='2.0'><ldom><ldom_info>\
             <ldom_name>old1</ldom_name></ldom_info><cpu><number>2</number></cpu>\
             <memory><size>1G</size></memory></ldom></data></LDM_interface>";
        let xml = connection.connect_domain_xml_from_native(FORMAT, old, 0).expect("a document");
        assert!(xml.contains("<name>old1</name>") && xml.contains(">1048576<"), "{xml}");
        for (format, text) in [("xen-xl", old), (FORMAT, "<domain/>"), (FORMAT, "no XML at all")] {
            assert!(
                connection.connect_domain_xml_from_native(format, text, 0).is_err(),
                "{format}"
            );
        }
    }
}

/// What an item says, but for what only says how its domain is doing and what means nothing.
fn said(item: &Item) -> Vec<String> {
    let units = item.units.as_deref();
    let units = units.map(|units| match item.is("memory") {
        true => parse_size(units).map_or_else(String::new, |bytes| bytes.to_string()),
        false => units.to_owned(),
    });
    let info = item.is("ldom_info");
    let idle = |property: &&Property| {
        property.value.is_empty() || info && STATUS.contains(&property.key.as_str())
    };
    let told = item.properties.iter().filter(|property| !idle(property));
    let mut said: Vec<String> =
        told.map(|property| format!("{}={}", property.key, property.value)).collect();
    said.extend(units.map(|units| format!("units={units}")));
    said.extend(item.address.iter().map(|address| format!("address={address}")));
    said.extend(item.uuid.iter().map(|uuid| format!("uuid={uuid}")));
    said
}

/// How a domain is, which is nobody's wish.
const STATUS: &[&str] = &["state", "flags", "progress", "status", "source"];

/// A sample as constraints of a domain that can be: those of one resource get what they lack.
fn constraints(text: &str) -> Option<Message> {
    let inside = text.split_once("?>").map_or(text, |(_, rest)| rest);
    let around = format!(
        "<LDM_interface><cmd><action>add-domain</action><data version='3.0'>{inside}</data></cmd>\
         </LDM_interface>"
    );
    let mut message = Message::parse(inside).or_else(|_| Message::parse(&around)).ok()?;
    let envelopes = message.commands.iter_mut().flat_map(|command| &mut command.data);
    let contents = envelopes.filter_map(|data| data.envelope.as_mut());
    for content in contents.flat_map(|envelope| &mut envelope.contents) {
        for (resource, units) in [("cpu", "2"), ("memory", "1G")] {
            if content.first(resource).is_none() {
                let item = Item { units: Some(units.to_owned()), ..Item::new(resource) };
                *content = std::mem::take(content).with(item);
            }
        }
    }
    Some(message)
}

#[test]
fn every_sample_of_a_domain_becomes_a_document_and_comes_back_whole() {
    let folder = or_skip!(test_support::shared("ldoms"));
    let sim = Sim::start("3.6", &[]);
    let connection = sim.connect();
    let files = ["documented", "constructed"]
        .into_iter()
        .flat_map(|part| std::fs::read_dir(folder.join(part)).expect("the samples").flatten());
    let mut whole = Vec::new();
    for file in files.map(|entry| entry.path()) {
        let text = std::fs::read_to_string(&file).expect("a sample");
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(before) = constraints(&text).filter(|sample| sample.contents().count() == 1)
        else {
            continue;
        };
        let xml = connection.connect_domain_xml_from_native("ldoms-xml", &before.print(), 0);
        let xml = xml.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let native = connection.connect_domain_xml_to_native("ldoms-xml", &xml, 0);
        let native = native.unwrap_or_else(|error| panic!("{name}: {error:?}: {xml}"));
        let back = Message::parse(&native).expect("our own");
        for item in before.contents().flat_map(|content| content.items()) {
            let wanted = said(item);
            let same = back.items().filter(|one| one.is(&item.resource));
            let kept = same.map(said).any(|found| wanted.iter().all(|fact| found.contains(fact)));
            assert!(
                kept || wanted.is_empty(),
                "{name}: {} {wanted:?} is not in {native}",
                item.resource
            );
        }
        whole.push(name);
    }
    assert!(whole.len() >= 14, "{whole:?}");
}
