//! The shell: libvirt's commands, output and exit codes.

fn main() {}
