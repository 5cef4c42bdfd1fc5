//! Command tables, grammar, completion and text tables for the shells; no drivers.
//!
//! A shell is a table: one [`Command`] per command, one [`Opt`] per option, both static. The parser,
//! the help pages and the completion read that table and nothing else, so they cannot disagree.
//! What a command does is a function of the shell's own; its type is the parameter `H` everywhere.
//! [`Shell`] runs what was typed, [`converse`] does so for a person, and [`Session`] is what both
//! print to. This crate knows nothing of connections and drivers.

mod args;
mod cell;
mod complete;
mod facts;
mod failure;
mod global;
mod grid;
mod help;
mod hints;
mod interactive;
mod itself;
mod listing;
mod manual;
mod output;
mod parse;
mod session;
mod shell;
mod table;
mod words;
mod yaml;

pub use args::{Args, Problem, parse_scaled};
pub use cell::Cell;
pub use complete::{Ask, Completion, Offer, complete};
pub use facts::{Facts, Shape};
pub use failure::{Done, During, Failure, fail};
pub use global::{GlobalOption, Takes, Typed as GlobalTyped, scan_globals};
pub use grid::{Charset, Grid};
pub use help::{command_help, group_help, options_overview};
pub use hints::hints_wanted;
pub use interactive::{Interactive, converse};
pub use itself::split_commas;
pub use listing::{Column, Listing};
pub use manual::{Manual, manual};
pub use output::{Format, render, render_next};
pub use parse::{Mistake, Parsed, Unknown, parse_line, parse_words, unsupported};
pub use session::{LEVEL_DEBUG, LEVEL_ERROR, LEVEL_INFO, Session, charset, complain};
pub use shell::{Run, Shell};
pub use table::{Command, Group, Kind, Opt, Table, Values};
