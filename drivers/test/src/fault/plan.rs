//! What was asked for, as a document says it, and how often it has happened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use virt_error::{Code, Error, Origin, Result};
use virt_types::glob;
use virt_xml::Element;

use super::{HANG_MAX, Trouble};

/// The namespace of our elements; `fault` is the usual prefix.
pub(crate) const NAMESPACE: &str = "urn:ferrovirt:fault:1";

/// Limit: faults in one document.
const RULES_MAX: usize = 64;

/// Limit: milliseconds that a call is made to wait, or a guest lives.
const WAIT_MS_MAX: u64 = 60 * 60 * 1000;

/// Limit: numbers of error codes that are tried for a name.
const CODES_MAX: i32 = 200;

/// The faults of one document, in its order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Which calls, by the name of their public function; none for what only time brings.
    call: Option<String>,
    /// Which objects, by name; all where nothing is said.
    name: Option<String>,
    /// So many of these calls are spared at first.
    skip: u64,
    /// So many are met after them.
    times: Option<u64>,
    percent: u64,
    fault: Fault,
    past: Mutex<Past>,
}

#[derive(Clone, Debug)]
enum Fault {
    Latency(Span),
    Hang,
    Fail(Code, String),
    Crash(Span),
}

/// A time with a part that varies.
#[derive(Clone, Copy, Debug)]
struct Span {
    ms: u64,
    jitter_ms: u64,
}

/// What a rule remembers.
#[derive(Debug)]
struct Past {
    seen: u64,
    met: u64,
    /// The state of its generator: the same seed gives the same run.
    random: u64,
}

impl Past {
    /// The next number of a generator that everybody can rebuild (splitmix64), below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.random;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)).checked_rem(bound).unwrap_or(0)
    }

    fn time(&mut self, span: Span) -> Duration {
        let extra = self.below(span.jitter_ms.saturating_add(1));
        Duration::from_millis(span.ms.saturating_add(extra))
    }
}

fn wrong(detail: String) -> Error {
    Error::new(Code::XmlError, Origin::Test, detail)
}

impl Plan {
    /// The faults among an element's children; `outer` may be where their prefix is bound.
    pub(crate) fn of(element: &Element<'_>, outer: Option<&Element<'_>>) -> Result<Self> {
        let ours = |child: &&Element<'_>| match child.prefix() {
            None => child.attr("xmlns") == Some(NAMESPACE),
            Some(prefix) => {
                let above = element.namespace_of(prefix);
                let above = above.or_else(|| outer.and_then(|outer| outer.namespace_of(prefix)));
                child.namespace_of(prefix).or(above) == Some(NAMESPACE)
            }
        };
        Self::from_elements(element.elements().filter(ours))
    }

    /// The faults among what a document has of other vocabularies.
    pub(crate) fn of_foreign(
        namespaces: &[virt_model::domain::Namespace],
        foreign: &[Element<'_>],
    ) -> Result<Self> {
        let ours = namespaces.iter().find(|namespace| namespace.uri == NAMESPACE);
        let Some(prefix) = ours.map(|namespace| namespace.prefix.as_str()) else {
            return Ok(Self::default());
        };
        Self::from_elements(foreign.iter().filter(|tree| tree.prefix() == Some(prefix)))
    }

    fn from_elements<'e>(elements: impl Iterator<Item = &'e Element<'e>>) -> Result<Self> {
        let mut rules = Vec::new();
        for element in elements {
            if rules.len() >= RULES_MAX {
                return Err(wrong(format!("more than {RULES_MAX} faults in one document")));
            }
            rules.push(Rule::of(element)?);
        }
        Ok(Self { rules })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Adds what this plan has for a call, up to the first failure.
    pub(super) fn collect(&self, call: &str, name: Option<&str>, trouble: &mut Trouble) {
        for rule in &self.rules {
            if trouble.failure.is_some() {
                return;
            }
            if rule.call.as_deref().is_some_and(|pattern| glob(pattern, call)) {
                rule.meet(name, trouble);
            }
        }
    }

    /// When a guest that starts now crashes by itself.
    pub(super) fn crash_after(&self, name: &str) -> Option<Duration> {
        self.rules.iter().filter(|rule| rule.call.is_none()).find_map(|rule| rule.crash_after(name))
    }
}

impl Rule {
    fn of(element: &Element<'_>) -> Result<Self> {
        let number = |name: &str| -> Result<Option<u64>> {
            let read = element.attr_number::<u64>(name);
            read.map_err(|_| wrong(format!("fault: '{name}' wants a number")))
        };
        let span = |name: &str| -> Result<Option<Span>> {
            let jitter_ms = number("jitter-ms")?.unwrap_or(0);
            let Some(ms) = number(name)? else { return Ok(None) };
            if ms.max(jitter_ms) > WAIT_MS_MAX {
                return Err(wrong(format!("fault: '{name}' is more than {WAIT_MS_MAX}")));
            }
            Ok(Some(Span { ms, jitter_ms }))
        };
        let mut call = element.attr("call").map(str::to_owned);
        let fault = match element.local_name() {
            "latency" => match span("ms")? {
                Some(span) => Fault::Latency(span),
                None => return Err(wrong("fault: latency wants 'ms'".to_owned())),
            },
            "hang" => Fault::Hang,
            "fail" => {
                let message = element.attr("message").unwrap_or("fault injected on request");
                Fault::Fail(code(element.attr("code"))?, message.to_owned())
            }
            "crash" => match span("after-ms")? {
                Some(_) if call.is_some() => {
                    let detail = "fault: a crash has either 'call' or 'after-ms'";
                    return Err(wrong(detail.to_owned()));
                }
                Some(span) => Fault::Crash(span),
                None if call.is_some() => Fault::Crash(Span { ms: 0, jitter_ms: 0 }),
                None => {
                    return Err(wrong("fault: a crash wants 'call' or 'after-ms'".to_owned()));
                }
            },
            other => return Err(wrong(format!("fault: there is no '{other}'"))),
        };
        if !matches!(fault, Fault::Crash(_)) {
            call.get_or_insert_with(|| "*".to_owned());
        }
        let percent = number("percent")?.unwrap_or(100);
        if percent > 100 {
            return Err(wrong("fault: 'percent' is more than 100".to_owned()));
        }
        let past = Past { seen: 0, met: 0, random: number("seed")?.unwrap_or(0) };
        Ok(Self {
            call,
            name: element.attr("name").map(str::to_owned),
            skip: number("skip")?.unwrap_or(0),
            times: number("times")?,
            percent,
            fault,
            past: Mutex::new(past),
        })
    }

    /// Whether it is this rule's turn, which it notes.
    fn is_due(&self, name: Option<&str>, past: &mut Past) -> bool {
        if let Some(pattern) = &self.name
            && !name.is_some_and(|name| glob(pattern, name))
        {
            return false;
        }
        past.seen = past.seen.saturating_add(1);
        if past.seen <= self.skip || self.times.is_some_and(|times| past.met >= times) {
            return false;
        }
        if self.percent < 100 && past.below(100) >= self.percent {
            return false;
        }
        past.met = past.met.saturating_add(1);
        true
    }

    fn meet(&self, name: Option<&str>, trouble: &mut Trouble) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_due(name, &mut past) {
            return;
        }
        match &self.fault {
            Fault::Latency(span) => trouble.wait = trouble.wait.saturating_add(past.time(*span)),
            Fault::Hang => trouble.wait = HANG_MAX,
            Fault::Fail(code, message) => {
                trouble.failure = Some(Error::new(*code, Origin::Test, message.as_str()));
            }
            Fault::Crash(_) => trouble.crash = true,
        }
    }

    fn crash_after(&self, name: &str) -> Option<Duration> {
        let Fault::Crash(span) = self.fault else { return None };
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_due(Some(name), &mut past).then(|| past.time(span))
    }
}

/// An error code by its number, or by its name as `operation-failed` or `VIR_ERR_OPERATION_FAILED`.
fn code(text: Option<&str>) -> Result<Code> {
    let Some(text) = text else { return Ok(Code::OperationFailed) };
    let known = |number: i32| Code::from_number(number).filter(|code| *code != Code::Ok);
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], "");
    let wanted = plain(text.strip_prefix("VIR_ERR_").unwrap_or(text));
    let found = match text.parse() {
        Ok(number) => known(number),
        Err(_) => {
            (1..CODES_MAX).filter_map(known).find(|code| plain(&format!("{code:?}")) == wanted)
        }
    };
    found.ok_or_else(|| wrong(format!("fault: there is no error code '{text}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(inside: &str) -> Result<Plan> {
        let text = format!("<node xmlns:f='{NAMESPACE}'>{inside}</node>");
        let tree = virt_xml::parse(&text).unwrap();
        Plan::of(&tree, None)
    }

    fn meet(plan: &Plan, call: &str, name: Option<&str>) -> Trouble {
        let mut trouble = Trouble::default();
        plan.collect(call, name, &mut trouble);
        trouble
    }

    #[test]
    fn calls_are_spared_met_and_spared_again() {
        let plan =
            plan("<f:fail call='virDomainC*' skip='1' times='2' code='no-domain'/>").unwrap();
        let met = |call| meet(&plan, call, None).failure.is_some();
        let calls = ["virDomainCreate"; 5].map(met);
        assert_eq!(calls, [false, true, true, false, false]);
        assert!(!met("virDomainDestroy"));
    }

    #[test]
    fn codes_have_numbers_and_names() {
        for (text, want) in [
            ("9", Some(Code::OperationFailed)),
            ("operation-failed", Some(Code::OperationFailed)),
            ("VIR_ERR_NO_DOMAIN", Some(Code::NoDomain)),
            ("0", None),
            ("nosuch", None),
            ("-3", None),
        ] {
            assert_eq!(code(Some(text)).ok(), want, "{text}");
        }
    }

    #[test]
    fn waits_add_up_until_something_fails() {
        let text = "<f:latency ms='20'/><latency xmlns='urn:ferrovirt:fault:1' ms='5' name='a*'/>\
                    <f:fail name='b'/><f:latency ms='100'/><g:latency ms='x'/>";
        let plan = plan(text).unwrap();
        let (a, b) = (meet(&plan, "x", Some("aa")), meet(&plan, "x", Some("b")));
        assert_eq!((a.wait.as_millis(), a.failure.is_some()), (125, false));
        assert_eq!((b.wait.as_millis(), b.failure.is_some()), (20, true));
    }

    #[test]
    fn chance_is_the_same_in_every_run() {
        let run = |seed: u64| -> Vec<bool> {
            let plan = plan(&format!("<f:fail percent='30' seed='{seed}'/>")).unwrap();
            (0..1000).map(|_| meet(&plan, "x", None).failure.is_some()).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let met = run(7).iter().filter(|met| **met).count();
        assert!((230..370).contains(&met), "{met} of 1000 at 30 percent");
    }

    #[test]
    fn what_is_asked_for_wrongly_is_said() {
        for (inside, want) in [
            ("<f:latency/>", "fault: latency wants 'ms'"),
            ("<f:latency ms='soon'/>", "fault: 'ms' wants a number"),
            ("<f:latency ms='3600001'/>", "fault: 'ms' is more than 3600000"),
            ("<f:fail code='x'/>", "fault: there is no error code 'x'"),
            ("<f:fail percent='101'/>", "fault: 'percent' is more than 100"),
            ("<f:crash/>", "fault: a crash wants 'call' or 'after-ms'"),
            ("<f:crash call='x' after-ms='1'/>", "fault: a crash has either 'call' or 'after-ms'"),
            ("<f:fire/>", "fault: there is no 'fire'"),
        ] {
            let error = plan(inside).unwrap_err();
            assert_eq!(error.message(), format!("XML error: {want}"), "{inside}");
        }
        assert!(plan(&"<f:hang/>".repeat(RULES_MAX)).is_ok());
        assert!(plan(&"<f:hang/>".repeat(RULES_MAX + 1)).is_err());
    }
}
