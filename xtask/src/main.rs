//! The project's own tasks: codegen, tidy, test, demo.

mod codegen;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let outcome = match args.first().map(String::as_str) {
        Some("codegen") => codegen::run(root, args.iter().any(|arg| arg == "--check")),
        _ => Err("usage: cargo xtask codegen [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
