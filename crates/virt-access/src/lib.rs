//! Who may do what with which object: a file of rules, asked for every permission of every call.
//!
//! `docs/access.md` describes the file. The crate knows neither sockets nor drivers: it is told who
//! calls and what the call is about, and looks into documents only for the names in them.
//!
//! ```
//! let text = "allow user=alice to domain.* on name=web-*\nallow everyone to connect.getattr\n";
//! assert_eq!(virt_access::Rules::parse(text)?.len(), 2);
//! let error = virt_access::Rules::parse("allow everyone to domain.strat\n").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 1, column 19: there is no permission 'domain.strat'; did you mean 'domain.start'?"
//! );
//! # Ok::<(), virt_access::RulesError>(())
//! ```

mod accounts;
mod generated;
mod object;
mod parse;
mod policy;
mod rules;

pub use accounts::{Identity, Socket};
pub use generated::PERMISSIONS;
pub use parse::RulesError;
pub use policy::{LoadError, Policy};
pub use rules::Rules;
