//! The project's own tasks: `cargo xtask TASK`; without a task it lists them.
#![allow(clippy::print_stdout)] // a tool for people: its output is its purpose

mod codegen;
mod conformance;
mod demo;
mod features;
mod fuzz;
mod gssapi;
mod matrix;
mod miri;
mod process;
mod setup;
mod source;
mod test;
mod tidy;
mod workspace;
mod xen;

use std::process::ExitCode;

/// One task: its name, its arguments, what it does, and the function that does it.
struct Task {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), String>,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        usage: "",
        about: "a real Linux guest from definition to shutdown, on a private daemon",
        run: demo::run,
    },
    Task {
        name: "test",
        usage: "[--long]",
        about: "every check and every test, as continuous integration runs them",
        run: test::run,
    },
    Task {
        name: "setup",
        usage: "[--print]",
        about: "install what demo and test need through apt, or only say what is missing",
        run: setup::run,
    },
    Task {
        name: "codegen",
        usage: "[--check]",
        about: "write the generated sources from protocol/, or only compare",
        run: run_codegen,
    },
    Task {
        name: "tidy",
        usage: "",
        about: "the rules that no compiler checks: edges between crates, files, licences",
        run: tidy::run,
    },
    Task {
        name: "features",
        usage: "[STATE]",
        about: "count docs/features.tsv by state, and check that each named test exists",
        run: features::run,
    },
    Task {
        name: "matrix",
        usage: "[FAMILY]",
        about: "which driver answers which call of the seam",
        run: matrix::run,
    },
    Task {
        name: "conformance",
        usage: "[--data DIR] [--failing] [--diff] [SUITE[/CASE]…]",
        about: "run libvirt's own cases, and count what comes out the same",
        run: conformance::run,
    },
    Task {
        name: "fuzz",
        usage: "[TARGET|all] [--seconds N]",
        about: "list the fuzz targets, or run one, or each in turn",
        run: fuzz::run,
    },
    Task {
        name: "miri",
        usage: "",
        about: "run the unsafe code that Miri can run under Miri",
        run: miri::run,
    },
    Task {
        name: "xen",
        usage: "[--release X.Y] [--long] [--prepare]",
        about: "a guest's life on a real Xen under QEMU; its packages are fetched once",
        run: xen::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        print_tasks();
        return ExitCode::SUCCESS;
    };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("xtask: there is no task '{name}'");
        print_tasks();
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn print_tasks() {
    println!("cargo xtask TASK");
    for task in TASKS {
        println!("  {:<32} {}", format!("{} {}", task.name, task.usage), task.about);
    }
}

fn run_codegen(args: &[String]) -> Result<(), String> {
    let [check] = switches(args, ["--check"])?;
    codegen::run(&workspace::root(), check)
}

/// Which of the `known` switches were given; anything else is an error.
fn switches<const N: usize>(args: &[String], known: [&str; N]) -> Result<[bool; N], String> {
    if let Some(other) = args.iter().find(|arg| !known.contains(&arg.as_str())) {
        return Err(format!("unknown argument '{other}'"));
    }
    Ok(known.map(|switch| args.iter().any(|arg| arg == switch)))
}
