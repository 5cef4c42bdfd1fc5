//! The remote driver: every call goes over the wire to a daemon.
