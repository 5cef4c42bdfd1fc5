//! What each release of xend does otherwise.

/// A release, ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Profile {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) micro: u32,
}

/// The releases that can be simulated.
pub(crate) const PROFILES: &[&str] =
    &["3.0.0", "3.0.1", "3.0.2", "3.0.3", "3.0.4", "3.1", "3.2", "3.3", "3.4", "4.0", "4.1", "4.4"];

/// How a release says that there is no such domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// 404 and `No such domain X`.
    Such,
    /// 404 and `No domain named 'X'.`.
    Named,
    /// 500 and nothing.
    Nothing,
    /// 500 and the name of Python's own fault.
    Fault,
}

const fn release(major: u32, minor: u32, micro: u32) -> Profile {
    Profile { major, minor, micro }
}

impl Profile {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = PROFILES.iter().find(|name| **name == text)?;
        let mut parts = name.split('.').map(|part| part.parse().unwrap_or(0));
        let mut part = || parts.next().unwrap_or(0);
        Some(release(part(), part(), part()))
    }

    fn since(self, major: u32, minor: u32, micro: u32) -> bool {
        self >= release(major, minor, micro)
    }

    /// `xend_config_format`; the first releases have none.
    pub(crate) fn config_format(self) -> Option<u32> {
        match self {
            _ if self.since(3, 1, 0) => Some(4),
            _ if self.since(3, 0, 4) => Some(3),
            _ if self.since(3, 0, 3) => Some(2),
            _ => None,
        }
    }

    /// Domains that are kept without running.
    pub(crate) fn is_managing(self) -> bool {
        self.since(3, 0, 4)
    }

    pub(crate) fn has_credit(self) -> bool {
        self.since(3, 0, 3)
    }

    pub(crate) fn has_dump(self) -> bool {
        self.since(3, 0, 4)
    }

    /// Displays of paravirtual guests are devices.
    pub(crate) fn has_framebuffers(self) -> bool {
        self.since(3, 0, 4)
    }

    pub(crate) fn has_suffixes(self) -> bool {
        self.since(3, 0, 3)
    }

    pub(crate) fn wants_vcpus(self) -> bool {
        (self.major, self.minor) == (4, 1)
    }

    pub(crate) fn wants_force(self) -> bool {
        self.since(3, 3, 0)
    }

    pub(crate) fn wants_reset(self) -> bool {
        self.since(3, 4, 0)
    }

    /// A creation that fails is answered with 200.
    pub(crate) fn hides_failures(self) -> bool {
        !self.since(3, 0, 3)
    }

    /// An empty text is printed as two quotes, and two stray ones follow some answers.
    pub(crate) fn prints_empty(self) -> bool {
        self.since(4, 1, 0)
    }

    pub(crate) fn unknown(self) -> Unknown {
        match self {
            _ if self.since(3, 4, 0) => Unknown::Fault,
            _ if self.since(3, 1, 0) => Unknown::Nothing,
            _ if self.since(3, 0, 4) => Unknown::Named,
            _ => Unknown::Such,
        }
    }

    /// The fields of a migration, none of which may be missing.
    pub(crate) fn migration_fields(self) -> Vec<&'static str> {
        let mut fields = vec!["destination", "live"];
        if !self.since(3, 3, 0) {
            fields.push("resource");
        }
        if self.since(3, 0, 2) {
            fields.push("port");
        }
        if self.since(3, 3, 0) {
            fields.extend(["node", "ssl"]);
        }
        if self.since(4, 0, 0) {
            fields.push("change_home_server");
        }
        fields
    }

    pub(crate) fn extra(self) -> String {
        if (self.major, self.minor) == (3, 0) || self.micro != 0 {
            format!(".{}", self.micro)
        } else {
            ".0".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_and_have_their_formats() {
        let formats: Vec<_> = PROFILES
            .iter()
            .map(|name| Profile::parse(name).expect("a release").config_format())
            .collect();
        let expected =
            [None, None, None, Some(2), Some(3), Some(4), Some(4), Some(4), Some(4), Some(4)];
        assert_eq!(formats[..10], expected);
        assert!(Profile::parse("4.5").is_none());
    }
}
