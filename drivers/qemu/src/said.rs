//! What emulators say by themselves, for those who asked for it: by name, by pattern, of one guest.

use regex_lite::{Regex, RegexBuilder};
use virt_driver::{
    Bus, MonitorEvent, MonitorFilter, MonitorSink, MonitorSource, SubscriptionId, Wanted,
};
use virt_error::{Code, Error, Origin, Result};

/// Limit: what a pattern may take when it is ready to be used.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A filter whose pattern was read.
struct Matcher {
    filter: MonitorFilter,
    pattern: Option<Regex>,
}

/// Where it comes from.
#[derive(Default)]
pub(crate) struct Said(Bus<Matcher>);

impl Said {
    /// Tells everyone who wants it; the event is made only if anybody listens at all.
    pub(crate) fn publish(&self, event: impl FnOnce() -> MonitorEvent) {
        if self.0.is_heard() {
            self.0.publish(&event());
        }
    }
}

impl Matcher {
    fn new(filter: MonitorFilter) -> Result<Self> {
        let read = |text: &String| {
            RegexBuilder::new(text)
                .case_insensitive(filter.any_case)
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map_err(|error| {
                    let detail = format!("failed to compile regex '{text}': {error}");
                    Error::new(Code::InvalidArg, Origin::Qemu, detail)
                })
        };
        let pattern = filter.name.as_ref().filter(|_| filter.pattern).map(read).transpose()?;
        Ok(Self { filter, pattern })
    }
}

impl Wanted for Matcher {
    type Event = MonitorEvent;

    fn matches(&self, event: &MonitorEvent) -> bool {
        self.filter.may_match(event)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&event.name))
    }
}

impl MonitorSource for Said {
    fn subscribe(&self, filter: MonitorFilter, sink: MonitorSink) -> Result<SubscriptionId> {
        Ok(self.0.add(Matcher::new(filter)?, sink))
    }

    fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        self.0.remove(id)
    }
}

#[cfg(test)]
mod tests {
    use virt_types::{DomainRef, Uuid};

    use super::*;

    #[test]
    fn a_pattern_is_found_anywhere_in_the_name() {
        let dom = DomainRef { name: "a".into(), uuid: Uuid([7; 16]), id: 1 };
        let event = MonitorEvent { dom, name: "STOP".to_owned(), at_us: 1, details: None };
        let matcher = |text: &str, any_case| {
            let name = Some(text.to_owned());
            Matcher::new(MonitorFilter { name, any_case, pattern: true, domain: None })
        };
        let matches = |text, any_case| matcher(text, any_case).unwrap().matches(&event);
        assert!(matches("ST.P", false) && matches("TO", false) && matches("st.p", true));
        assert!(!matches("st.p", false) && !matches("^TOP", false));
        let error = matcher("(", false).err().expect("no pattern");
        assert!(error.is(Code::InvalidArg), "{error:?}");
        assert!(error.message().contains("failed to compile regex '(': "), "{error:?}");
        assert!(matcher(&"(a{99}){999}".repeat(40), false).is_err());
    }
}
