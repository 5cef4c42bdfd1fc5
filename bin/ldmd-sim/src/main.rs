//! `ldmd-sim`: everything is in the library beside it, so that its reader can be fuzzed.

fn main() -> std::process::ExitCode {
    ldmd_sim::run(std::env::args().skip(1))
}
