//! URIs and the ways to a daemon: unix sockets today; no drivers.
