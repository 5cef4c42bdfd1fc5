//! Wire call in, driver call out, with access checked on the way; no sockets, no hypervisor.
