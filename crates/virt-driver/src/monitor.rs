//! What emulators say by themselves, word for word: for those who look for a fault with it.

use std::sync::Arc;

use virt_error::Result;
use virt_types::{DomainRef, Uuid};

use crate::SubscriptionId;

/// One such word.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorEvent {
    pub dom: DomainRef,
    pub name: String,
    /// Since 1970.
    pub at_us: u64,
    /// What came with it, as JSON.
    pub details: Option<String>,
}

/// Which are wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MonitorFilter {
    pub domain: Option<Uuid>,
    pub name: Option<String>,
    /// Capitals and small letters are the same.
    pub any_case: bool,
    /// The name is a regular expression that the event's name holds somewhere.
    pub pattern: bool,
}

impl MonitorFilter {
    /// Whether an event may be wanted: a pattern is for the driver to look at.
    pub fn may_match(&self, event: &MonitorEvent) -> bool {
        let is_named = |name: &String| match self.any_case {
            _ if self.pattern => true,
            true => name.eq_ignore_ascii_case(&event.name),
            false => *name == event.name,
        };
        self.domain.is_none_or(|uuid| uuid == event.dom.uuid)
            && self.name.as_ref().is_none_or(is_named)
    }
}

/// Receives them. It must not wait.
pub type MonitorSink = Arc<dyn Fn(&MonitorEvent) + Send + Sync>;

/// Where they come from.
pub trait MonitorSource: Send + Sync {
    fn subscribe(&self, filter: MonitorFilter, sink: MonitorSink) -> Result<SubscriptionId>;
    fn unsubscribe(&self, id: SubscriptionId) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_domains_are_wanted_one_by_one_or_all() {
        let dom = DomainRef { name: "a".into(), uuid: Uuid([7; 16]), id: 1 };
        let event = MonitorEvent { dom, name: "RESUME".to_owned(), at_us: 1, details: None };
        let named = |name: &str, any_case| {
            MonitorFilter { name: Some(name.to_owned()), any_case, ..MonitorFilter::default() }
                .may_match(&event)
        };
        assert!(named("RESUME", false) && named("resume", true));
        assert!(!named("resume", false) && !named("STOP", true));
        let of = |byte| {
            MonitorFilter { domain: Some(Uuid([byte; 16])), ..MonitorFilter::default() }
                .may_match(&event)
        };
        assert!(of(7) && !of(8) && MonitorFilter::default().may_match(&event));
    }
}
