//! The objects of a driver, found by name and by UUID.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use virt_types::{Name, Uuid};

/// Something that is listed under a name and a UUID, neither of which changes while it is listed.
pub trait Entry: Send + Sync {
    fn name(&self) -> &Name;
    fn uuid(&self) -> Uuid;
}

/// All objects of one kind. Reading takes no lock but the table's own, for the time of a look-up.
pub struct Table<T> {
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    by_name: BTreeMap<Name, Arc<T>>,
    by_uuid: HashMap<Uuid, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let inner = Inner { by_name: BTreeMap::new(), by_uuid: HashMap::new() };
        Self { inner: RwLock::new(inner) }
    }
}

impl<T: Entry> Table<T> {
    pub fn new() -> Self {
        Self::default()
    }

    fn read<R>(&self, look: impl FnOnce(&Inner<T>) -> R) -> R {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<R>(&self, edit: impl FnOnce(&mut Inner<T>) -> R) -> R {
        edit(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn by_name(&self, name: &str) -> Option<Arc<T>> {
        self.read(|inner| inner.by_name.get(name).cloned())
    }

    pub fn by_uuid(&self, uuid: &Uuid) -> Option<Arc<T>> {
        self.read(|inner| inner.by_uuid.get(uuid).cloned())
    }

    /// All objects, ordered by name.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read(|inner| inner.by_name.values().cloned().collect())
    }

    /// What `pick` makes of each object, in the order of names, without copying the list first.
    /// Short: `pick` must not wait and must not use the table.
    pub fn collect<R>(&self, mut pick: impl FnMut(&T) -> Option<R>) -> Vec<R> {
        self.read(|inner| {
            // Most lists take nearly everything: growing step by step would copy it several times.
            let mut picked = Vec::with_capacity(inner.by_name.len());
            picked.extend(inner.by_name.values().filter_map(|entry| pick(entry)));
            picked
        })
    }

    pub fn len(&self) -> usize {
        self.read(|inner| inner.by_name.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an object unless its name or UUID is taken; then the one that has it is given back.
    pub fn insert(&self, entry: Arc<T>) -> Result<(), Arc<T>> {
        self.write(|inner| {
            let taken = inner
                .by_name
                .get(entry.name())
                .or_else(|| inner.by_uuid.get(&entry.uuid()))
                .cloned();
            if let Some(taken) = taken {
                return Err(taken);
            }
            inner.by_name.insert(entry.name().clone(), Arc::clone(&entry));
            inner.by_uuid.insert(entry.uuid(), entry);
            Ok(())
        })
    }

    /// Takes this very object out; another one that has its name by now stays.
    pub fn remove(&self, entry: &Arc<T>) -> bool {
        self.write(|inner| match inner.by_name.get(entry.name()) {
            Some(listed) if Arc::ptr_eq(listed, entry) => {
                inner.by_name.remove(entry.name());
                inner.by_uuid.remove(&entry.uuid());
                true
            }
            _ => false,
        })
    }

    /// Puts an object in the place of this very one, as for another name; refused where the new name
    /// or UUID is a third one's.
    pub fn replace(&self, entry: &Arc<T>, with: Arc<T>) -> bool {
        self.write(|inner| {
            let listed = inner.by_name.get(entry.name());
            if !listed.is_some_and(|listed| Arc::ptr_eq(listed, entry)) {
                return false;
            }
            let free = |taken: Option<&Arc<T>>| taken.is_none_or(|taken| Arc::ptr_eq(taken, entry));
            if !free(inner.by_name.get(with.name())) || !free(inner.by_uuid.get(&with.uuid())) {
                return false;
            }
            inner.by_name.remove(entry.name());
            inner.by_uuid.remove(&entry.uuid());
            inner.by_name.insert(with.name().clone(), Arc::clone(&with));
            inner.by_uuid.insert(with.uuid(), with);
            true
        })
    }
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Table").field("len", &inner.by_name.len()).finish()
    }
}
