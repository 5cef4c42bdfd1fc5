//! Atomic files, locks and directories of persistent documents; no model.
