//! `cargo xtask conformance`: runs suites and prints what passed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::corpus::shared_folder;
use conformance::{Corpus, Failure, Report, run};

const USAGE: &str = "conformance [--data DIR] [--failing] [--diff] [SUITE[/CASE]…]
  --data DIR   a folder of suites, or the tests folder of libvirt's sources
  --failing    name each case that fails
  --diff       the same, with how it differs
  SUITE/CASE   only cases whose names hold CASE";

/// What was asked for.
#[derive(Debug, Default)]
struct Wish {
    data: Option<PathBuf>,
    failing: bool,
    diff: bool,
    suites: Vec<String>,
}

fn main() -> ExitCode {
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run_all(&wish) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("conformance: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--data" => wish.data = Some(args.next().ok_or("--data wants a folder")?.into()),
            "--failing" => wish.failing = true,
            "--diff" => (wish.failing, wish.diff) = (true, true),
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => wish.suites.push(arg),
        }
    }
    Ok(wish)
}

fn run_all(wish: &Wish) -> Result<(), String> {
    let shared = shared_folder(checkout());
    let corpus = match &wish.data {
        Some(folder) => Corpus::open(folder, Some(shared))?,
        None => Corpus::open(&shared, None)?,
    };
    let there = corpus.suites();
    let wanted: Vec<(&str, &str)> = match wish.suites.as_slice() {
        [] => there.iter().map(|name| (name.as_str(), "")).collect(),
        some => some.iter().map(|name| name.split_once('/').unwrap_or((name, ""))).collect(),
    };
    if let Some((name, _)) = wanted.iter().find(|(name, _)| !there.iter().any(|n| n == name)) {
        return Err(format!("there is no suite '{name}'; there are: {}", there.join(", ")));
    }
    let mut sum = (0, 0);
    // Whoever has read enough may close the pipe.
    let mut out = std::io::stdout().lock();
    for (name, part) in wanted {
        let report = run(&corpus.suite(name)?, part);
        let _ = out.write_all(shown(&report, wish).as_bytes());
        let (passed, total) = report.total();
        sum = (sum.0 + passed, sum.1 + total);
    }
    let _ = writeln!(out, "total {}/{}", sum.0, sum.1);
    Ok(())
}

fn shown(report: &Report, wish: &Wish) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for failure in &report.failures {
        if let Some(why) = report.open(failure.kind) {
            open.push(why);
        }
    }
    open.dedup();
    let is_told = |failure: &&Failure| wish.failing && report.open(failure.kind).is_none();
    for failure in report.failures.iter().filter(is_told) {
        let reason = failure.reason.map_or(String::new(), |reason| format!(" (known: {reason})"));
        text.push_str(&format!("--- {}{reason}\n", report.name_of(failure)));
        if wish.diff {
            text.push_str(failure.difference.trim_end());
            text.push('\n');
        }
    }
    text += &report.to_string();
    open.iter().for_each(|why| text.push_str(&format!("  open: {why}\n")));
    text
}

fn checkout() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}
