//! Domain, network, pool and the other documents, to and from XML; no I/O, no drivers.
