//! Whole messages: requests, answers and events, with what became of each of their parts.

use virt_xml::{Element, Limits};

use super::envelope::{attribute, is, kept, trimmed};
use super::{Content, Envelope, Item, MessageError, StanzaReader, legacy};

/// Limit: no document of the interface nests deeper than a dozen elements.
const DEPTH_MAX: usize = StanzaReader::DEPTH_MAX;
/// Limit: a thousand domains with a hundred resources each.
const ELEMENTS_MAX: usize = 1 << 20;

/// Which of the two documents it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A request or its answer.
    #[default]
    Interface,
    Event,
}

/// A document of the interface.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub kind: Kind,
    pub version: String,
    pub commands: Vec<Command>,
    /// Data without a command: constraints as the command line tool writes them to files.
    pub loose: Vec<Data>,
    /// What became of the whole; absent in requests and events.
    pub outcome: Option<Outcome>,
    pub other: Vec<Element<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    pub action: String,
    pub options: Vec<String>,
    pub data: Vec<Data>,
    pub outcome: Option<Outcome>,
    pub warnings: Vec<String>,
    pub other: Vec<Element<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// `3.0`; `2.0` has the older form.
    pub version: String,
    pub envelope: Option<Envelope>,
    pub outcome: Option<Outcome>,
    /// What the manager says beside a success.
    pub warnings: Vec<String>,
    pub other: Vec<Element<'static>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    pub messages: Vec<String>,
}

impl Outcome {
    fn read(element: &Element<'_>) -> (Option<bool>, Vec<String>) {
        let mut status = None;
        let mut messages = Vec::new();
        for child in element.elements() {
            if is(child, "status") {
                status = Some(trimmed(child).eq_ignore_ascii_case("success"));
            } else if is(child, "resp_msg") {
                messages.push(trimmed(child));
            }
        }
        messages.retain(|message| !message.is_empty());
        (status, messages)
    }

    /// Joins the responses of one part: the first status counts; what is said beside a success, or
    /// in a response without a status, is a warning.
    fn take(outcome: &mut Option<Self>, warnings: &mut Vec<String>, element: &Element<'_>) {
        match Self::read(element) {
            (Some(success), messages) if outcome.is_none() => {
                let messages = match success {
                    true => {
                        warnings.extend(messages);
                        Vec::new()
                    }
                    false => messages,
                };
                *outcome = Some(Self { success, messages });
            }
            (_, messages) => warnings.extend(messages),
        }
    }
}

impl Message {
    /// Reads a document.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let limits = Limits {
            size_bytes: StanzaReader::STANZA_BYTES_MAX,
            depth: DEPTH_MAX,
            elements: ELEMENTS_MAX,
            ..Limits::default()
        };
        let tree = virt_xml::parse_with(text, &limits).map_err(MessageError::Xml)?;
        let kind = match tree.local_name() {
            "LDM_interface" => Kind::Interface,
            "LDM_event" => Kind::Event,
            // Limit: a name is shown, not a document.
            other => return Err(MessageError::Root(other.chars().take(64).collect())),
        };
        Ok(Self::read(&tree, kind))
    }

    fn read(tree: &Element<'_>, kind: Kind) -> Self {
        let version = attribute(tree, "version").unwrap_or_default().trim().to_owned();
        let mut message = Self { kind, version, ..Self::default() };
        let mut stray = Vec::new();
        for child in tree.elements() {
            if is(child, "cmd") {
                message.commands.push(Command::read(child));
            } else if is(child, "data") {
                message.loose.push(Data::read(child));
            } else if is(child, "response") {
                Outcome::take(&mut message.outcome, &mut stray, child);
            } else {
                message.other.push(kept(child));
            }
        }
        // What the outer response says beside a success belongs to the last command.
        if let Some(last) = message.commands.last_mut() {
            last.warnings.append(&mut stray);
        }
        message
    }

    /// A request of one command.
    pub fn request(version: &str, command: Command) -> Self {
        Self { version: version.to_owned(), commands: vec![command], ..Self::default() }
    }

    /// All domains in the message.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let commands = self.commands.iter().flat_map(|command| &command.data);
        commands
            .chain(&self.loose)
            .filter_map(|data| data.envelope.as_ref())
            .flat_map(|e| &e.contents)
    }

    /// All items, of domains or not.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        let data = self.commands.iter().flat_map(|command| &command.data).chain(&self.loose);
        data.filter_map(|data| data.envelope.as_ref())
            .flat_map(|e| e.contents.iter().flat_map(Content::items).chain(e.items()))
    }

    /// Whether the answer says anywhere how it went.
    pub fn is_judged(&self) -> bool {
        let data = |command: &Command| command.data.iter().any(|data| data.outcome.is_some());
        let any = |command: &Command| command.outcome.is_some() || data(command);
        self.outcome.is_some() || self.commands.iter().any(any)
    }

    /// Whether every part went well: the warnings, or what was said of each part that failed.
    pub fn verdict(&self) -> Result<Vec<String>, Vec<String>> {
        let mut failed = false;
        let mut reasons = Vec::new();
        let mut warnings = Vec::new();
        let mut judge = |outcome: &Option<Outcome>| {
            if let Some(outcome) = outcome.as_ref().filter(|outcome| !outcome.success) {
                failed = true;
                reasons.extend(outcome.messages.iter().cloned());
            }
        };
        for command in &self.commands {
            for data in &command.data {
                judge(&data.outcome);
                warnings.extend(data.warnings.iter().cloned());
            }
            judge(&command.outcome);
            warnings.extend(command.warnings.iter().cloned());
        }
        judge(&self.outcome);
        if failed { Err(reasons) } else { Ok(warnings) }
    }
}

impl Command {
    pub fn new(action: &str) -> Self {
        Self { action: action.to_owned(), ..Self::default() }
    }

    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Adds an object; the version of the data is the sender's choice.
    #[must_use]
    pub fn about(mut self, envelope: Envelope) -> Self {
        self.data.push(Data { envelope: Some(envelope), ..Data::default() });
        self
    }

    fn read(element: &Element<'_>) -> Self {
        let mut command = Self::default();
        for child in element.elements() {
            if is(child, "action") && command.action.is_empty() {
                command.action = trimmed(child);
            } else if (is(child, "option") || is(child, "options"))
                && child.elements().next().is_none()
            {
                command.options.push(trimmed(child));
            } else if is(child, "data") {
                command.data.push(Data::read(child));
            } else if is(child, "response") {
                Outcome::take(&mut command.outcome, &mut command.warnings, child);
            } else {
                command.other.push(kept(child));
            }
        }
        command
    }
}

impl Data {
    fn read(element: &Element<'_>) -> Self {
        let version = attribute(element, "version").unwrap_or_default().trim().to_owned();
        let mut data = Self { version, ..Self::default() };
        for child in element.elements() {
            if is(child, "Envelope") && data.envelope.is_none() {
                data.envelope = Some(Envelope::read(child));
            } else if is(child, "ldom") {
                let envelope = data.envelope.get_or_insert_default();
                envelope.contents.push(legacy::read(child));
            } else if is(child, "response") {
                Outcome::take(&mut data.outcome, &mut data.warnings, child);
            } else if data.is_legacy() {
                let envelope = data.envelope.get_or_insert_default();
                envelope.sections.extend(legacy::read_object(child));
            } else {
                data.other.push(kept(child));
            }
        }
        data
    }

    /// Whether this is the form of the 1.0 releases.
    pub fn is_legacy(&self) -> bool {
        self.version.starts_with("2.")
    }
}
