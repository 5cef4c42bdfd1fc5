//! When a field is there: always, or only for running objects, where secrets are asked for, or in
//! the daemon's own files.

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

/// Of the daemon's own files only.
pub mod status {
    use crate::schema::{ParseFlags, PrintFlags};

    pub fn reads(flags: ParseFlags) -> bool {
        flags.status
    }

    pub fn prints(flags: PrintFlags) -> bool {
        flags.status
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
