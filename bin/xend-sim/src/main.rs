//! `xend-sim`: everything is in the library beside it.

fn main() -> std::process::ExitCode {
    xend_sim::run(std::env::args().skip(1))
}
