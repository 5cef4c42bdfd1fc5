//! The daemon's program; everything is in the library beside it, where tests and the fuzzer reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    virtd::main()
}
