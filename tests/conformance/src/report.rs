//! The counts of a suite, and its cases that failed.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Case, Check};

/// How a suite came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    suite: String,
    /// By kind of check: how many passed, of how many.
    counts: BTreeMap<Option<&'static str>, (usize, usize)>,
    pub failures: Vec<Failure>,
}

/// A comparison that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub case: String,
    pub kind: Option<&'static str>,
    pub difference: String,
    /// Why it cannot be right, where it is listed.
    pub reason: Option<&'static str>,
}

impl Report {
    pub(crate) fn new(suite: &str) -> Self {
        Self { suite: suite.to_owned(), ..Self::default() }
    }

    pub(crate) fn add(&mut self, case: &Case, check: Check) {
        let count = self.counts.entry(check.kind).or_default();
        count.1 += 1;
        match check.verdict {
            Ok(()) => count.0 += 1,
            Err(difference) => {
                let (case, kind) = (case.name.clone(), check.kind);
                let reason = known_faults()
                    .find(|known| known.suite == self.suite && known.case == case)
                    .map(|known| known.reason);
                self.failures.push(Failure { case, kind, difference, reason });
            }
        }
    }

    /// What the product lacks for a kind of check, where it is listed.
    pub fn open(&self, kind: Option<&str>) -> Option<&'static str> {
        let name = full_name(&self.suite, kind);
        open_suites().find(|(open, _)| *open == name).map(|(_, why)| why)
    }

    /// How many checks passed, and of how many.
    pub fn total(&self) -> (usize, usize) {
        self.counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// How many checks of that kind failed which are not listed as libvirt's faults.
    pub fn failed(&self, kind: Option<&str>) -> usize {
        self.failures.iter().filter(|f| f.kind == kind && f.reason.is_none()).count()
    }

    /// A failure's name: `SUITE/CASE`, with the kind of check where there are several.
    pub fn name_of(&self, failure: &Failure) -> String {
        let kind = failure.kind.map_or(String::new(), |kind| format!(":{kind}"));
        format!("{}/{}{kind}", self.suite, failure.case)
    }
}

impl fmt::Display for Report {
    /// One line for each kind of check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (passed, total)) in &self.counts {
            writeln!(f, "{} {passed}/{total}", full_name(&self.suite, *kind))?;
        }
        Ok(())
    }
}

/// A suite, with the kind of check where it has several.
fn full_name(suite: &str, kind: Option<&str>) -> String {
    kind.map_or_else(|| suite.to_owned(), |kind| format!("{suite}:{kind}"))
}

/// The suites, or kinds of checks, that nothing can pass yet, and what the product lacks for them.
pub fn open_suites() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../open.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t'))
}

/// A case whose expectation is a fault of libvirt's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFault {
    pub suite: &'static str,
    pub case: &'static str,
    pub reason: &'static str,
}

/// The list beside the runner.
pub fn known_faults() -> impl Iterator<Item = KnownFault> {
    include_str!("../known.tsv").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        let (suite, case, reason) = (columns.next()?, columns.next()?, columns.next()?);
        Some(KnownFault { suite, case, reason })
    })
}
