//! A world for each test, documents, and a listener.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_driver::{Connection, EventFilter, Registry};
use virt_types::{Event, EventClass};

pub(crate) fn registry() -> Registry {
    Registry::new().with(driver_test::opener())
}

/// A world of the test's own that looks like the default one.
///
/// Tests of one binary run as threads of one process under `cargo test`, which would share it.
pub(crate) fn open() -> Connection {
    driver_test::fresh_world().expect("a default world")
}

/// A small document; `number` makes the UUID.
pub(crate) fn definition(name: &str, number: u8) -> String {
    format!(
        "<domain type='test'>\
           <name>{name}</name>\
           <uuid>11111111-aaaa-bbbb-cccc-0000000000{number:02x}</uuid>\
           <memory unit='KiB'>65536</memory>\
           <vcpu>1</vcpu>\
           <os><type>hvm</type></os>\
         </domain>"
    )
}

/// A node file of its own in a folder of its own.
pub(crate) struct NodeFile(pub(crate) PathBuf);

impl NodeFile {
    pub(crate) fn new(name: &str, content: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("node-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("node.xml"), content).expect("a file");
        Self(folder)
    }

    pub(crate) fn open(&self, query: &str) -> virt_error::Result<Connection> {
        let uri = format!("test://{}/node.xml{query}", self.0.display());
        registry().open(Some(&uri), false)
    }
}

impl Drop for NodeFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn locked(events: &Mutex<Vec<Event>>) -> MutexGuard<'_, Vec<Event>> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the events it hears.
pub(crate) struct Recorder {
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    pub(crate) fn new(connection: &Connection, class: EventClass, id: i32) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        connection
            .subscribe(
                EventFilter::all(class, id),
                Arc::new(move |event: &Event| locked(&sink).push(event.clone())),
            )
            .expect("a subscription");
        Self { events }
    }

    pub(crate) fn lifecycle(connection: &Connection) -> Self {
        Self::new(connection, EventClass::Domain, 0)
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        locked(&self.events).clone()
    }

    /// Event, detail and id of what happened to a domain.
    pub(crate) fn of(&self, name: &str) -> Vec<(i32, i32, i32)> {
        let pick = |event: &Event| match event {
            Event::DomainLifecycle { dom, event, detail } if *dom.name == *name => {
                Some((*event, *detail, dom.id))
            }
            _ => None,
        };
        locked(&self.events).iter().filter_map(pick).collect()
    }
}
