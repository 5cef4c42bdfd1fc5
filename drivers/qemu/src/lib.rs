//! The QEMU driver: guests as processes, driven over QMP.
