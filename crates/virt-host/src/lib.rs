//! The host: processes, pidfds, cgroups, CPU and memory facts; no drivers.
