//! Definitions that xend keeps, from Xen 3.0.4 on.

use std::path::PathBuf;
use std::sync::Arc;

use virt_error::{Code, Error, Origin, Result};
use virt_model::domain::Domain as Document;
use virt_types::Uuid;

use crate::channels::{Definitions, Kept};
use crate::sexpr::tree::Sexpr;
use crate::xend::{XendStack, public, running};

/// Limit: xend's own description of one domain.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Limit: managed domains that are looked at.
const DOMAINS_MAX: usize = 10_000;
/// What says whether a domain starts with xend.
const ON_START: &str = "on_xend_start";
/// What xend keeps of a domain that documents have no place for: it stays when they change.
const BESIDE: &[&str] = &[ON_START, "on_xend_stop", "cpu_cap"];
/// What xend says of a domain beside its configuration, and does not want back.
const STATE: &[&str] = &[
    "domid",
    "status",
    "state",
    "start_time",
    "cpu_time",
    "online_vcpus",
    "store_mfn",
    "console_mfn",
    "shutdown_reason",
];

/// xend's managed domains.
#[derive(Debug)]
pub(crate) struct Managed {
    pub(crate) stack: Arc<XendStack>,
    /// Where xend writes them; looking there costs no request.
    pub(crate) dir: PathBuf,
}

fn kept(tree: &Sexpr) -> Option<Kept> {
    let uuid = Uuid::parse(tree.value("uuid")?)?;
    (!uuid.is_nil()).then_some(Kept { uuid, name: tree.value("name")?.into() })
}

impl Managed {
    /// Those in xend's folder; `None` where there is no such folder, as on a host that is far away.
    fn on_disk(&self) -> Option<Vec<Kept>> {
        let entries = std::fs::read_dir(&self.dir).ok()?;
        let mut found = Vec::new();
        for entry in entries.flatten().take(DOMAINS_MAX) {
            let path = entry.path().join("config.sxp");
            // What is no domain's folder, or half written, is passed over.
            let Ok(text) = virt_store::read_text(&path, CONFIG_BYTES_MAX) else { continue };
            found.extend(Sexpr::parse(&text).ok().as_ref().and_then(kept));
        }
        Some(found)
    }

    fn tree(&self, uuid: &Uuid) -> Result<Sexpr> {
        self.stack.view.tree(&uuid.to_string())?.ok_or_else(|| {
            let detail = format!("xend does not keep a domain with uuid '{uuid}'");
            Error::new(Code::NoDomain, Origin::Xend, detail)
        })
    }

    fn put(&self, config: &str) -> Result<()> {
        self.stack.view.xend.define(config).map(drop).map_err(|error| public(&error))
    }
}

impl Definitions for Managed {
    /// Where xend's folder is not there, all that does not run is kept, and what runs is said to be.
    fn list(&self) -> Result<Vec<Kept>> {
        match self.on_disk() {
            Some(found) => Ok(found),
            None => Ok(self.stack.view.all()?.iter().filter_map(kept).collect()),
        }
    }

    fn find(&self, uuid: &Uuid) -> Result<Option<Kept>> {
        if self.dir.is_dir() {
            let path = self.dir.join(uuid.to_string()).join("config.sxp");
            let text = virt_store::read_text(&path, CONFIG_BYTES_MAX).ok();
            return Ok(text.and_then(|text| kept(&Sexpr::parse(&text).ok()?)));
        }
        Ok(self.stack.view.tree(&uuid.to_string())?.as_ref().and_then(kept))
    }

    fn document(&self, kept: &Kept) -> Result<Document> {
        let tree = self.tree(&kept.uuid)?;
        let live = running(&tree).is_some();
        let tree = if live { without_state(&tree) } else { tree };
        self.stack.read(&tree.to_string(), false)
    }

    fn keep(&self, document: &Document) -> Result<()> {
        let config = self.stack.config(document)?;
        let key = document.uuid.map(|uuid| uuid.to_string());
        let before = key.map(|key| self.stack.view.tree(&key)).transpose()?.flatten();
        match (before, Sexpr::parse(&config)) {
            (Some(before), Ok(Sexpr::List(mut items))) => {
                let beside = |item: &&Sexpr| item.name().is_some_and(|name| BESIDE.contains(&name));
                items.extend(before.items().iter().filter(beside).cloned());
                self.put(&Sexpr::List(items).to_string())
            }
            _ => self.put(&config),
        }
    }

    fn forget(&self, kept: &Kept) -> Result<()> {
        self.stack.view.act(&kept.uuid.to_string(), "delete", &[]).map(drop)
    }

    fn autostarts(&self, kept: &Kept) -> Result<bool> {
        Ok(self.tree(&kept.uuid)?.value(ON_START) == Some("start"))
    }

    fn set_autostart(&self, kept: &Kept, on: bool) -> Result<()> {
        let Sexpr::List(mut items) = without_state(&self.tree(&kept.uuid)?) else {
            return Ok(());
        };
        items.retain(|item| item.name() != Some(ON_START));
        let word = |text: &str| Sexpr::Atom(text.to_owned());
        let value = if on { "start" } else { "ignore" };
        items.push(Sexpr::List(vec![word(ON_START), word(value)]));
        self.put(&Sexpr::List(items).to_string())
    }
}

/// What of xend's description is the configuration: without what a running domain has beside.
fn without_state(tree: &Sexpr) -> Sexpr {
    let is_state = |item: &Sexpr| item.name().is_some_and(|name| STATE.contains(&name));
    let is_console = |item: &Sexpr| item.name() == Some("device") && item.get("console").is_some();
    let kept = tree.items().iter().filter(|item| !is_state(item) && !is_console(item));
    Sexpr::List(kept.cloned().collect())
}
