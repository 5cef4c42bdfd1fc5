//! What is known of the manager's objects, and since which change it may be wrong.
//!
//! Each thing known carries two stamps: when it was last said to have changed, and when the question
//! was asked that it is the answer to. It holds as long as the second is not before the first, and as
//! long as events come in at all. So a change that is told while an answer is under way is not lost.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use virt_types::Uuid;

use crate::facts::{Facts, is_control};
use crate::message::{Content, Item};

/// Limit: what the manager said about a domain, kept to be shown.
const MESSAGES_MAX: usize = 16;
const MESSAGE_BYTES_MAX: usize = 1024;

/// A moment between changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

/// Something known, with its two stamps.
#[derive(Debug)]
struct Known<T> {
    value: Option<T>,
    changed: Stamp,
    asked: Option<Stamp>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { value: None, changed: Stamp(0), asked: None }
    }
}

impl<T> Known<T> {
    fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.asked.is_some_and(|asked| asked >= self.changed))
    }

    fn set(&mut self, value: T, asked: Stamp) {
        if self.asked.is_none_or(|before| before <= asked) {
            self.value = Some(value);
            self.asked = Some(asked);
        }
    }

    /// An answer has nothing of the kind.
    fn lose(&mut self, asked: Stamp) {
        if self.asked.is_none_or(|before| before <= asked) {
            self.value = None;
        }
    }
}

/// Which details of a domain: what was asked for it, or what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Detail {
    Constraints,
    Bindings,
}

#[derive(Debug, Default)]
struct Entry {
    facts: Known<Arc<Facts>>,
    constraints: Known<Arc<Content>>,
    bindings: Known<Arc<Content>>,
}

/// A service or a volume, and the domain it is in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) domain: String,
    pub(crate) item: Item,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    now: Stamp,
    /// Whether changes are told; without that nothing is known for longer than a call.
    trusted: bool,
    /// Whether all domains are in the entries.
    complete: Known<()>,
    entries: BTreeMap<String, Entry>,
    services: Known<Arc<Vec<Service>>>,
    devices: Known<Arc<Vec<Item>>>,
    /// The control domain's address, which tells machines apart.
    seed: String,
    /// Whether the manager gives UUIDs.
    uuids: bool,
    ids: HashMap<String, i32>,
    last_id: i32,
    messages: HashMap<String, VecDeque<String>>,
    /// Of migrations that run or have ended: percent, and the word for how it stands.
    pub(crate) progress: HashMap<String, Progress>,
}

/// How a migration goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) percent: u64,
    pub(crate) status: String,
    pub(crate) since: std::time::Instant,
}

/// What must be asked before domains can be answered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Nothing,
    All,
    These(Vec<String>),
}

/// Limit: above so many outdated domains the whole list is asked for.
const NAMES_MAX: usize = 64;

impl World {
    /// The stamp of a question asked now.
    pub(crate) fn stamp(&self) -> Stamp {
        self.now
    }

    pub(crate) fn trust(&mut self, trusted: bool) {
        self.trusted = trusted;
        self.forget();
    }

    /// Everything may have changed.
    pub(crate) fn forget(&mut self) {
        let now = self.tick();
        self.complete.changed = now;
        self.services.changed = now;
        self.devices.changed = now;
        self.entries.values_mut().for_each(|entry| entry.touch(now));
    }

    fn tick(&mut self) -> Stamp {
        self.now.0 += 1;
        self.now
    }

    /// Takes note of what an action has changed: one of ours, or one that an event tells of.
    pub(crate) fn happened(&mut self, action: &str, names: &[&str]) {
        if action.starts_with("list-")
            || action.ends_with("spconfig")
            || action == "migration-process"
        {
            return;
        }
        let now = self.tick();
        self.devices.changed = now;
        let service = ["vdiskserver", "vswitch", "vconscon", "vdpcs", "vsan"];
        if service.iter().any(|word| action.contains(word)) {
            self.services.changed = now;
        }
        for name in names.iter().filter(|name| !name.is_empty()) {
            self.entries.entry((*name).to_owned()).or_default().touch(now);
        }
        // What an unknown event is about cannot be known.
        if names.is_empty() && self.services.changed != now {
            self.forget();
        }
    }

    /// What to ask before any domain can be listed.
    pub(crate) fn gap(&self) -> Gap {
        if !self.trusted || self.complete.get().is_none() {
            return Gap::All;
        }
        let outdated = self.entries.iter().filter(|(_, entry)| entry.facts.get().is_none());
        let names: Vec<String> = outdated.map(|(name, _)| name.clone()).collect();
        match names.len() {
            0 => Gap::Nothing,
            count if count > NAMES_MAX => Gap::All,
            _ => Gap::These(names),
        }
    }

    /// What to ask before one domain can be answered for.
    pub(crate) fn gap_of(&self, name: &str) -> Gap {
        let known = |entry: &Entry| entry.facts.get().is_some();
        match self.entries.get(name) {
            _ if !self.trusted || self.complete.get().is_none() => Gap::All,
            Some(entry) if !known(entry) => Gap::These(vec![name.to_owned()]),
            // Names that are not there are not there: all are known.
            _ => Gap::Nothing,
        }
    }

    /// Takes a list of all domains.
    pub(crate) fn set_all<'a>(
        &mut self,
        contents: impl Iterator<Item = &'a Content>,
        asked: Stamp,
    ) {
        let mut contents: Vec<&Content> = contents.collect();
        contents.dedup_by(|b, a| a.id == b.id);
        if let Some(control) = contents.iter().find(|content| is_control(content))
            && let Some(info) = control.first("ldom_info")
        {
            let seed = info.address.as_deref().or(info.get("hostid"));
            self.seed = seed.unwrap_or_default().to_ascii_lowercase();
        }
        let listed: std::collections::HashSet<&str> =
            contents.iter().map(|content| content.id.as_str()).collect();
        let gone = self.entries.keys().filter(|name| !listed.contains(name.as_str()));
        let gone: Vec<String> = gone.cloned().collect();
        gone.iter().for_each(|name| self.gone(name, asked));
        for content in contents {
            self.set_one(content, asked);
        }
        self.complete.set((), asked);
    }

    /// Takes what a list says about some domains; those that it does not have any more are gone.
    pub(crate) fn set_some(&mut self, names: &[String], contents: &[&Content], asked: Stamp) {
        for name in names {
            match contents.iter().find(|content| content.id == *name) {
                Some(content) => self.set_one(content, asked),
                None => self.gone(name, asked),
            }
        }
    }

    /// A list does not have a domain. What has happened since it was asked for may have brought it
    /// back, so it is asked for again; until then it is what the list says.
    fn gone(&mut self, name: &str, asked: Stamp) {
        match self.entries.get_mut(name) {
            Some(entry) if entry.facts.changed > asked => entry.facts.lose(asked),
            _ => self.remove(name),
        }
    }

    fn remove(&mut self, name: &str) {
        self.entries.remove(name);
        self.messages.remove(name);
        self.progress.remove(name);
        self.ids.remove(name);
    }

    fn set_one(&mut self, content: &Content, asked: Stamp) {
        if content.id.is_empty() {
            return;
        }
        let last_id = &mut self.last_id;
        let id = *self.ids.entry(content.id.clone()).or_insert_with(|| match is_control(content) {
            true => 0,
            false => {
                *last_id = last_id.saturating_add(1);
                *last_id
            }
        });
        self.uuids |= content.first("ldom_info").is_some_and(|info| info.uuid.is_some());
        let facts = Facts::of(content, &self.seed, id);
        let entry = self.entries.entry(content.id.clone()).or_default();
        entry.facts.set(Arc::new(facts), asked);
    }

    /// All domains that are known, by number. Whether that is all there are, [`World::gap`] tells.
    pub(crate) fn all(&self) -> Vec<Arc<Facts>> {
        let known = self.entries.values().filter_map(|entry| entry.facts.value.clone());
        let mut all: Vec<Arc<Facts>> = known.collect();
        all.sort_by_key(|facts| facts.id);
        all
    }

    pub(crate) fn knows_uuids(&self) -> bool {
        self.uuids
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Facts>> {
        self.entries.get(name)?.facts.value.clone()
    }

    pub(crate) fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<Facts>> {
        let mut known = self.entries.values().filter_map(|entry| entry.facts.value.as_ref());
        known.find(|facts| facts.uuid == *uuid).cloned()
    }

    /// A domain's details, if they are known and hold.
    pub(crate) fn detail(&self, name: &str, kind: Detail) -> Option<Arc<Content>> {
        let known = self.entries.get(name)?.detail(kind);
        known.get().filter(|_| self.trusted).cloned()
    }

    pub(crate) fn set_detail(
        &mut self,
        name: &str,
        kind: Detail,
        content: Arc<Content>,
        asked: Stamp,
    ) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.detail_mut(kind).set(content, asked);
        }
    }

    pub(crate) fn services(&self) -> Option<Arc<Vec<Service>>> {
        self.services.get().filter(|_| self.trusted).cloned()
    }

    pub(crate) fn set_services(&mut self, services: Arc<Vec<Service>>, asked: Stamp) {
        self.services.set(services, asked);
    }

    pub(crate) fn devices(&self) -> Option<Arc<Vec<Item>>> {
        self.devices.get().filter(|_| self.trusted).cloned()
    }

    pub(crate) fn set_devices(&mut self, devices: Arc<Vec<Item>>, asked: Stamp) {
        self.devices.set(devices, asked);
    }

    /// Keeps what the manager said beside a success, to be shown with the domain.
    pub(crate) fn warned(&mut self, name: &str, warnings: &[String]) {
        if warnings.is_empty() {
            return;
        }
        let kept = self.messages.entry(name.to_owned()).or_default();
        for warning in warnings {
            let text: String = warning.chars().take(MESSAGE_BYTES_MAX).collect();
            if kept.contains(&text) {
                continue;
            }
            if kept.len() >= MESSAGES_MAX {
                kept.pop_front();
            }
            kept.push_back(text);
        }
    }

    pub(crate) fn messages(&self, name: &str) -> Vec<String> {
        self.messages.get(name).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    /// What was said about a domain's earlier life is of no more interest.
    pub(crate) fn hush(&mut self, name: &str) {
        self.messages.remove(name);
    }
}

impl Entry {
    fn touch(&mut self, now: Stamp) {
        self.facts.changed = now;
        self.constraints.changed = now;
        self.bindings.changed = now;
    }

    fn detail(&self, kind: Detail) -> &Known<Arc<Content>> {
        match kind {
            Detail::Constraints => &self.constraints,
            Detail::Bindings => &self.bindings,
        }
    }

    fn detail_mut(&mut self, kind: Detail) -> &mut Known<Arc<Content>> {
        match kind {
            Detail::Constraints => &mut self.constraints,
            Detail::Bindings => &mut self.bindings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;

    fn listed(names: &[&str]) -> Vec<Content> {
        names.iter().map(|name| Content::new(name)).collect()
    }

    #[test]
    fn what_changes_while_an_answer_is_under_way_is_asked_again() {
        let mut world = World::default();
        world.trust(true);
        assert_eq!(world.gap(), Gap::All);
        let asked = world.stamp();
        world.happened("start-domain", &["b"]);
        world.set_all(listed(&["primary", "a", "b"]).iter(), asked);
        assert_eq!(world.gap(), Gap::These(vec!["b".to_owned()]));
        assert_eq!(world.gap_of("a"), Gap::Nothing);
        let (asked, b) = (world.stamp(), listed(&["b"]));
        world.set_some(&["b".to_owned()], &b.iter().collect::<Vec<_>>(), asked);
        assert_eq!(world.gap(), Gap::Nothing);
        world.trust(false);
        assert_eq!(world.gap(), Gap::All);
    }

    #[test]
    fn what_is_gone_is_not_there_whatever_happened_meanwhile() {
        let mut world = World::default();
        world.trust(true);
        world.set_all(listed(&["primary", "a"]).iter(), world.stamp());
        let asked = world.stamp();
        // The event of its own end comes before the answer.
        world.happened("remove-domain", &["a"]);
        world.set_some(&["a".to_owned()], &[], asked);
        assert!(world.by_name("a").is_none());
        assert_eq!(world.gap(), Gap::These(vec!["a".to_owned()]));
        let (later, a) = (world.stamp(), listed(&["a"]));
        world.set_some(&["a".to_owned()], &[&a[0]], later);
        // An answer that was asked for earlier comes later.
        world.happened("start-domain", &["a"]);
        world.set_some(&["a".to_owned()], &[], asked);
        assert!(world.by_name("a").is_some());
    }

    #[test]
    fn domains_come_and_go_and_keep_their_numbers() {
        let mut world = World::default();
        world.trust(true);
        world.set_all(listed(&["primary", "a", "b"]).iter(), world.stamp());
        let ids = |world: &World| -> Vec<(String, i32)> {
            world.all().iter().map(|facts| (facts.name.clone(), facts.id)).collect()
        };
        world.happened("remove-domain", &["a"]);
        world.happened("add-domain", &["c"]);
        let names = vec!["a".to_owned(), "c".to_owned()];
        assert_eq!(world.gap(), Gap::These(names.clone()));
        let c = listed(&["c"]);
        world.set_some(&names, &c.iter().collect::<Vec<_>>(), world.stamp());
        let expected = [("primary", 0), ("b", 2), ("c", 3)];
        assert_eq!(ids(&world), expected.map(|(name, id)| (name.to_owned(), id)));
    }

    #[test]
    fn an_event_of_an_unknown_kind_outdates_everything() {
        let mut world = World::default();
        world.trust(true);
        world.set_all(listed(&["primary"]).iter(), world.stamp());
        world.happened("list-domain", &[]);
        world.happened("add-spconfig", &[]);
        assert_eq!(world.gap(), Gap::Nothing);
        world.happened("frobnicate", &[]);
        assert_eq!(world.gap(), Gap::All);
    }
}
