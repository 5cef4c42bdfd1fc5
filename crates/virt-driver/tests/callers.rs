//! Three callers the seam must carry: a C function, a start that needs other drivers, a migration.
//!
//! They are as small as they can be; what they changed in the seam is in ARCHITECTURE.md.
#![allow(clippy::unwrap_used)] // what fails here fails the test

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use virt_driver::{
    AccessPolicy, Asked, AsyncJob, Call, CallContext, Caller, Cell, Connection, Domains, Driver,
    Job, Migration, Networks, Secrets, Volumes, api, unsupported,
};
use virt_error::{Code, Error, Origin, Result};
use virt_types::{
    DomainMigrateBegin3, DomainMigrateFinish3, DomainMigratePrepare3, DomainRef, NetworkRef,
    SecretRef, StorageVolRef, Uuid,
};

const WAIT: Duration = Duration::from_millis(20);

fn domain(name: &str) -> DomainRef {
    DomainRef { name: name.into(), uuid: Uuid([3; 16]), id: -1 }
}

/// A hypervisor with one guest, whose start and migration are what is tried here.
#[derive(Default)]
struct Hypervisor {
    running: Mutex<Vec<String>>,
    guest: Arc<Cell<()>>,
    /// A migration's job between its phases, by guest.
    leaving: Arc<Mutex<HashMap<String, AsyncJob<()>>>>,
}

impl Driver for Hypervisor {
    fn name(&self) -> &str {
        "FAKE"
    }

    fn domains(&self) -> Option<&dyn Domains> {
        Some(self)
    }

    fn migration(&self) -> Option<&dyn Migration> {
        Some(self)
    }
}

impl Domains for Hypervisor {
    fn lookup_by_uuid(&self, _call: &Call<'_>, _uuid: &Uuid) -> Result<DomainRef> {
        Ok(domain("a"))
    }

    fn create(&self, call: &Call<'_>, dom: &DomainRef, _flags: u32) -> Result<DomainRef> {
        let connection = call.connection;
        let network = connection.networks()?.lookup_by_name(call, "default")?;
        let bridge = connection.networks()?.get_bridge_name(call, &network)?;
        let volume = connection.volumes()?.lookup_by_key(call, "disk-key")?;
        let path = connection.volumes()?.get_path(call, &volume)?;
        let secret = connection.secrets()?.lookup_by_uuid(call, &Uuid([9; 16]))?;
        let value = connection.secrets()?.get_value(call, &secret, 0)?;
        let started = format!("{} on {bridge} from {path} with {} bytes", dom.name, value.len());
        self.running.lock().unwrap().push(started);
        Ok(DomainRef { id: 1, ..dom.clone() })
    }

    fn get_os_type(&self, call: &Call<'_>, _dom: &DomainRef) -> Result<String> {
        let turn = self.guest.begin(Job::Query, call.api.name, WAIT)?;
        Ok(turn.read(|()| "hvm".into()))
    }

    fn suspend(&self, call: &Call<'_>, _dom: &DomainRef) -> Result<()> {
        self.guest.begin(Job::Modify, call.api.name, WAIT).map(drop)
    }
}

impl Migration for Hypervisor {
    fn begin3(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        _xmlin: Option<&str>,
        _flags: u64,
        _dname: Option<&str>,
        _resource: u64,
    ) -> Result<DomainMigrateBegin3> {
        let job = self.guest.begin_async(&[Job::Query, Job::Abort], call.api.name, WAIT)?;
        self.leaving.lock().unwrap().insert(dom.name.to_string(), job);
        let (leaving, name) = (Arc::clone(&self.leaving), dom.name.to_string());
        call.connection.on_close(move || drop(leaving.lock().unwrap().remove(&name)));
        Ok(DomainMigrateBegin3 { cookie_out: b"b".to_vec(), xml: dom.name.to_string() })
    }

    fn prepare3(
        &self,
        _call: &Call<'_>,
        cookie_in: &[u8],
        _uri_in: Option<&str>,
        _flags: u64,
        _dname: Option<&str>,
        _resource: u64,
        _dom_xml: &str,
    ) -> Result<DomainMigratePrepare3> {
        let cookie_out = [cookie_in, b"p"].concat();
        Ok(DomainMigratePrepare3 { cookie_out, uri_out: Some("tcp:there".into()) })
    }

    fn perform3(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        _xmlin: Option<&str>,
        cookie_in: &[u8],
        _dconnuri: Option<&str>,
        _uri: Option<&str>,
        _flags: u64,
        _dname: Option<&str>,
        _resource: u64,
    ) -> Result<Vec<u8>> {
        let leaving = self.leaving.lock().unwrap();
        let Some(job) = leaving.get(&*dom.name) else { return unsupported() };
        drop(job.turn(call.api.name, WAIT)?);
        Ok([cookie_in, b"x"].concat())
    }

    fn finish3(
        &self,
        _call: &Call<'_>,
        dname: &str,
        cookie_in: &[u8],
        _dconnuri: Option<&str>,
        _uri: Option<&str>,
        _flags: u64,
        cancelled: i32,
    ) -> Result<DomainMigrateFinish3> {
        if cancelled != 0 {
            return Err(Error::new(Code::OperationAborted, Origin::None, "cancelled"));
        }
        self.running.lock().unwrap().push(dname.to_owned());
        let dom = DomainRef { id: 7, ..domain(dname) };
        Ok(DomainMigrateFinish3 { dom, cookie_out: [cookie_in, b"f"].concat() })
    }

    fn confirm3(
        &self,
        _call: &Call<'_>,
        dom: &DomainRef,
        _cookie_in: &[u8],
        _flags: u64,
        cancelled: i32,
    ) -> Result<()> {
        self.leaving.lock().unwrap().remove(&*dom.name);
        if cancelled == 0 {
            self.running.lock().unwrap().clear();
        }
        Ok(())
    }
}

/// The drivers below the hypervisor in the stack.
struct Below;

impl Driver for Below {
    fn name(&self) -> &str {
        "BELOW"
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }

    fn secrets(&self) -> Option<&dyn Secrets> {
        Some(self)
    }
}

impl Networks for Below {
    fn lookup_by_name(&self, _call: &Call<'_>, name: &str) -> Result<NetworkRef> {
        Ok(NetworkRef { name: name.into(), uuid: Uuid([1; 16]) })
    }

    fn get_bridge_name(&self, _call: &Call<'_>, _net: &NetworkRef) -> Result<String> {
        Ok("virbr0".into())
    }
}

impl Volumes for Below {
    fn lookup_by_key(&self, _call: &Call<'_>, key: &str) -> Result<StorageVolRef> {
        Ok(StorageVolRef { pool: "p".into(), name: "v".into(), key: key.into() })
    }

    fn get_path(&self, _call: &Call<'_>, _vol: &StorageVolRef) -> Result<String> {
        Ok("/pool/v".into())
    }
}

impl Secrets for Below {
    fn lookup_by_uuid(&self, _call: &Call<'_>, uuid: &Uuid) -> Result<SecretRef> {
        Ok(SecretRef { uuid: *uuid, usage_type: 0, usage_id: String::new() })
    }

    fn get_value(&self, _call: &Call<'_>, _secret: &SecretRef, _flags: u32) -> Result<Vec<u8>> {
        Ok(b"key".to_vec())
    }
}

/// Lets its users handle domains and nothing else.
struct DomainsOnly;

impl AccessPolicy for DomainsOnly {
    fn allowed(&self, asked: &Asked<'_>) -> bool {
        asked.kind == "domain"
    }
}

thread_local! {
    static LAST_ERROR: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// What a C caller holds: the object and the connection it came from.
struct Handle {
    connection: Connection,
    domain: DomainRef,
}

/// The shape of every exported function: clear the last error, call, keep the error, give a number.
fn vir_domain_suspend(handle: Option<&Arc<Handle>>) -> i32 {
    LAST_ERROR.set(None);
    let outcome = match handle {
        Some(handle) => handle.connection.domain_suspend(&handle.domain),
        None => Err(Error::new(Code::InvalidDomain, Origin::Dom, "virDomainSuspend")),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            LAST_ERROR.set(Some(error));
            -1
        }
    }
}

#[test]
fn a_c_function_has_its_handle_and_its_threads_last_error() {
    let driver: Arc<dyn Driver> = Arc::new(Hypervisor::default());
    let open = |read_only| Connection::new(vec![Arc::clone(&driver)], "fake:///", read_only);
    let handle = |read_only| Arc::new(Handle { connection: open(read_only), domain: domain("a") });
    assert_eq!(vir_domain_suspend(Some(&handle(false))), 0);
    assert!(LAST_ERROR.with_borrow(Option::is_none));
    assert_eq!(vir_domain_suspend(Some(&handle(true))), -1);
    let message = LAST_ERROR.with_borrow(|error| error.clone().unwrap().message().to_owned());
    assert_eq!(message, "operation forbidden: read only access prevents virDomainSuspend");
    let elsewhere = std::thread::spawn(|| LAST_ERROR.with_borrow(Option::is_none)).join();
    assert!(elsewhere.unwrap(), "the error belongs to its thread");
    assert_eq!(vir_domain_suspend(None), -1);
}

#[test]
fn a_start_reaches_networks_volumes_and_secrets_with_the_daemons_right_not_the_callers() {
    let hypervisor = Arc::new(Hypervisor::default());
    let stack: Vec<Arc<dyn Driver>> = vec![hypervisor.clone(), Arc::new(Below)];
    let connection = Connection::new(stack, "fake:///", false)
        .for_caller(Caller::default(), Some(Arc::new(DomainsOnly)));
    connection.domain_create(&domain("a")).unwrap();
    let running = hypervisor.running.lock().unwrap().clone();
    assert_eq!(running, ["a on virbr0 from /pool/v with 3 bytes"]);
    let denied = connection.network_lookup_by_name("default").unwrap_err();
    assert!(denied.is(Code::AccessDenied), "{denied}");
}

#[test]
fn a_migration_keeps_its_job_from_begin_to_confirm() {
    let here = Arc::new(Hypervisor::default());
    let there = Arc::new(Hypervisor::default());
    let connect = |driver: &Arc<Hypervisor>| {
        Connection::new(vec![driver.clone() as Arc<dyn Driver>], "fake:///", false)
    };
    let (source, target) = (connect(&here), connect(&there));
    let dom = domain("a");
    let begun = source.domain_migrate_begin3(&dom, None, 0, None, 0).unwrap();
    let refused = source.domain_suspend(&dom).unwrap_err();
    assert!(refused.is(Code::OperationTimeout), "{refused}");
    assert_eq!(source.domain_get_os_type(&dom).as_deref(), Ok("hvm"), "a query runs beside it");
    let cookie = &begun.cookie_out;
    let prepared = target.domain_migrate_prepare3(cookie, None, 0, None, 0, &begun.xml).unwrap();
    let uri = prepared.uri_out.as_deref();
    let cookie = source
        .domain_migrate_perform3(&dom, None, &prepared.cookie_out, None, uri, 0, None, 0)
        .unwrap();
    let done = target.domain_migrate_finish3("a", &cookie, None, uri, 0, 0).unwrap();
    assert_eq!(done.cookie_out, b"bpxf");
    source.domain_migrate_confirm3(&dom, &done.cookie_out, 0, 0).unwrap();
    assert_eq!(*there.running.lock().unwrap(), ["a"]);
    source.domain_suspend(&dom).unwrap();
}

#[test]
fn what_a_caller_began_ends_when_it_goes() {
    let driver = Arc::new(Hypervisor::default());
    let open = || Connection::new(vec![driver.clone() as Arc<dyn Driver>], "fake:///", false);
    let dom = domain("a");
    let (leaver, other) = (open(), open());
    leaver.domain_migrate_begin3(&dom, None, 0, None, 0).unwrap();
    assert!(other.domain_suspend(&dom).is_err());
    // Some call of its may be at work still.
    let at_work = leaver.clone();
    leaver.hang_up();
    other.domain_suspend(&dom).unwrap();
    // What that call begins now ends at once.
    at_work.domain_migrate_begin3(&dom, None, 0, None, 0).unwrap();
    other.domain_suspend(&dom).unwrap();
}

#[test]
fn a_call_whose_caller_has_gone_begins_nothing() {
    const LONG: Duration = Duration::from_secs(600);
    let cell = Cell::new(());
    let context = Arc::new(CallContext::new(Vec::new(), |_| {}));
    let connection = Connection::new(Vec::new(), "fake:///", false);
    let connection = connection.with_context(Arc::clone(&context));
    let call = Call { connection: &connection, api: &api::DOMAIN_SUSPEND };
    drop(cell.begin_for(Job::Modify, &call, LONG).unwrap());
    let done = Arc::new(Mutex::new(0));
    let act = || {
        let done = Arc::clone(&done);
        move || *done.lock().unwrap() += 1
    };
    call.on_cancel(act());
    let turn = cell.begin(Job::Modify, "another", WAIT).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| cell.begin_for(Job::Modify, &call, LONG).map(drop));
        std::thread::sleep(WAIT);
        context.cancel.cancel();
        let error = waits.join().unwrap().unwrap_err();
        assert!(error.is(Code::OperationAborted), "{error}");
    });
    assert_eq!(*done.lock().unwrap(), 1);
    // It was cancelled before it could say what is to be done then.
    call.on_cancel(act());
    context.cancel.cancel();
    assert_eq!(*done.lock().unwrap(), 2);
    drop(turn);
}
