//! What the two sides of a migration tell each other through the client between them.

use virt_types::Uuid;

use super::subnets::{self, Subnet};

/// Limit: a cookie is a few short lines.
const BYTES_MAX: usize = 4096;

/// The side that sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cookie {
    /// Which driver it is: the destination of the guide's command is the source itself.
    pub(super) instance: Option<Uuid>,
    /// Major and minor release of the hypervisor.
    pub(super) xen: Option<(u32, u32)>,
    /// Who made its processors.
    pub(super) vendor: String,
    pub(super) host: String,
    pub(super) domain: Option<Uuid>,
    /// Of the bridges that the guest is on.
    pub(super) subnets: Vec<Subnet>,
}

impl Cookie {
    pub(super) fn print(&self) -> Vec<u8> {
        let mut text = String::new();
        let mut line = |name: &str, value: String| text.push_str(&format!("{name}={value}\n"));
        if let Some(instance) = self.instance {
            line("instance", instance.to_string());
        }
        if let Some((major, minor)) = self.xen {
            line("xen", format!("{major}.{minor}"));
        }
        if let Some(domain) = self.domain {
            line("domain", domain.to_string());
        }
        line("subnets", subnets::print(&self.subnets));
        line("vendor", self.vendor.replace('\n', " "));
        line("host", self.host.replace('\n', " "));
        text.into_bytes()
    }

    /// One of another kind, or too long, says nothing.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= BYTES_MAX);
        let of = |name: &str| {
            let mut lines = text.unwrap_or_default().lines();
            lines.find_map(|line| line.split_once('=').filter(|(key, _)| *key == name))
        };
        let value = |name: &str| of(name).map(|(_, value)| value).unwrap_or_default();
        let xen = value("xen").split_once('.');
        Self {
            instance: Uuid::parse(value("instance")),
            xen: xen.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))),
            vendor: value("vendor").to_owned(),
            host: value("host").to_owned(),
            domain: Uuid::parse(value("domain")),
            subnets: subnets::parse(value("subnets")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let cookie = Cookie {
            instance: Some(Uuid([7; 16])),
            xen: Some((4, 1)),
            vendor: "GenuineIntel".to_owned(),
            host: "a=b".to_owned(),
            domain: Some(Uuid([9; 16])),
            subnets: subnets::parse("xenbr0:192.0.2.0/24"),
        };
        assert_eq!(Cookie::parse(&cookie.print()), cookie);
        assert_eq!(Cookie::parse(b"\xff\xfe"), Cookie::default());
        assert_eq!(Cookie::parse(&[b'x'; BYTES_MAX + 1]), Cookie::default());
    }
}
