//! A domain: its definitions, its state, and who may change them.

use std::sync::Arc;

use virt_driver::{Call, DomainFacts, DomainGlance, Job, domain_matches};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Definition;
use virt_model::snapshot::{Checkpoint, Snapshot};
use virt_types::{DomainInfo, DomainRef, DomainSecurityLabel, Event, api};

use crate::clock::now_ns;
use crate::moment::Moments;
use crate::object::{Family, Object};
use crate::world::World;

pub(crate) mod balloon;
pub(crate) mod blkio;
pub(crate) mod crash;
pub(crate) mod define;
pub(crate) mod device;
pub(crate) mod guest;
pub(crate) mod iothread;
pub(crate) mod lifecycle;
pub(crate) mod metadata;
pub(crate) mod rules;
pub(crate) mod save;
pub(crate) mod stats;
pub(crate) mod taint;
pub(crate) mod throttle;
pub(crate) mod tune;
pub(crate) mod vcpu;

/// A domain as it is listed.
pub(crate) type Domain = Object<State>;

/// The changing part of a domain.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// What runs, or else what is stored.
    pub(crate) current: Arc<Definition>,
    /// What is stored, while something runs that is stored too.
    pub(crate) stored: Option<Arc<Definition>>,
    pub(crate) id: Option<i32>,
    pub(crate) persistent: bool,
    pub(crate) autostart: bool,
    pub(crate) managed_save: bool,
    /// `virDomainState` and its reason.
    pub(crate) state: i32,
    pub(crate) reason: i32,
    pub(crate) snapshots: Moments<Snapshot>,
    pub(crate) checkpoints: Moments<Checkpoint>,
    /// How IOThreads poll, whichever definition they stand in.
    iothreads: Vec<iothread::Polling>,
    /// What the guest's file systems and clock were told.
    guest: guest::Guest,
    pub(crate) taints: taint::Taints,
}

impl State {
    pub(crate) fn active(&self) -> bool {
        self.id.is_some()
    }

    pub(crate) fn set_state(&mut self, state: i32, reason: i32) {
        (self.state, self.reason) = (state, reason);
    }

    /// The definition that a start would take.
    pub(crate) fn stored(&self) -> &Arc<Definition> {
        self.stored.as_ref().unwrap_or(&self.current)
    }

    /// The definition that a document is asked for.
    pub(crate) fn described(&self, flags: u32) -> Arc<Definition> {
        let inactive = flags & api::DOMAIN_XML_INACTIVE != 0;
        Arc::clone(if inactive { self.stored() } else { &self.current })
    }

    /// `virDomainGetSecurityLabel`: only what runs has one.
    pub(crate) fn label(&self) -> DomainSecurityLabel {
        let label = if self.active() { "libvirt-test" } else { "" };
        DomainSecurityLabel { label: label.to_owned(), enforcing: self.active() }
    }

    /// `virDomainGetInfo`.
    pub(crate) fn info(&self) -> DomainInfo {
        DomainInfo {
            state: u8::try_from(self.state).unwrap_or_default(),
            max_mem: self.current.memory.kib,
            memory: self.current.current_memory_kib(),
            nr_virt_cpu: u16::try_from(vcpu::online(&self.current)).unwrap_or(u16::MAX),
            cpu_time: now_ns(),
        }
    }

    pub(crate) fn facts(&self) -> DomainFacts {
        DomainFacts {
            active: self.active(),
            persistent: self.persistent,
            state: self.state,
            managed_save: self.managed_save,
            autostart: self.autostart,
            snapshot: !self.snapshots.is_empty(),
            checkpoint: !self.checkpoints.is_empty(),
        }
    }

    /// The definition that a change with these `VIR_DOMAIN_AFFECT_…` flags is for.
    pub(crate) fn affected(&self, flags: u32) -> Result<&Arc<Definition>> {
        Ok(match self.target(flags)? {
            Target::Current => &self.current,
            Target::Stored => self.stored(),
        })
    }

    /// The same, to be changed.
    pub(crate) fn affected_mut(&mut self, flags: u32) -> Result<&mut Definition> {
        let target = self.target(flags)?;
        Ok(self.definition_mut(target))
    }

    /// Makes the same change in each definition that the flags are for.
    pub(crate) fn change_affected(
        &mut self,
        flags: u32,
        mut edit: impl FnMut(&mut Definition),
    ) -> Result<()> {
        const BOTH: u32 = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;
        if flags & BOTH != BOTH {
            edit(self.affected_mut(flags)?);
            return Ok(());
        }
        self.target(api::DOMAIN_AFFECT_LIVE)?;
        self.target(api::DOMAIN_AFFECT_CONFIG)?;
        edit(self.definition_mut(Target::Current));
        edit(self.definition_mut(Target::Stored));
        Ok(())
    }

    fn definition_mut(&mut self, target: Target) -> &mut Definition {
        let definition = match (target, &mut self.stored) {
            (Target::Stored, Some(stored)) => stored,
            _ => &mut self.current,
        };
        Arc::make_mut(definition)
    }

    fn target(&self, flags: u32) -> Result<Target> {
        let live = flags & api::DOMAIN_AFFECT_LIVE != 0;
        let config = flags & api::DOMAIN_AFFECT_CONFIG != 0;
        if live && config {
            let message = "Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are \
                           mutually exclusive";
            let function = "virDomainObjGetOneDefState";
            return Err(Error::argument(Origin::Domain, function, "flags", message.to_owned()));
        }
        if live {
            self.require_active()?;
        }
        if config && !self.persistent {
            let detail = "transient domains do not have any persistent config";
            return Err(Error::new(Code::OperationInvalid, Origin::Domain, detail));
        }
        Ok(if config { Target::Stored } else { Target::Current })
    }

    /// Refuses what only a running domain can do.
    pub(crate) fn require_active(&self) -> Result<()> {
        if self.active() {
            return Ok(());
        }
        Err(Error::new(Code::OperationInvalid, Origin::Domain, "domain is not running"))
    }
}

/// Which of a domain's two definitions.
#[derive(Clone, Copy)]
enum Target {
    Current,
    Stored,
}

impl Family for State {
    const WHAT: &'static str = "domain";
    const ORIGIN: Origin = Origin::Domain;

    type Glance = DomainGlance;

    fn show(&self, glance: &DomainGlance) {
        glance.set(self.id.unwrap_or(-1), &self.facts());
    }

    fn is_active(&self) -> bool {
        self.active()
    }

    fn lost(_: &str) -> Error {
        not_found()
    }

    fn busy(name: &str) -> String {
        format!("domain '{name}' is already active")
    }
}

impl State {
    /// A domain that does not run.
    fn new(definition: Arc<Definition>) -> Self {
        Self {
            current: definition,
            stored: None,
            id: None,
            persistent: false,
            autostart: false,
            managed_save: false,
            state: api::DOMAIN_SHUTOFF,
            reason: api::DOMAIN_SHUTOFF_UNKNOWN,
            snapshots: Moments::default(),
            checkpoints: Moments::default(),
            iothreads: Vec::new(),
            guest: guest::Guest::default(),
            taints: taint::Taints::default(),
        }
    }
}

impl Domain {
    pub(crate) fn to_ref(&self) -> DomainRef {
        self.read(|state| self.ref_at(state))
    }

    pub(crate) fn ref_at(&self, state: &State) -> DomainRef {
        DomainRef { name: self.name.clone(), uuid: self.uuid, id: state.id.unwrap_or(-1) }
    }
}

/// Compat: the test driver gives no detail.
pub(crate) fn not_found() -> Error {
    Error::bare(Code::NoDomain, Origin::Test)
}

impl World {
    /// The domains that pass the filters of `virConnectListAllDomains`.
    pub(crate) fn list_domains(&self, flags: u32) -> Vec<DomainRef> {
        self.domains.collect(|domain| {
            let (id, facts) = domain.glance.get();
            let (name, uuid) = (&domain.name, domain.uuid);
            domain_matches(flags, &facts).then(|| DomainRef { name: name.clone(), uuid, id })
        })
    }

    /// The domain that a caller means.
    pub(crate) fn domain(&self, dom: &DomainRef) -> Result<Arc<Domain>> {
        self.domains.by_uuid(&dom.uuid).ok_or_else(not_found)
    }

    /// Looks at the domain that a caller means.
    pub(crate) fn look<R>(
        &self,
        dom: &DomainRef,
        look: impl FnOnce(&State) -> Result<R>,
    ) -> Result<R> {
        self.domain(dom)?.read(look)
    }

    /// Changes the domain that a caller means, in a turn of its own.
    pub(crate) fn change<R>(
        &self,
        call: &Call<'_>,
        dom: &DomainRef,
        edit: impl FnOnce(&mut State) -> Result<R>,
    ) -> Result<R> {
        self.domain(dom)?.begin(call, Job::Modify)?.change(edit)
    }

    pub(crate) fn publish_lifecycle(&self, dom: DomainRef, event: i32, detail: i32) {
        self.events.publish(&Event::DomainLifecycle { dom, event, detail });
    }
}

/// The filters of a list of domains.
pub(crate) const LIST_FILTERS: u32 = api::CONNECT_LIST_DOMAINS_ACTIVE
    | api::CONNECT_LIST_DOMAINS_INACTIVE
    | api::CONNECT_LIST_DOMAINS_PERSISTENT
    | api::CONNECT_LIST_DOMAINS_TRANSIENT
    | api::CONNECT_LIST_DOMAINS_RUNNING
    | api::CONNECT_LIST_DOMAINS_PAUSED
    | api::CONNECT_LIST_DOMAINS_SHUTOFF
    | api::CONNECT_LIST_DOMAINS_OTHER
    | api::CONNECT_LIST_DOMAINS_MANAGEDSAVE
    | api::CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE
    | api::CONNECT_LIST_DOMAINS_AUTOSTART
    | api::CONNECT_LIST_DOMAINS_NO_AUTOSTART
    | api::CONNECT_LIST_DOMAINS_HAS_SNAPSHOT
    | api::CONNECT_LIST_DOMAINS_NO_SNAPSHOT
    | api::CONNECT_LIST_DOMAINS_HAS_CHECKPOINT
    | api::CONNECT_LIST_DOMAINS_NO_CHECKPOINT;

/// What can be asked of a domain's document.
pub(crate) const XML_FLAGS: u32 =
    api::DOMAIN_XML_SECURE | api::DOMAIN_XML_INACTIVE | api::DOMAIN_XML_MIGRATABLE;

/// The flags that choose between the running and the stored definition.
pub(crate) const AFFECT: u32 = api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG;

/// The caller takes strings in an answer of parameters.
pub(crate) const STRING_OKAY: u32 = api::TYPED_PARAM_STRING_OKAY;
