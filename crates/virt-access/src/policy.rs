//! The rules in force: loaded from a file, loaded anew while the daemon runs, asked for each client.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use virt_driver::{AccessPolicy, Asked};

use crate::accounts::Identity;
use crate::object::Facts;
use crate::parse::{FILE_BYTES_MAX, RulesError};
use crate::rules::{Rules, Verdict};

/// A file of rules and what it said last.
#[derive(Debug)]
pub struct Policy {
    path: PathBuf,
    rules: RwLock<Arc<Rules>>,
    /// Whether what is allowed to change something is written to the log too.
    log_allowed: bool,
}

/// Why a file of rules is not in force.
#[derive(Debug)]
pub enum LoadError {
    Read(PathBuf, std::io::Error),
    Rules(PathBuf, RulesError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => {
                write!(f, "cannot read the access rules in '{}': {error}", path.display())
            }
            Self::Rules(path, error) => write!(f, "access rules: {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {}

impl Policy {
    /// Reads the file. There is no policy without one that can be read.
    pub fn load(path: &Path, log_allowed: bool) -> Result<Arc<Self>, LoadError> {
        let rules = RwLock::new(Arc::new(read(path)?));
        Ok(Arc::new(Self { path: path.to_owned(), rules, log_allowed }))
    }

    /// Reads the file again, and gives the number of rules; a broken one changes nothing. Those who
    /// are there are held to the new rules from their next call on.
    pub fn reload(&self) -> Result<usize, LoadError> {
        let rules = read(&self.path)?;
        let count = rules.len();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        Ok(count)
    }

    /// The rules for one client.
    pub fn guard(self: &Arc<Self>, who: Identity) -> Arc<dyn AccessPolicy> {
        Arc::new(Guard { policy: Arc::clone(self), who })
    }
}

fn read(path: &Path) -> Result<Rules, LoadError> {
    let failed = |error| LoadError::Read(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let max = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(max).read_to_string(&mut text).map_err(failed)?;
    Rules::parse(&text).map_err(|error| LoadError::Rules(path.to_owned(), error))
}

/// The rules as they are for one client.
struct Guard {
    policy: Arc<Policy>,
    who: Identity,
}

impl AccessPolicy for Guard {
    fn allowed(&self, asked: &Asked<'_>) -> bool {
        let rules = Arc::clone(&self.policy.rules.read().unwrap_or_else(PoisonError::into_inner));
        let object = Facts::of(asked.driver, asked.kind, asked.object);
        let permission = format!("{}.{}", asked.kind, asked.permission);
        let (verdict, line) = rules.decide(&self.who, &permission, &object);
        let allowed = verdict == Verdict::Allow;
        if !asked.listing {
            self.report(asked, &permission, &object, allowed, line);
        }
        allowed
    }
}

impl Guard {
    /// One line in the log for each refusal and, where it is wanted, for each change.
    fn report(
        &self,
        asked: &Asked<'_>,
        permission: &str,
        object: &Facts<'_>,
        allowed: bool,
        line: Option<usize>,
    ) {
        let changes = !matches!(asked.permission, "getattr" | "read")
            && !asked.permission.starts_with("search_");
        let (api, driver, who) = (asked.api, asked.driver, &self.who);
        let shown = object.shown();
        let rule = line.map_or_else(|| "no rule".to_owned(), |line| format!("line {line}"));
        if !allowed {
            virt_log::warning!(
                "access",
                "denied {permission} api={api} driver={driver}{shown} {who} by {rule}"
            );
        } else if self.policy.log_allowed && changes {
            virt_log::info!(
                "access",
                "allowed {permission} api={api} driver={driver}{shown} {who} by {rule}"
            );
        }
    }
}
