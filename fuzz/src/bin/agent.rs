//! Feeds the `agent` target of tests/parsers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::feed("agent", bytes));
