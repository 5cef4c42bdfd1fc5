//! The tree, and who watches it.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) type Nodes = BTreeMap<String, Vec<u8>>;

/// A watch: whoever it tells, where, and under which token.
#[derive(Debug)]
struct Watch {
    client: u64,
    path: String,
    token: String,
    tell: SyncSender<(String, String)>,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: Nodes,
    watches: Vec<Watch>,
    generation: u64,
    requests: u64,
}

/// The tree. Cloning gives the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(Arc<Mutex<Inner>>);

impl Tree {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> (Nodes, u64) {
        let inner = self.lock();
        (inner.nodes.clone(), inner.generation)
    }

    /// Puts a transaction's nodes in place, unless others were quicker.
    pub(crate) fn commit(&self, nodes: Nodes, since: u64, changed: &[String]) -> bool {
        let mut inner = self.lock();
        if inner.generation != since && !changed.is_empty() {
            return false;
        }
        if !changed.is_empty() {
            inner.nodes = nodes;
            inner.generation += 1;
            changed.iter().for_each(|path| inner.fire(path));
        }
        true
    }

    pub(crate) fn counted(&self) {
        self.lock().requests += 1;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.lock().requests
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().nodes.get(path).cloned()
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn write(&self, path: &str, value: impl ToString) {
        let mut inner = self.lock();
        set(&mut inner.nodes, path, value.to_string().into_bytes());
        inner.generation += 1;
        inner.fire(path);
    }

    pub(crate) fn remove(&self, path: &str) {
        let mut inner = self.lock();
        prune(&mut inner.nodes, path);
        inner.generation += 1;
        inner.fire(path);
    }

    /// Tells those that watch a special name, such as `@releaseDomain`.
    pub(crate) fn announce(&self, name: &str) {
        self.lock().fire(name);
    }

    pub(crate) fn watch(
        &self,
        client: u64,
        path: String,
        token: String,
        tell: SyncSender<(String, String)>,
    ) -> bool {
        let mut inner = self.lock();
        let same = |w: &Watch| w.client == client && w.path == path && w.token == token;
        if inner.watches.iter().any(same) {
            return false;
        }
        let _ = tell.try_send((path.clone(), token.clone()));
        inner.watches.push(Watch { client, path, token, tell });
        true
    }

    pub(crate) fn unwatch(&self, client: u64, path: &str, token: &str) -> bool {
        let mut inner = self.lock();
        let before = inner.watches.len();
        inner.watches.retain(|w| w.client != client || w.path != path || w.token != token);
        inner.watches.len() < before
    }

    pub(crate) fn forget(&self, client: u64) {
        self.lock().watches.retain(|watch| watch.client != client);
    }
}

impl Inner {
    fn fire(&self, path: &str) {
        for watch in &self.watches {
            let below = path
                .strip_prefix(watch.path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || watch.path == "/");
            // Removing a folder changes what is watched inside.
            let above = watch.path.starts_with(&format!("{path}/"));
            if below || above {
                // One that does not read loses events, not the server.
                let _ = watch.tell.try_send((path.to_owned(), watch.token.clone()));
            }
        }
    }
}

/// Sets a node, and makes those above it.
pub(crate) fn set(nodes: &mut Nodes, path: &str, value: Vec<u8>) {
    let mut above = path;
    while let Some((parent, _)) = above.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
        nodes.entry(parent.to_owned()).or_default();
        above = parent;
    }
    nodes.insert(path.to_owned(), value);
}

/// Removes a node and all below it.
pub(crate) fn prune(nodes: &mut Nodes, path: &str) -> bool {
    let below = format!("{path}/");
    let before = nodes.len();
    nodes.retain(|node, _| node != path && !node.starts_with(&below));
    nodes.len() < before
}

/// The names directly below a node, where it is there.
pub(crate) fn children(nodes: &Nodes, path: &str) -> Option<Vec<String>> {
    let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
    if path != "/" && !nodes.contains_key(path) {
        return None;
    }
    let inside = nodes.keys().filter_map(|node| node.strip_prefix(&below));
    let mut names: Vec<String> =
        inside.filter(|rest| !rest.is_empty() && !rest.contains('/')).map(str::to_owned).collect();
    names.dedup();
    Some(names)
}
