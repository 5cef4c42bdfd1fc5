//! XML tree with positions, bounded parser, and a writer that prints as libvirt does; no I/O.
