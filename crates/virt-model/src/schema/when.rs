//! When a field is there: always, or only for running objects, or only where secrets are asked for.

/// Of running objects only.
pub mod live {
    use crate::schema::{ParseFlags, PrintFlags};

    pub fn reads(flags: ParseFlags) -> bool {
        !flags.inactive
    }

    pub fn prints(flags: PrintFlags) -> bool {
        !flags.inactive
    }
}

/// Secrets.
pub mod secure {
    use crate::schema::{ParseFlags, PrintFlags};

    pub fn reads(_: ParseFlags) -> bool {
        true
    }

    pub fn prints(flags: PrintFlags) -> bool {
        flags.secure
    }
}
