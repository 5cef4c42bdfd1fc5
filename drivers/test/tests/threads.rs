//! Many threads in one world: whatever they do at a time, what can be seen fits together.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use support::{Recorder, definition, open};
use virt_driver::Connection;
use virt_error::Code;
use virt_types::{DomainSnapshotRef, Name, api};

const WORKERS: u8 = 6;
const ROUNDS: u32 = 25;

/// What one thread does over and over with objects of its own, and with some that all share.
fn work(connection: &Connection, own: u8) {
    for round in 0..ROUNDS {
        guests(connection, own, round);
        let network = format!("<network><name>net{own}</name></network>");
        let net = connection.network_define_xml(&network).expect("a network of one's own");
        connection.network_create(&net).expect("it starts");
        connection.network_destroy(&net).expect("it stops");
        connection.network_undefine(&net).expect("it goes");
        let pool = connection.storage_pool_lookup_by_name("default-pool").expect("it is there");
        let xml = format!("<volume><name>vol{own}</name><capacity>4096</capacity></volume>");
        let volume = connection.storage_vol_create_xml(&pool, &xml, 0).expect("a volume");
        connection.storage_vol_delete(&volume, 0).expect("it goes");
        shared(connection, own);
    }
}

fn guests(connection: &Connection, own: u8, round: u32) {
    let xml = definition(&format!("own{own}"), 10 + own);
    let dom = connection.domain_define_xml(&xml).expect("a guest of one's own");
    connection.domain_create(&dom).expect("it starts");
    let mut parent: Option<Name> = None;
    for depth in 0..3 {
        let name = format!("s{round}-{depth}");
        let xml = format!("<domainsnapshot><name>{name}</name></domainsnapshot>");
        let made = connection.domain_snapshot_create_xml(&dom, &xml, 0).expect("a snapshot");
        let above = connection.domain_snapshot_get_parent(&made, 0).ok().map(|found| found.name);
        assert_eq!(above, parent);
        parent = Some(made.name);
    }
    let root = DomainSnapshotRef { name: format!("s{round}-0").into(), dom: dom.clone() };
    connection.domain_revert_to_snapshot(&root, 0).expect("it goes back");
    let whole = api::DOMAIN_SNAPSHOT_DELETE_CHILDREN;
    connection.domain_snapshot_delete(&root, whole).expect("all of them go");
    connection.domain_destroy(&dom).expect("it stops");
    connection.domain_undefine(&dom).expect("it goes");
}

/// Calls on what others change at the same time: each works, or is refused for the state it met.
fn shared(connection: &Connection, own: u8) {
    let xml = definition("shared", 99);
    let results = [
        connection.domain_define_xml(&xml).map(drop),
        connection.domain_lookup_by_name("shared").and_then(|dom| connection.domain_create(&dom)),
        connection.domain_lookup_by_name("shared").and_then(|dom| match own % 3 {
            0 => connection.domain_set_autostart(&dom, 1),
            1 => connection.domain_suspend(&dom),
            _ => connection.domain_set_vcpus(&dom, 1),
        }),
        connection.domain_lookup_by_name("shared").and_then(|dom| connection.domain_destroy(&dom)),
        connection.domain_lookup_by_name("shared").and_then(|dom| connection.domain_undefine(&dom)),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        let refused = [Code::NoDomain, Code::OperationInvalid, Code::InternalError];
        assert!(refused.iter().any(|code| error.is(*code)), "{error:?}");
    }
}

/// What must hold at any moment, whoever does what.
fn watch(connection: &Connection, done: &AtomicBool) -> u32 {
    let mut looks = 0;
    while !done.load(Ordering::Acquire) || looks == 0 {
        let list = connection.connect_list_all_domains(0).expect("a list");
        let names: BTreeSet<&str> = list.iter().map(|dom| &*dom.name).collect();
        let uuids: BTreeSet<_> = list.iter().map(|dom| dom.uuid).collect();
        let ids: Vec<i32> = list.iter().map(|dom| dom.id).filter(|id| *id > 0).collect();
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!((names.len(), uuids.len()), (list.len(), list.len()), "{list:?}");
        assert_eq!(distinct.len(), ids.len(), "an id was given twice: {list:?}");
        assert!(names.contains("test"), "{list:?}");
        for dom in &list {
            let seen = connection.domain_get_xml_desc(dom, 0);
            let xml = match &seen {
                Err(error) => {
                    assert!(error.is(Code::NoDomain), "{error:?}");
                    continue;
                }
                Ok(xml) => virt_xml::parse(xml).expect("a document"),
            };
            assert_eq!(xml.child_text("name").as_deref(), Some(&*dom.name));
            assert_eq!(xml.child_text("uuid").as_deref(), Some(dom.uuid.to_string().as_str()));
        }
        let stats = connection.connect_get_all_domain_stats(&[], 0, 0).expect("statistics");
        assert!(stats.iter().any(|record| &*record.dom.name == "test"));
        looks += 1;
    }
    looks
}

#[test]
fn many_threads_leave_the_world_as_it_was() {
    let connection = open();
    let events = Recorder::lifecycle(&connection);
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&connection, &done));
        let workers: Vec<_> = (0..WORKERS)
            .map(|own| {
                scope.spawn({
                    let c = &connection;
                    move || work(c, own)
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Release);
        for worker in ended {
            worker.expect("no thread found anything wrong");
        }
        watcher.join().expect("nobody saw anything wrong")
    });
    assert!(looks > 0);
    // One that others undefined while it was started is left running, stored nowhere.
    if let Ok(left) = connection.domain_lookup_by_name("shared") {
        let _ = connection.domain_destroy(&left);
        let _ = connection.domain_undefine(&left);
    }
    let names: Vec<_> = connection.connect_list_all_domains(0).unwrap();
    assert_eq!(names.iter().map(|dom| &*dom.name).collect::<Vec<_>>(), ["test"]);
    let nets = connection.connect_list_all_networks(0).unwrap();
    assert_eq!(nets.iter().map(|net| &*net.name).collect::<Vec<_>>(), ["default"]);
    let pool = connection.storage_pool_lookup_by_name("default-pool").unwrap();
    assert!(connection.storage_pool_list_all_volumes(&pool, 0).unwrap().is_empty());
    assert_eq!(connection.storage_pool_get_info(&pool).unwrap().allocation, 0);
    told_in_order(&events);
}

/// The events of every guest tell one life after another, none of them torn.
fn told_in_order(events: &Recorder) {
    let mut running: BTreeMap<String, bool> = BTreeMap::new();
    for own in 0..WORKERS {
        let name = format!("own{own}");
        let mut starts = 0;
        for (event, ..) in events.of(&name) {
            let runs = running.entry(name.clone()).or_default();
            match event {
                api::DOMAIN_EVENT_STARTED => {
                    assert!(!*runs, "{name} started while it ran");
                    (*runs, starts) = (true, starts + 1);
                }
                api::DOMAIN_EVENT_STOPPED => {
                    assert!(*runs, "{name} stopped while it was off");
                    *runs = false;
                }
                _ => {}
            }
        }
        // Each round starts it once itself and once more by going back to a snapshot.
        assert_eq!(starts, 2 * ROUNDS, "{name}");
    }
}
