//! Blocking RPC client on virt-wire: calls, events, streams, keepalive; no runtime.
