//! The project's own tasks: codegen, tidy, test, demo.

fn main() {}
