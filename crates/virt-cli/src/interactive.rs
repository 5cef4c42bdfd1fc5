//! The interactive shell: prompt, history, completion; and lines from a pipe, echoed as they come.

use std::cell::RefCell;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::complete::{Offer, complete};
use crate::shell::Shell;

/// A shell that a person can talk to.
pub trait Interactive: Shell {
    /// What the person reads first, without a line's end.
    const WELCOME: &'static str;
    /// The variable that says how many lines are kept for later sessions.
    const HISTORY_VARIABLE: &'static str;

    fn prompt(&self) -> &'static str;
}

/// Reads and runs commands until the end. The outcome of single commands does not matter.
pub fn converse<S: Interactive>(mut shell: S) -> bool {
    shell.session().interactive = true;
    if shell.session().connects_first
        && let Err(failure) = shell.connect()
    {
        shell.session().report(&failure);
        return false;
    }
    shell.session().print_extra(format_args!(
        "{}\n\nType:  'help' for help with commands\n       'quit' to quit\n\n",
        S::WELCOME
    ));
    let terminal = rustix::termios::isatty(io::stdin());
    let mut shell = match terminal {
        true => edit_lines(shell),
        false => {
            read_lines(&mut shell);
            shell
        }
    };
    shell.session().print(format_args!("\n"));
    shell.session().flush();
    true
}

fn obey(shell: &mut impl Shell, line: &str) {
    if !line.is_empty() {
        shell.run_line(line);
    }
    shell.session().flush();
}

/// Compat: lines from a pipe are shown after the prompt, as the line editor would.
fn read_lines(shell: &mut impl Interactive) {
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        let prompt = shell.prompt();
        shell.session().print(format_args!("{prompt}{line}\n"));
        obey(shell, &line);
        if shell.session().quitting {
            return;
        }
    }
    let prompt = shell.prompt();
    shell.session().print(format_args!("{prompt}"));
}

/// What the line editor asks the shell.
struct Assistant<'a, S> {
    shell: &'a RefCell<S>,
}

impl<S: Shell> Completer for Assistant<'_, S> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..position).unwrap_or_default();
        let command = before.rfind(';').map_or(before, |at| &before[at + 1..]);
        let start = before.rfind([' ', '\t', ';']).map_or(0, |at| at + 1);
        let mut words: Vec<String> =
            command.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if words.is_empty() || before.ends_with([' ', '\t']) {
            words.push(String::new());
        }
        let found = complete(S::table(), &words, Offer::Objects);
        let mut candidates = found.words;
        if let Some(ask) = found.ask
            && let Ok(mut shell) = self.shell.try_borrow_mut()
        {
            candidates.extend(shell.names(&ask).unwrap_or_default());
        }
        // The only one that fits is a whole word.
        let end = if candidates.len() == 1 { " " } else { "" };
        let pairs = candidates
            .into_iter()
            .map(|word| Pair { replacement: format!("{word}{end}"), display: word })
            .collect();
        Ok((start, pairs))
    }
}

impl<S> Hinter for Assistant<'_, S> {
    type Hint = String;
}
impl<S> Highlighter for Assistant<'_, S> {}
impl<S> Validator for Assistant<'_, S> {}
impl<S: Shell> Helper for Assistant<'_, S> {}

fn edit_lines<S: Interactive>(mut shell: S) -> S {
    let file = history_file(shell.session().program);
    let history_max = history_size(S::HISTORY_VARIABLE);
    let shell = RefCell::new(shell);
    let config = Config::builder()
        .max_history_size(history_max)
        .map(|builder| builder.completion_type(CompletionType::List).build())
        .unwrap_or_default();
    let history = MemHistory::with_config(&config);
    let Ok(mut editor) = Editor::<Assistant<'_, S>, MemHistory>::with_history(config, history)
    else {
        read_lines(&mut *shell.borrow_mut());
        return shell.into_inner();
    };
    editor.set_helper(Some(Assistant { shell: &shell }));
    let mut lines = file.as_deref().map(load_history).unwrap_or_default();
    for line in &lines {
        let _ = editor.add_history_entry(line);
    }
    loop {
        shell.borrow_mut().session().flush();
        let shown = shell.borrow().prompt();
        match editor.readline(shown) {
            Ok(line) => {
                if !line.is_empty() {
                    let _ = editor.add_history_entry(line.as_str());
                    lines.push(line.clone());
                }
                let mut shell = shell.borrow_mut();
                obey(&mut *shell, &line);
                if shell.session().quitting {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(_) => break,
        }
    }
    if let Some(file) = file {
        let first = lines.len().saturating_sub(history_max);
        save_history(&file, &lines[first..]);
    }
    drop(editor);
    shell.into_inner()
}

/// How many lines are kept: what the variable says, or 500.
fn history_size(variable: &str) -> usize {
    const HISTORY_LINES: usize = 500;
    const HISTORY_LINES_MAX: usize = 500_000;
    let asked = std::env::var(variable).ok().and_then(|text| text.parse::<usize>().ok());
    asked.unwrap_or(HISTORY_LINES).min(HISTORY_LINES_MAX)
}

/// Where the history is kept between sessions.
fn history_file(program: &str) -> Option<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir()?.join(".cache"),
    };
    Some(cache.join("libvirt").join(program).join("history"))
}

fn load_history(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A history that cannot be kept is not worth a word.
fn save_history(file: &Path, lines: &[String]) {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = file.parent() {
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let opened =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    if let Ok(mut file) = opened {
        let _ = io::Write::write_all(&mut file, text.as_bytes());
    }
}
