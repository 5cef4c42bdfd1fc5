//! XDR reader and writer that check every limit before they allocate; no I/O.
