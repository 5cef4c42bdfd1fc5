//! `fuzz`: builds and runs the targets of `fuzz/`, on the stable compiler.
//!
//! libFuzzer wants coverage from the compiler, which stable keeps behind a switch meant for the
//! compiler's own build; it is set for this one build only, and nothing shipped is built with it.
//! Without a nightly standard library there is no address sanitizer: the targets forbid unsafe
//! code, so panics, hangs and memory growth are what there is to find.

use std::path::{Path, PathBuf};
use std::{fs, process::Command};

use crate::{process, workspace};

/// What one input may take before it counts as a hang, and what the process may hold.
const LIMITS: &[&str] = &["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536"];

/// Coverage of every branch and comparison, as `cargo fuzz` asks for it.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks --cfg fuzzing";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let folder = workspace::root().join("fuzz");
    let targets = targets(&folder)?;
    let (wanted, seconds) = parse(args)?;
    let Some(wanted) = wanted else {
        for target in &targets {
            let seeds = fs::read_dir(folder.join("corpus").join(target)).map_or(0, Iterator::count);
            println!("{target}: {seeds} seeds");
        }
        return Ok(());
    };
    let chosen: Vec<&String> =
        targets.iter().filter(|target| wanted == "all" || **target == wanted).collect();
    if chosen.is_empty() {
        return Err(format!("there is no target '{wanted}'; there are: {}", targets.join(", ")));
    }
    for target in chosen {
        let program = build(&folder, target)?;
        run_target(&folder, target, &program, seconds)?;
    }
    Ok(())
}

fn parse(args: &[String]) -> Result<(Option<String>, u64), String> {
    let mut wanted = None;
    let mut seconds = 60;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().ok_or("--seconds wants a number")?;
                seconds = value.parse().map_err(|_| format!("'{value}' is no number"))?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            target if wanted.is_none() => wanted = Some(target.to_owned()),
            other => return Err(format!("one target at a time, not also '{other}'")),
        }
    }
    Ok((wanted, seconds))
}

fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder.join("src/bin"))
        .map_err(|error| format!("no targets below {}: {error}", folder.display()))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut targets: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
    targets.sort();
    Ok(targets)
}

fn build(folder: &Path, target: &str) -> Result<PathBuf, String> {
    println!("building {target}");
    let target_folder = workspace::target().join("fuzz");
    let host = host()?;
    // With a target named, the flags reach neither build scripts nor macros.
    let args = ["build", "--release", "--locked", "--target", &host, "--bin", target];
    let mut cargo = process::cargo(folder, &args);
    cargo
        .env("CARGO_TARGET_DIR", &target_folder)
        .env("RUSTFLAGS", COVERAGE)
        .env("RUSTC_BOOTSTRAP", "1");
    process::run(&mut cargo)?;
    Ok(target_folder.join(host).join("release").join(target))
}

fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::output(&mut process::command(rustc, &["-vV"]))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "rustc does not name its host".to_owned())
}

/// Runs one target: new inputs go to a folder of their own, the checked-in seeds are only read.
fn run_target(folder: &Path, target: &str, program: &Path, seconds: u64) -> Result<(), String> {
    let found = workspace::target().join("fuzz/found").join(target);
    let artifacts = workspace::target().join("fuzz/artifacts").join(target);
    for made in [&found, &artifacts] {
        fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
    }
    let mut command = Command::new(program);
    command
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .arg(&found)
        .arg(folder.join("corpus").join(target));
    println!("{target}: {seconds} s");
    process::run(&mut command).map_err(|error| format!("{target}: a finding; {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_a_target_and_a_time() {
        let parse =
            |words: &[&str]| parse(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok((None, 60)));
        assert_eq!(parse(&["xml", "--seconds", "5"]), Ok((Some("xml".to_owned()), 5)));
        assert!(parse(&["xml", "xdr"]).is_err());
        assert!(parse(&["--seconds"]).is_err());
    }
}
