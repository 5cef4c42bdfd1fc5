//! The test driver: libvirt's default world, in memory.
