//! libvirt's own cases against our documents and drivers: one runner for `cargo xtask conformance` and tests.
//!
//! A corpus is a folder with one folder a suite, each with a `cases.tsv` (see the README of the shared
//! corpora), or the `tests` folder of libvirt's sources. A suite's runner makes of a case one or more
//! [`Check`]s. Cases that cannot be right, because what libvirt expects is a fault of its own, are listed with
//! the reason in `known.tsv`; they are run and counted all the same. Suites of what the product does not do yet
//! are listed in `open.tsv`, and count as failed.

pub mod compare;
pub mod corpus;
pub mod layout;
mod places;
pub mod report;
pub mod suites;

pub use corpus::{Case, Corpus, Suite};
pub use report::{Failure, Report, known_faults, open_suites};

/// What is right about a case, or what differs.
pub type Verdict = Result<(), String>;

/// One comparison that a case asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is compared, where a suite compares more than one thing.
    pub kind: Option<&'static str>,
    pub verdict: Verdict,
}

impl From<Verdict> for Check {
    fn from(verdict: Verdict) -> Self {
        Self { kind: None, verdict }
    }
}

/// What judges the cases of a suite.
pub type Judge = fn(&Suite, &Case) -> Vec<Check>;

/// What a case comes to in the way that it is to be read; where nobody knows that, in the best one.
fn best(judge: Judge, suite: &Suite, case: &Case) -> Vec<Check> {
    let right = |checks: &Vec<Check>| checks.iter().filter(|check| check.verdict.is_ok()).count();
    let mut best = judge(suite, case);
    for other in &case.other_ways {
        if right(&best) == best.len() {
            break;
        }
        let checks = judge(suite, other);
        if right(&checks) > right(&best) {
            best = checks;
        }
    }
    best
}

/// Runs the cases of a suite whose name holds `part`.
pub fn run(suite: &Suite, part: &str) -> Report {
    let judge = suites::judge(&suite.name);
    let mut report = Report::new(&suite.name);
    for case in suite.cases.iter().filter(|case| case.name.contains(part)) {
        let checks = match judge {
            Some(judge) => best(judge, suite, case),
            None => vec![Check::from(Err("open".to_owned()))],
        };
        checks.into_iter().for_each(|check| report.add(case, check));
    }
    report
}
