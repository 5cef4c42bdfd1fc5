//! Command tables, grammar, completion and text tables for the shells; no drivers.
