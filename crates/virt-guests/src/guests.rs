//! The domains of a driver: found, listed, worked on one job at a time, and their documents.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use virt_driver::{Call, EventBus, Job, Table, Turn, domain_matches};
use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::{Device, Domain as Document, DomainRules, VirtType};
use virt_model::{Flags, ParseFlags, PrintFlags};
use virt_types::{DomainRef, Event, Uuid, api};

use crate::guest::{Data, Definition, Guest, Live, not_running};
use crate::store_error;

/// Limit: how long a call waits for another one on the same guest; libvirt's own.
pub const JOB_WAIT_MAX: Duration = Duration::from_secs(30);

/// Limit: a document larger than this is no definition of ours.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// What the driver brings to reading documents.
pub type Rules = Arc<dyn DomainRules + Send + Sync>;

/// What is done with a guest when a job on it has ended.
type Freed<L> = Box<dyn Fn(&Arc<Guest<L>>) + Send + Sync>;

/// All domains of one driver.
pub struct Guests<L: Live> {
    pub(crate) table: Table<Guest<L>>,
    pub events: EventBus,
    /// Where definitions lie.
    pub(crate) config: PathBuf,
    pub(crate) origin: Origin,
    rules: Rules,
    last_id: AtomicI32,
    freed: OnceLock<Freed<L>>,
}

/// Which of the running guest and the stored definition a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impact {
    pub live: bool,
    pub config: bool,
}

impl<L: Live> Guests<L> {
    /// Those whose definitions are in `config`; errors come from `origin`.
    pub fn new(config: &Path, origin: Origin, rules: Rules) -> Self {
        Self {
            table: Table::new(),
            events: EventBus::new(),
            config: config.to_owned(),
            origin,
            rules,
            last_id: AtomicI32::new(0),
            freed: OnceLock::new(),
        }
    }

    /// What is done whenever a job of this table's own calls has ended; said once.
    pub fn when_freed(&self, act: impl Fn(&Arc<Guest<L>>) + Send + Sync + 'static) {
        let _ = self.freed.set(Box::new(act));
    }

    pub(crate) fn freed(&self, guest: &Arc<Guest<L>>) {
        if let Some(act) = self.freed.get() {
            act(guest);
        }
    }

    /// The next domain id: never one that was given before.
    pub fn next_id(&self) -> i32 {
        self.last_id.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// An id that an earlier daemon gave.
    pub fn saw_id(&self, id: i32) {
        self.last_id.fetch_max(id, Ordering::Relaxed);
    }

    pub fn all(&self) -> Vec<Arc<Guest<L>>> {
        self.table.all()
    }

    /// The domain that a caller names.
    pub fn find(&self, dom: &DomainRef) -> Result<Arc<Guest<L>>> {
        self.table.by_uuid(&dom.uuid).ok_or_else(|| self.unknown(&dom.name, dom.uuid))
    }

    fn unknown(&self, name: &str, uuid: Uuid) -> Error {
        self.no_domain(format!("no domain with matching uuid '{uuid}' ({name})"))
    }

    fn no_domain(&self, detail: String) -> Error {
        Error::new(Code::NoDomain, self.origin, detail)
    }

    pub(crate) fn invalid(&self, detail: impl Into<String>) -> Error {
        Error::new(Code::OperationInvalid, self.origin, detail)
    }

    /// Those that pass the filters of `virConnectListAllDomains`.
    pub fn list(&self, filters: u32) -> Vec<DomainRef> {
        self.table.collect(|guest| {
            guest.read(|data| {
                let listed = !data.gone && domain_matches(filters, &data.facts());
                listed.then(|| guest.ref_with(data.id()))
            })
        })
    }

    pub fn by_id(&self, id: i32) -> Result<DomainRef> {
        let found = self.table.collect(|guest| {
            guest.read(|data| (data.active() && data.id() == id).then(|| guest.ref_with(id)))
        });
        let found = found.into_iter().next();
        found.ok_or_else(|| self.no_domain(format!("no domain with matching id {id}")))
    }

    pub fn by_name(&self, name: &str) -> Result<DomainRef> {
        let found = self.table.by_name(name).map(|guest| guest.to_ref());
        found.ok_or_else(|| self.no_domain(format!("no domain with matching name '{name}'")))
    }

    pub fn by_uuid(&self, uuid: &Uuid) -> Result<DomainRef> {
        let found = self.table.by_uuid(uuid).map(|guest| guest.to_ref());
        found.ok_or_else(|| self.no_domain(format!("no domain with matching uuid '{uuid}'")))
    }

    /// A domain by its UUID, where there is one.
    pub fn known(&self, uuid: &Uuid) -> Option<Arc<Guest<L>>> {
        self.table.by_uuid(uuid)
    }

    /// Takes a domain out, of which nothing is left.
    pub fn remove(&self, guest: &Arc<Guest<L>>) {
        self.table.remove(guest);
    }

    /// Adds a domain unless its name or UUID is taken.
    pub fn insert(&self, guest: Arc<Guest<L>>) -> bool {
        self.table.insert(guest).is_ok()
    }

    /// Takes the one job on a guest.
    pub fn begin<'a>(
        &self,
        guest: &'a Guest<L>,
        job: Job,
        call: &Call<'_>,
    ) -> Result<Turn<'a, Data<L>>> {
        self.unless_gone(guest, call.waiting(|| guest.cell.begin_for(job, call, JOB_WAIT_MAX))?)
    }

    /// Takes the turn of the agent in a guest, which runs beside the job.
    pub fn begin_agent<'a>(
        &self,
        guest: &'a Guest<L>,
        call: &Call<'_>,
    ) -> Result<Turn<'a, Data<L>>> {
        self.unless_gone(guest, call.waiting(|| guest.cell.begin_agent_for(call, JOB_WAIT_MAX))?)
    }

    fn unless_gone<'a>(
        &self,
        guest: &'a Guest<L>,
        turn: Turn<'a, Data<L>>,
    ) -> Result<Turn<'a, Data<L>>> {
        match turn.read(|data| data.gone) {
            true => Err(self.unknown(&guest.name, guest.uuid)),
            false => Ok(turn),
        }
    }

    pub fn publish(&self, event: &Event) {
        self.events.publish(event);
    }

    pub fn publish_lifecycle(&self, dom: DomainRef, event: i32, detail: i32) {
        self.publish(&Event::DomainLifecycle { dom, event, detail });
    }

    /// Reads one device for a stored definition, by the driver's rules.
    pub fn load_device(&self, xml: &str, virt_type: VirtType) -> Result<Device> {
        let flags = ParseFlags { inactive: true, ..ParseFlags::default() };
        Device::parse(xml, virt_type, flags, &*self.rules)
    }

    /// Reads a document by the driver's rules.
    pub fn load(&self, xml: &str, flags: ParseFlags) -> Result<Document> {
        Document::load(xml, flags, &*self.rules)
    }

    /// The document of a stored definition.
    fn document(&self, definition: &Definition) -> Result<Arc<Document>> {
        definition.document(|path| {
            let text = virt_store::read_text(path, DOCUMENT_BYTES_MAX)
                .map_err(|error| store_error(&error, self.origin))?;
            self.load(&text, ParseFlags { inactive: true, ..ParseFlags::default() })
        })
    }

    /// The stored definition of a domain; a transient one has none.
    pub fn stored(&self, guest: &Guest<L>) -> Result<Option<Arc<Document>>> {
        let definition = guest.read(|data| data.definition.clone());
        definition.map(|definition| self.document(&definition)).transpose()
    }

    /// The definition in force: the running one, else the stored one.
    pub fn current(&self, guest: &Guest<L>) -> Result<Arc<Document>> {
        match guest.read(|data| data.live.as_ref().map(|live| Arc::clone(live.document()))) {
            Some(document) => Ok(document),
            None => self.stored(guest)?.ok_or_else(|| self.invalid("domain is gone")),
        }
    }

    /// The definition that a call with these flags is about.
    pub fn meant(&self, guest: &Guest<L>, flags: u32) -> Result<Arc<Document>> {
        let impact = guest.read(|data| self.impact(data, flags))?;
        let stored = if impact.config { self.stored(guest)? } else { None };
        stored.map_or_else(|| self.current(guest), Ok)
    }

    /// Resolves "current", and refuses what is not there.
    pub fn impact(&self, data: &Data<L>, flags: u32) -> Result<Impact> {
        let asked = flags & (api::DOMAIN_AFFECT_LIVE | api::DOMAIN_AFFECT_CONFIG);
        let live = asked & api::DOMAIN_AFFECT_LIVE != 0 || asked == 0 && data.active();
        let config = asked & api::DOMAIN_AFFECT_CONFIG != 0 || asked == 0 && !data.active();
        if live && !data.active() {
            return Err(not_running());
        }
        if config && data.definition.is_none() {
            return Err(self.invalid("transient domains do not have any persistent config"));
        }
        Ok(Impact { live, config })
    }

    /// `virDomainGetXMLDesc`.
    pub fn text(&self, dom: &DomainRef, flags: u32) -> Result<String> {
        let guest = self.find(dom)?;
        let stored = flags & api::DOMAIN_XML_INACTIVE != 0;
        let document = match stored.then(|| self.stored(&guest)).transpose()?.flatten() {
            Some(document) => document,
            None => self.current(&guest)?,
        };
        let balloon_kib = guest.read(|data| data.live.as_ref().map(Live::balloon_kib));
        let flags = PrintFlags::from_bits(flags);
        match balloon_kib.filter(|kib| !flags.inactive && *kib != document.current_memory_kib()) {
            Some(kib) => {
                let mut shown = (*document).clone();
                shown.current_memory_kib = Some(kib);
                Ok(shown.to_xml(flags))
            }
            None => Ok(document.to_xml(flags)),
        }
    }

    /// What is left of a run that has ended: its state, and nothing of a transient domain.
    pub fn ended(&self, guest: &Arc<Guest<L>>, turn: &mut Turn<'_, Data<L>>, reason: i32) {
        let dom = guest.to_ref();
        let transient = turn.change(|data| {
            data.set_state(api::DOMAIN_SHUTOFF, reason);
            data.live = None;
            data.gone |= data.definition.is_none();
            data.gone
        });
        if transient {
            self.table.remove(guest);
        }
        let detail = match reason {
            api::DOMAIN_SHUTOFF_DESTROYED => api::DOMAIN_EVENT_STOPPED_DESTROYED,
            api::DOMAIN_SHUTOFF_SHUTDOWN => api::DOMAIN_EVENT_STOPPED_SHUTDOWN,
            api::DOMAIN_SHUTOFF_CRASHED => api::DOMAIN_EVENT_STOPPED_CRASHED,
            _ => api::DOMAIN_EVENT_STOPPED_FAILED,
        };
        self.publish_lifecycle(dom, api::DOMAIN_EVENT_STOPPED, detail);
    }
}

impl<L: Live> std::fmt::Debug for Guests<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guests").field("config", &self.config).finish_non_exhaustive()
    }
}
