//! What can go wrong between a manager and its clients, done on purpose.

use std::time::Duration;

/// A way to spoil an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed instead of an answer.
    CloseBefore,
    /// The connection is closed in the middle of the answer.
    CloseMid,
    /// Nothing comes.
    Silent,
    /// The answer comes byte by byte, in many writes.
    Split,
    /// The answer comes slowly.
    Slow,
    /// Bytes that are no XML come instead of the answer.
    Garbage,
    /// The answer is not UTF-8.
    BadUtf8,
    /// A document type stands before the answer.
    DocType,
    /// Elements are nested deeper than any answer needs.
    Deep,
    /// The answer does not end for megabytes.
    Huge,
    /// Events and unknown stanzas come before the answer, in the same write.
    Between,
    /// The answer is to another action.
    OtherAction,
    /// The answer has no response elements.
    NoStatus,
    /// The stream ends with an error.
    StreamError,
    /// The action is refused, whatever it is.
    Refuse,
    /// The action is done, and its answer lost.
    LoseAnswer,
    /// A stream's header is not answered.
    MuteHandshake,
    /// Encryption is offered and then refused.
    TlsRefused,
}

const NAMES: &[(&str, Fault)] = &[
    ("close-before", Fault::CloseBefore),
    ("close-mid-answer", Fault::CloseMid),
    ("silent", Fault::Silent),
    ("split-writes", Fault::Split),
    ("slow", Fault::Slow),
    ("garbage", Fault::Garbage),
    ("bad-utf8", Fault::BadUtf8),
    ("doctype", Fault::DocType),
    ("deep", Fault::Deep),
    ("huge", Fault::Huge),
    ("events-between", Fault::Between),
    ("other-action", Fault::OtherAction),
    ("no-status", Fault::NoStatus),
    ("stream-error", Fault::StreamError),
    ("refuse", Fault::Refuse),
    ("lose-answer", Fault::LoseAnswer),
    ("mute-handshake", Fault::MuteHandshake),
    ("tls-refused", Fault::TlsRefused),
];

/// How an answer is to be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The writes, in order, and the pause after each.
    pub(crate) writes: Vec<Vec<u8>>,
    pub(crate) pause: Duration,
    /// The connection ends after them.
    pub(crate) closes: bool,
}

impl Delivery {
    /// The answer as it is, in one write.
    pub(crate) fn plain(text: String) -> Self {
        Self { writes: vec![text.into_bytes()], ..Self::default() }
    }
}

/// How much a huge answer has: more than a careful client takes.
const HUGE_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 1 << 16;
const DEPTH: usize = 100_000;

impl Fault {
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        if text == "none" {
            return Ok(None);
        }
        match NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, fault)) => Ok(Some(*fault)),
            None => {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                Err(format!("not none, {}", names.join(", ")))
            }
        }
    }

    /// Whether it happens before there are any documents.
    pub(crate) fn is_early(self) -> bool {
        matches!(self, Self::MuteHandshake | Self::TlsRefused)
    }

    /// Whether the request is not done at all.
    pub(crate) fn prevents(self) -> bool {
        matches!(self, Self::CloseBefore | Self::Silent | Self::Garbage | Self::StreamError)
    }

    /// Spoils an answer.
    pub(crate) fn spoil(self, answer: &str) -> Delivery {
        let one = |text: String| Delivery::plain(text);
        let closing = |text: &[u8]| Delivery {
            writes: vec![text.to_vec()],
            pause: Duration::ZERO,
            closes: true,
        };
        match self {
            Self::CloseBefore | Self::LoseAnswer => closing(b""),
            Self::CloseMid => {
                closing(answer.as_bytes().get(..answer.len() / 2).unwrap_or_default())
            }
            Self::Silent => Delivery::default(),
            Self::Split => Delivery {
                writes: answer.bytes().map(|byte| vec![byte]).collect(),
                ..Delivery::default()
            },
            Self::Slow => Delivery {
                writes: answer
                    .as_bytes()
                    .chunks(answer.len().div_ceil(10).max(1))
                    .map(<[u8]>::to_vec)
                    .collect(),
                pause: Duration::from_millis(100),
                closes: false,
            },
            Self::Garbage => one("\u{1}<<& ]]> </LDM_interface></x>".to_owned()),
            Self::BadUtf8 => {
                let mut bytes = answer.as_bytes().to_vec();
                let at = answer.find("<response>").unwrap_or(0);
                bytes.splice(at..at, *b"<x>\xff\xfe</x>");
                Delivery { writes: vec![bytes], ..Delivery::default() }
            }
            Self::DocType => one(format!(
                "<!DOCTYPE LDM_interface [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>{answer}"
            )),
            Self::Deep => one(format!("{}{}", "<LDM_interface>".repeat(DEPTH), answer)),
            Self::Huge => huge(),
            Self::Between => one(format!(
                "{}<presence/>\n<LDM_event version=\"9.9\"><cmd><action>x-unknown</action></cmd>\
                 </LDM_event>{answer}",
                between()
            )),
            Self::OtherAction => one(answer.replacen("<action>", "<action>x-other-", 1)),
            Self::NoStatus => {
                one(answer.replace("<response>", "<x-none>").replace("</response>", "</x-none>"))
            }
            Self::StreamError => closing(
                b"<stream:error><internal-server-error \
                  xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
            ),
            Self::Refuse | Self::MuteHandshake | Self::TlsRefused => one(answer.to_owned()),
        }
    }
}

fn between() -> &'static str {
    "<LDM_event version=\"1.0\"><cmd><action>start-domain</action><data version=\"3.0\"><Envelope>\
     <References/><Content xsi:type=\"ovf:VirtualSystem_Type\" ovf:id=\"x-no-such-domain\"/>\
     </Envelope></data></cmd></LDM_event>"
}

fn huge() -> Delivery {
    let mut writes = vec![b"<LDM_interface version=\"1.0\"><cmd><action>".to_vec()];
    writes.extend(std::iter::repeat_n(vec![b'x'; CHUNK_BYTES], HUGE_BYTES / CHUNK_BYTES));
    Delivery { writes, ..Delivery::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_and_changes_the_answer() {
        let answer = "<LDM_interface><cmd><action>a</action><response>x</response></cmd>\
                      </LDM_interface>";
        for (name, fault) in NAMES {
            assert_eq!(Fault::parse(name), Ok(Some(*fault)));
            let spoiled = fault.spoil(answer);
            let is_same = spoiled == Delivery::plain(answer.to_owned());
            assert_eq!(is_same, *fault == Fault::Refuse || fault.is_early(), "{name}");
        }
        assert!(Fault::parse("none").is_ok_and(|fault| fault.is_none()));
        assert!(Fault::parse("x").is_err());
    }
}
