//! Log filters and outputs in libvirt's syntax; no domains.
