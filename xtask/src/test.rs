//! `test`: every check, then every test, and one closing line that counts them truthfully.
//!
//! A test that cannot run where it is prints `skipped: REASON` and returns. The harness counts it
//! as passed; the closing line does not.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{codegen, features, gssapi, miri, process, setup, switches, tidy, workspace};

/// Tells tests that take minutes that there is time.
const LONG: &str = "FERROVIRT_LONG";

/// Tells tests where the programs are that were built for them.
const PROGRAMS: &str = "FERROVIRT_BIN_DIR";

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Tests that failed first and passed when they were run again, which CI allows once.
    flaky: Vec<String>,
    /// One line for each: which test, and why.
    skipped: Vec<String>,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [long] = switches(args, ["--long"])?;
    let root = workspace::root();
    let mut failures = Vec::new();
    let mut step = |name: &str, result: Result<(), String>| {
        if let Err(message) = result {
            eprintln!("{name}: {message}");
            failures.push(name.to_owned());
        }
    };
    heading("setup");
    if let Err(message) = setup::run(&[]) {
        // Not a failure: the tests that miss something report themselves as skipped.
        println!("not everything could be installed: {message}");
    }
    heading("format");
    step("format", process::run(&mut process::cargo(&root, &["fmt", "--all", "--check"])));
    heading("codegen --check");
    step("codegen", codegen::run(&root, true));
    heading("tidy");
    step("tidy", tidy::run(&[]));
    heading("features");
    step("features", features::run(&[]));
    heading("clippy");
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    step("clippy", process::run(&mut process::cargo(&root, &clippy)));

    heading("tests");
    // Tests start the daemon and the shell as programs, so these are built first.
    step("build", process::run(&mut process::cargo(&root, &["build", "--workspace", "--bins"])));
    if long && gssapi::is_there() {
        step("gssapi", gssapi::build());
    }
    let mut counts = Counts::default();
    if process::succeeds(&mut process::cargo(&root, &["nextest", "--version"])) {
        step("tests", nextest(&root, long, &mut counts));
        step("doc tests", libtest(&root, &["--doc"], long, &mut counts));
    } else {
        step("tests", libtest(&root, &[], long, &mut counts));
    }
    if long && miri::is_there() {
        heading("miri");
        step("miri", miri::run(&[]));
    }
    for reason in &counts.skipped {
        println!("skipped: {reason}");
    }
    for name in &counts.flaky {
        println!("passed only when run again: {name}");
    }
    let Counts { passed, failed, flaky, skipped } = &counts;
    // A step that failed without a failed test, as one that does not build, counts as one.
    let failed = (*failed).max(failures.len());
    let (flaky, skipped) = (flaky.len(), skipped.len());
    println!("{passed} passed ({flaky} when run again), {failed} failed, {skipped} skipped");
    match failures.as_slice() {
        [] if failed == 0 && *passed > 0 => Ok(()),
        [] => Err("no test passed".to_owned()),
        failures => Err(format!("not passed: {}", failures.join(", "))),
    }
}

fn heading(name: &str) {
    println!("── {name}");
}

/// Runs the tests under cargo-nextest, and reads the report that `.config/nextest.toml` asks for.
fn nextest(root: &Path, long: bool, counts: &mut Counts) -> Result<(), String> {
    // With `ci` a failed test is run again, and named in the end. At a desk, and in long runs, it is a
    // failure.
    let again = !long && std::env::var_os("CI").is_some();
    let profile = if again { "ci" } else { "report" };
    let report = workspace::target().join("nextest").join(profile).join("junit.xml");
    if report.exists() {
        fs::remove_file(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    }
    let args = [
        "nextest",
        "run",
        "--workspace",
        "--no-fail-fast",
        "--profile",
        profile,
        "--status-level=slow",
        "--final-status-level=flaky",
    ];
    let result = process::run(prepare(&mut process::cargo(root, &args), long));
    let text = fs::read_to_string(&report)
        .map_err(|error| format!("no report of the tests at {}: {error}", report.display()))?;
    count_report(&text, counts);
    result
}

/// Reads a JUnit report: one `<testcase>` a test, with its output inside.
fn count_report(text: &str, counts: &mut Counts) {
    for case in text.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let name = attribute(case, "name").unwrap_or("?");
        let suite = attribute(case, "classname").unwrap_or("?");
        let reason = case.split(['\n', '>']).find_map(|line| line.strip_prefix("skipped: "));
        if case.contains("<failure") || case.contains("<error") {
            counts.failed += 1;
        } else if let Some(reason) = reason {
            let reason = reason.split('<').next().unwrap_or(reason);
            counts.skipped.push(format!("{suite} {name}: {reason}"));
        } else {
            counts.passed += 1;
            if case.contains("<flakyFailure") || case.contains("<flakyError") {
                counts.flaky.push(format!("{suite} {name}"));
            }
        }
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    // A space before the name, so that `name` is not found at the end of `classname`.
    let start = format!(" {name}=\"");
    let from = match tag.strip_prefix(&start[1..]) {
        Some(rest) => rest,
        None => tag.split_once(&start)?.1,
    };
    from.split('"').next()
}

/// Runs tests under cargo's own harness and reads its output.
fn libtest(root: &Path, which: &[&str], long: bool, counts: &mut Counts) -> Result<(), String> {
    let mut args = vec!["test", "--workspace", "--no-fail-fast", "--quiet"];
    args.extend(which);
    args.extend(["--", "--show-output"]);
    let mut command = process::cargo(root, &args);
    let mut child = prepare(&mut command, long)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", process::words(&command)))?;
    let mut reader = OutputReader::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            reader.line(&line, counts);
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", process::words(&command))) }
}

fn prepare(command: &mut Command, long: bool) -> &mut Command {
    command.env(PROGRAMS, workspace::target().join("debug"));
    if long { command.env(LONG, "1") } else { command.env_remove(LONG) }
}

/// Reads what the standard harness prints, passing failures on to the terminal.
#[derive(Default)]
struct OutputReader {
    test: String,
    /// Tests that reported themselves as skipped since the last summary.
    skipped: usize,
    in_failures: bool,
}

impl OutputReader {
    fn line(&mut self, line: &str, counts: &mut Counts) {
        if let Some(test) =
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"))
        {
            test.clone_into(&mut self.test);
        } else if let Some(reason) = line.strip_prefix("skipped: ") {
            counts.skipped.push(format!("{}: {reason}", self.test));
            self.skipped += 1;
        } else if let Some(summary) = line.strip_prefix("test result: ") {
            self.in_failures = false;
            // The harness counted the skipped ones as passed.
            let passed = number_before(summary, " passed");
            counts.passed += passed.saturating_sub(std::mem::take(&mut self.skipped));
            counts.failed += number_before(summary, " failed");
            let ignored = number_before(summary, " ignored");
            counts.skipped.extend((0..ignored).map(|_| "a test marked as ignored".to_owned()));
        }
        self.in_failures |= line == "failures:";
        if self.in_failures {
            println!("{line}");
        }
    }
}

fn number_before(text: &str, word: &str) -> usize {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    before.rsplit([' ', ';']).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_counted_by_outcome() {
        let report = r#"<testsuite name="a"><testcase name="one" classname="a" time="0.1">
            </testcase><testcase name="two" classname="a"><failure type="x">no</failure></testcase>
            <testcase name="three" classname="a"><system-out>running
skipped: no shared folder
ok</system-out></testcase><testcase name="four" classname="a"><flakyFailure type="x">once
            </flakyFailure></testcase></testsuite>"#;
        let mut counts = Counts::default();
        count_report(report, &mut counts);
        assert_eq!((counts.passed, counts.failed), (2, 1));
        assert_eq!(counts.flaky, ["a four"]);
        assert_eq!(counts.skipped, ["a three: no shared folder"]);
    }

    #[test]
    fn the_plain_harness_is_counted_too() {
        let mut counts = Counts::default();
        let mut reader = OutputReader::default();
        for line in [
            "---- far::away stdout ----",
            "skipped: no python",
            "test result: ok. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out",
        ] {
            reader.line(line, &mut counts);
        }
        assert_eq!((counts.passed, counts.failed, counts.skipped.len()), (11, 1, 3));
    }
}
