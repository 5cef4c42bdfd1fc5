//! The command table: commands, their options and their groups, all of it static data.

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value: `--all`.
    Bool,
    String,
    /// A number; whether signed, unsigned or with a unit is for the command to say.
    Number,
    /// Any number of words.
    Argv,
    /// Another spelling of the named option, possibly with its value: `mode=shareable`.
    Alias(&'static str),
}

/// Where completion finds values for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Nothing is known.
    Unknown,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A comma-separated list of these words.
    WordList(&'static [&'static str]),
    /// A file name.
    File,
    /// The name of a command.
    Command,
    /// An object of the shell's own kind ("domain", "network"): the shell is asked.
    Object(&'static str),
}

/// One option of a command.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
    /// Taken without its name, in table order.
    pub positional: bool,
    pub required: bool,
    /// Compat: also taken without its name once all positional ones are filled. Old scripts rely on
    /// it, although the help never says so.
    pub unwanted_positional: bool,
    pub allow_empty: bool,
    pub values: Values,
}

impl Opt {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            help,
            positional: false,
            required: false,
            unwanted_positional: false,
            allow_empty: false,
            values: Values::Unknown,
        }
    }

    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Bool, help)
    }

    pub const fn string(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::String, help)
    }

    pub const fn number(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Number, help)
    }

    pub const fn argv(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Argv, help)
    }

    /// Another spelling of `target`, which is `NAME` or `NAME=VALUE`.
    pub const fn alias(name: &'static str, target: &'static str) -> Self {
        Self::new(name, Kind::Alias(target), "")
    }

    /// Positional, may be left out.
    #[must_use]
    pub const fn at(mut self) -> Self {
        self.positional = true;
        self
    }

    /// Positional and required.
    #[must_use]
    pub const fn needed(mut self) -> Self {
        self.positional = true;
        self.required = true;
        self
    }

    #[must_use]
    pub const fn unwanted(mut self) -> Self {
        self.unwanted_positional = true;
        self
    }

    #[must_use]
    pub const fn or_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    #[must_use]
    pub const fn of(mut self, values: Values) -> Self {
        self.values = values;
        self
    }

    /// Whether the option takes the next word as its value.
    pub fn takes_value(&self) -> bool {
        matches!(self.kind, Kind::String | Kind::Number | Kind::Argv)
    }

    /// The placeholder of its value in a synopsis.
    pub fn placeholder(&self) -> &'static str {
        if self.kind == Kind::Number { "number" } else { "string" }
    }
}

/// One command; `H` is the shell's function type.
#[derive(Debug)]
pub struct Command<H: 'static> {
    pub name: &'static str,
    /// One line, shown in lists.
    pub summary: &'static str,
    /// A paragraph, shown on its own page; may be empty.
    pub about: &'static str,
    pub options: &'static [Opt],
    /// Works without an open connection.
    pub offline: bool,
    /// Left out of lists and completion: old names, and commands for programs.
    pub hidden: bool,
    /// The command that this one is another name of.
    pub alias_of: Option<&'static str>,
    pub run: H,
}

impl<H: Copy> Command<H> {
    pub const fn new(
        name: &'static str,
        run: H,
        summary: &'static str,
        about: &'static str,
        options: &'static [Opt],
    ) -> Self {
        Self { name, summary, about, options, offline: false, hidden: false, alias_of: None, run }
    }

    #[must_use]
    pub const fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    #[must_use]
    pub const fn alias_of(mut self, name: &'static str) -> Self {
        self.alias_of = Some(name);
        self
    }
}

/// A group of commands, as help lists them.
#[derive(Debug)]
pub struct Group<H: 'static> {
    pub title: &'static str,
    pub keyword: &'static str,
    /// In lists, so that a large group can be written down in several files.
    pub commands: &'static [&'static [Command<H>]],
}

impl<H> Group<H> {
    pub fn commands(&self) -> impl Iterator<Item = &'static Command<H>> + use<H> {
        self.commands.iter().flat_map(|list| list.iter())
    }
}

/// All commands of a shell.
#[derive(Debug)]
pub struct Table<H: 'static> {
    pub groups: &'static [Group<H>],
    /// What facts commands print, as [`crate::Facts`] reads it; empty where none can be asked for.
    pub facts: &'static str,
}

impl<H> Table<H> {
    /// The command of this name, aliases resolved.
    pub fn find(&self, name: &str) -> Option<&'static Command<H>> {
        let found = self.commands().find(|command| command.name == name)?;
        match found.alias_of {
            Some(target) => self.commands().find(|command| command.name == target),
            None => Some(found),
        }
    }

    pub fn group(&self, name: &str) -> Option<&'static Group<H>> {
        self.groups.iter().find(|group| group.title == name || group.keyword == name)
    }

    /// Every command in table order, hidden ones too.
    pub fn commands(&self) -> impl Iterator<Item = &'static Command<H>> + use<H> {
        self.groups.iter().flat_map(Group::commands)
    }
}
