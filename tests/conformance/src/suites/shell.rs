//! The shell's own cases: what our virsh prints, messages and all, in the order written.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use test_support::{our_program, run_merged};

use crate::{Case, Check, Suite, Verdict, compare};

/// None of them waits for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// Our shell, built once for all cases.
fn virsh() -> &'static std::path::Path {
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| our_program("virsh"))
}

/// The words of the case's command line, with what the suite's README says they stand for.
fn words(suite: &Suite, case: &Case) -> Result<Vec<String>, String> {
    let words = virt_json::parse(case.column("argv")).map_err(|error| error.to_string())?;
    let script = match case.inputs.iter().find(|file| file.ends_with(".in")) {
        Some(file) => suite.read(file)?,
        None => String::new(),
    };
    let node = suite.fixture("test-driver/testnode.xml");
    let custom = format!("test://{}", node.display());
    let data = suite.path("").display().to_string();
    let words = words.as_array().ok_or("argv is no list")?;
    let filled = words.iter().map(|word| {
        let word = word.as_str().ok_or("a word is no text")?;
        Ok(match word {
            "{SCRIPT}" => script.clone(),
            "{CUSTOM}" => custom.clone(),
            _ => word.replace("{DATA}", &data),
        })
    });
    filled.collect()
}

/// What stands after the case's own text on a line, up to the line's end, is dropped.
fn filtered(case: &Case, text: &str) -> String {
    let Some(filter) = case.text("filter") else { return text.to_owned() };
    let mut parts = text.split(filter.as_str());
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + part.find('\n').map_or("", |at| &part[at..]))
}

fn verdict(suite: &Suite, case: &Case) -> Verdict {
    let words = words(suite, case)?;
    let mut command = Command::new(virsh());
    command.args(words.get(1..).unwrap_or_default());
    command.env_clear().current_dir(suite.path("")).envs([("LANG", "C"), ("HOME", "/nonexistent")]);
    let variables = case.column("env").split(' ').filter_map(|pair| pair.split_once('='));
    let (mut made, code) =
        run_merged(command.envs(variables), LIMIT).map_err(|error| error.to_string())?;
    match code {
        Some(0) => {}
        Some(code) => made += &format!("\n## Exit code: {code}\n"),
        None => made += "\nended by a signal\n",
    }
    let wanted = suite.expected(case, ".out").ok_or("no expected text")??;
    compare::text(&wanted, &filtered(case, &made))
}

pub(super) fn judge(suite: &Suite, case: &Case) -> Vec<Check> {
    vec![verdict(suite, case).into()]
}
