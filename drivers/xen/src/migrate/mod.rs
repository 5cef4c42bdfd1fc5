//! Migration: the tool stacks of two hosts do it between themselves, this driver says where to.
//!
//! ```text
//! source  begin: who I am   perform: sends                     confirm: nothing is left to do
//! dest             prepare: what is in the way?   finish: waits until it is there
//! ```
//!
//! The guide's command, `virsh migrate DOM --live xen:// xenmigr://HOST`, names the source itself as
//! the destination's connection: nothing can be checked then but whether somebody listens at HOST.

mod checks;
mod cookie;
mod subnets;

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use virt_driver::{Call, Job, Migration};
use virt_error::{Code, Error, Result};
use virt_model::domain::Domain as Document;
use virt_model::{ParseFlags, PrintFlags};
use virt_transport::Uri;
use virt_types::{
    DomainMigrateBegin3Params, DomainMigrateFinish3Params, DomainMigratePrepare,
    DomainMigratePrepare3Params, DomainRef, TypedParam, TypedValue, Uuid, api,
};

use crate::channels::Subject;
use crate::core::{Core, not_running};
use crate::domains::check_flags;
use crate::seen::{Life, Running};
use crate::watch::Why;
use cookie::Cookie;

use crate::{ORIGIN, XenDriver, invalid_arg, invalid_operation, operation_failed};

/// Where xend takes guests in unless another port is named.
pub(crate) const RELOCATION_PORT: u16 = 8002;
/// How long a host may take to be there.
const REACH_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a guest may take to be there after it was sent.
const ARRIVE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a guest that is paused may be one whose last part is on its way.
const PAUSED_WAIT_MAX: Duration = Duration::from_secs(10);
const ARRIVE_STEP: Duration = Duration::from_millis(50);
const FLAGS: u64 = (api::MIGRATE_LIVE | api::MIGRATE_PERSIST_DEST) as u64;

/// Where a guest goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Destination {
    host: String,
    /// Where none is named, the tool stack's own.
    port: Option<u16>,
}

impl Destination {
    /// Reads `xenmigr://host:port`, `host:port` or `host`.
    fn parse(uri: &str) -> Result<Self> {
        let wrong = || invalid_arg(format!("'{uri}' names no host, as xenmigr://HOST[:PORT] does"));
        let (host, port) = match uri.contains("://") {
            true => {
                let uri = Uri::parse(uri)?;
                if uri.scheme.as_deref() != Some("xenmigr") {
                    let detail = "only xenmigr:// migrations are supported by Xen";
                    return Err(invalid_arg(detail));
                }
                (uri.host.unwrap_or_default(), uri.port)
            }
            false => match uri.rsplit_once(':') {
                Some((host, port)) => (host.to_owned(), Some(port.parse().map_err(|_| wrong())?)),
                None => (uri.to_owned(), None),
            },
        };
        // It becomes an argument of programs: what could be taken for one of their options is no host.
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:-%".contains(c);
        if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self { host, port })
    }

    /// Whether somebody takes guests in there. xend itself only says afterwards that nobody did.
    fn reach(&self) -> Result<()> {
        let (host, port) = (&self.host, self.port.unwrap_or(RELOCATION_PORT));
        let unknown = |error: std::io::Error| {
            Error::new(Code::UnknownHost, ORIGIN, format!("cannot find host '{host}': {error}"))
        };
        let mut last = None;
        for address in (host.as_str(), port).to_socket_addrs().map_err(unknown)? {
            match TcpStream::connect_timeout(&address, REACH_WAIT_MAX) {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map(|error| error.to_string()).unwrap_or_default();
        Err(operation_failed(format!(
            "host '{host}' takes no guests at port {port} ({why}): its xend must say \
             (xend-relocation-server yes), listen beyond loopback with (xend-relocation-address ''), \
             and name this host in xend-relocation-hosts-allow"
        )))
    }
}

fn go(core: &Core, dom: &DomainRef, destination: &Destination, live: bool) -> Result<()> {
    let (_, running) = core.guest(dom)?;
    if !running.life.is_up() {
        return Err(not_running());
    }
    if core.toolstack().takes_guests_in() {
        destination.reach()?;
    }
    core.watch.expect(running.uuid, Why::MigratedAway);
    core.toolstack().migrate(&running, &destination.host, destination.port, live)
}

/// The text of a parameter.
fn text<'p>(params: &'p [TypedParam], name: &str) -> Option<&'p str> {
    params.iter().find(|param| param.field == name).and_then(|param| match &param.value {
        TypedValue::String(text) => Some(text.as_str()),
        _ => None,
    })
}

fn check_params(core: &Core, params: &[TypedParam], flags: u32) -> Result<()> {
    check(u64::from(flags), None)?;
    let known = [
        api::MIGRATE_PARAM_URI,
        api::MIGRATE_PARAM_DEST_NAME,
        api::MIGRATE_PARAM_DEST_XML,
        api::MIGRATE_PARAM_BANDWIDTH,
    ];
    let other = params.iter().find(|param| !known.contains(&param.field.as_str()));
    let Some(other) = other else { return Ok(()) };
    let what = core.hypervisor().name();
    Err(invalid_arg(format!("parameter '{}' means nothing to Xen ({what})", other.field)))
}

/// Waits until a domain has a number here.
fn arrived(core: &Core, uuid: Option<Uuid>, name: &str) -> Result<Subject> {
    let began = std::time::Instant::now();
    loop {
        let found = match uuid {
            Some(uuid) => core.with_uuid(&uuid)?,
            None => core.with_name(name)?,
        };
        // One that is paused may not be here wholly.
        let waits =
            |running: &Running| running.life == Life::Paused && began.elapsed() < PAUSED_WAIT_MAX;
        let here = |subject: &Subject| subject.running.as_ref().is_some_and(|found| !waits(found));
        if let Some(subject) = found.filter(here) {
            return Ok(subject);
        }
        if began.elapsed() >= ARRIVE_WAIT_MAX {
            return Err(operation_failed(format!("domain '{name}' has not arrived")));
        }
        std::thread::sleep(ARRIVE_STEP);
    }
}

impl Migration for XenDriver {
    fn prepare(
        &self,
        _: &Call<'_>,
        uri_in: Option<&str>,
        flags: u64,
        dname: Option<&str>,
        _resource: u64,
    ) -> Result<DomainMigratePrepare> {
        check(flags, dname)?;
        let uri_out = match uri_in {
            Some(_) => None,
            None => Some(format!("xenmigr://{}", virt_host::hostname())),
        };
        Ok(DomainMigratePrepare { cookie: Vec::new(), uri_out })
    }

    fn perform(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        _cookie: &[u8],
        uri: &str,
        flags: u64,
        dname: Option<&str>,
        _resource: u64,
    ) -> Result<()> {
        check(flags, dname)?;
        let destination = Destination::parse(uri)?;
        let live = flags & u64::from(api::MIGRATE_LIVE) != 0;
        let core = self.core();
        core.work(call, dom.uuid, Job::MigrationOp, || go(core, dom, &destination, live))
    }

    /// On the connection that was given as the destination's; the first form of the command names the
    /// source itself there, where the definition has stayed.
    fn finish(
        &self,
        _: &Call<'_>,
        dname: &str,
        _cookie: &[u8],
        _uri: &str,
        flags: u64,
    ) -> Result<DomainRef> {
        check(flags, None)?;
        let found = self.core().with_name(dname)?;
        found.map(|subject| subject.to_ref()).ok_or_else(|| {
            operation_failed(format!("domain '{dname}' has left and is not known here"))
        })
    }

    fn begin3_params(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        flags: u32,
    ) -> Result<DomainMigrateBegin3Params> {
        let core = self.core();
        check_params(core, params, flags)?;
        let (subject, running) = core.guest(dom)?;
        if !running.life.is_up() {
            return Err(not_running());
        }
        if text(params, api::MIGRATE_PARAM_DEST_NAME).is_some_and(|name| *name != *running.name) {
            return Err(renamed());
        }
        let document = core.document(&subject)?;
        let (major, minor, _) = core.hypervisor().physical()?.version;
        let bridges = subnets::bridges(&document);
        let mut subnets = subnets::own();
        subnets.retain(|subnet| bridges.contains(subnet.bridge()));
        let cookie = Cookie {
            subnets,
            instance: Some(core.instance),
            xen: Some((major, minor)),
            vendor: checks::vendor(),
            host: virt_host::hostname(),
            domain: Some(running.uuid),
        };
        let inactive = PrintFlags { inactive: true, ..PrintFlags::default() };
        Ok(DomainMigrateBegin3Params { cookie_out: cookie.print(), xml: document.to_xml(inactive) })
    }

    fn prepare3_params(
        &self,
        _: &Call<'_>,
        params: &[TypedParam],
        cookie_in: &[u8],
        flags: u32,
    ) -> Result<DomainMigratePrepare3Params> {
        let core = self.core();
        check_params(core, params, flags)?;
        let from = Cookie::parse(cookie_in);
        let given = text(params, api::MIGRATE_PARAM_URI);
        given.map(Destination::parse).transpose()?;
        let own = from.instance == Some(core.instance);
        if own && given.is_none() {
            return Err(invalid_arg("where the domain shall go is not said: xenmigr://HOST"));
        }
        if !own {
            let xml = text(params, api::MIGRATE_PARAM_DEST_XML).unwrap_or_default();
            let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
            let document = Document::load(xml, flags, &core.toolstack().host().rules())?;
            let mut found = checks::obstacles(&document, &from, &core.hypervisor().physical()?);
            let known = document.uuid.map(|uuid| core.with_uuid(&uuid)).transpose()?.flatten();
            let named = core.with_name(&document.name)?;
            if known.iter().chain(&named).any(|subject| subject.running.is_some()) {
                found.push(format!("a domain '{}' runs here already", document.name));
            }
            if !found.is_empty() {
                return Err(operation_failed(found.join("\n")));
            }
            core.note(&document)?;
        }
        let uri_out = given.is_none().then(|| format!("xenmigr://{}", virt_host::hostname()));
        Ok(DomainMigratePrepare3Params { cookie_out: from.print(), uri_out })
    }

    fn perform3_params(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        dconnuri: Option<&str>,
        params: &[TypedParam],
        cookie_in: &[u8],
        flags: u32,
    ) -> Result<Vec<u8>> {
        let core = self.core();
        check_params(core, params, flags)?;
        let uri = text(params, api::MIGRATE_PARAM_URI).or(dconnuri);
        let uri = uri.ok_or_else(|| invalid_arg("where the domain shall go is not said"))?;
        let destination = Destination::parse(uri)?;
        let live = flags & api::MIGRATE_LIVE != 0;
        core.work(call, dom.uuid, Job::MigrationOp, || go(core, dom, &destination, live))?;
        Ok(cookie_in.to_vec())
    }

    fn finish3_params(
        &self,
        call: &Call<'_>,
        params: &[TypedParam],
        cookie_in: &[u8],
        flags: u32,
        cancelled: i32,
    ) -> Result<DomainMigrateFinish3Params> {
        let core = self.core();
        check_params(core, params, flags)?;
        let from = Cookie::parse(cookie_in);
        let name = text(params, api::MIGRATE_PARAM_DEST_NAME).unwrap_or_default();
        if cancelled != 0 {
            return Err(operation_failed(format!("domain '{name}' has stayed where it was")));
        }
        if from.instance == Some(core.instance) {
            let uuid = from.domain.unwrap_or_default();
            let dom = DomainRef { name: name.into(), uuid, id: -1 };
            return Ok(DomainMigrateFinish3Params { dom, cookie_out: Vec::new() });
        }
        let subject = call.waiting(|| arrived(core, from.domain, name))?;
        if flags & api::MIGRATE_PERSIST_DEST != 0 && !subject.kept {
            core.definitions().keep(&core.document(&subject)?)?;
        }
        Ok(DomainMigrateFinish3Params { dom: subject.to_ref(), cookie_out: Vec::new() })
    }

    /// The tool stack has let the guest go, or has let it go on.
    fn confirm3_params(
        &self,
        _: &Call<'_>,
        dom: &DomainRef,
        params: &[TypedParam],
        _cookie_in: &[u8],
        flags: u32,
        cancelled: i32,
    ) -> Result<()> {
        let core = self.core();
        check_params(core, params, flags)?;
        let runs = core.with_uuid(&dom.uuid)?.is_some_and(|subject| subject.running.is_some());
        match (cancelled != 0, runs) {
            (false, true) => Err(operation_failed(format!(
                "domain '{}' has arrived and is still here",
                dom.name
            ))),
            _ => Ok(()),
        }
    }
}

fn check(flags: u64, dname: Option<&str>) -> Result<()> {
    let unknown = u32::try_from(flags & !FLAGS).unwrap_or(u32::MAX);
    check_flags(unknown, 0, "libxlDomainMigrate")?;
    match dname {
        Some(_) => Err(renamed()),
        None => Ok(()),
    }
}

fn renamed() -> Error {
    invalid_operation("Xen cannot rename a domain while it migrates")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_with_and_without_ports() {
        let at = |host: &str, port| Some(Destination { host: host.to_owned(), port });
        assert_eq!(Destination::parse("xenmigr://b/").ok(), at("b", None));
        assert_eq!(Destination::parse("xenmigr://b:9000").ok(), at("b", Some(9000)));
        assert_eq!(Destination::parse("b:9000").ok(), at("b", Some(9000)));
        assert_eq!(Destination::parse("b.example.org").ok(), at("b.example.org", None));
        for uri in
            ["tcp://b", "xenmigr:///", "b:x", "", "-oProxyCommand=x", "xenmigr://-s/", "a b", "a;b"]
        {
            assert!(Destination::parse(uri).is_err(), "{uri}");
        }
    }
}
