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

use crate::completion;
use crate::shell::{Shell, say, sayln};
use crate::table::TABLE;

const WELCOME: &str = "Welcome to virsh, the virtualization interactive terminal.\n\n\
    Type:  'help' for help with commands\n       'quit' to quit\n\n";

/// Reads and runs commands until the end. The outcome of single commands does not matter.
pub(crate) fn run(shell: Shell) -> bool {
    let mut shell = shell;
    shell.interactive = true;
    if shell.settings.uri_given
        && let Err(failure) = shell.connection()
    {
        shell.report(&failure);
        return false;
    }
    if !shell.settings.quiet {
        say!(shell, "{WELCOME}");
    }
    let terminal = rustix::termios::isatty(io::stdin());
    let mut shell = match terminal {
        true => edit_lines(shell),
        false => {
            read_lines(&mut shell);
            shell
        }
    };
    sayln!(shell);
    shell.flush();
    true
}

fn prompt(shell: &Shell) -> &'static str {
    if shell.settings.read_only { "virsh > " } else { "virsh # " }
}

fn obey(shell: &mut Shell, line: &str) {
    if !line.is_empty() {
        shell.run_line(line);
    }
    shell.flush();
}

/// Compat: lines from a pipe are shown after the prompt, as the line editor would.
fn read_lines(shell: &mut Shell) {
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).into_owned();
        say!(shell, "{}{line}\n", prompt(shell));
        obey(shell, &line);
        if shell.quitting {
            return;
        }
    }
    say!(shell, "{}", prompt(shell));
}

/// What the line editor asks the shell.
struct Assistant<'a> {
    shell: &'a RefCell<Shell>,
}

impl Completer for Assistant<'_> {
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
        let found = virt_cli::complete(&TABLE, &words);
        let mut candidates = found.words;
        if let Some((values, typed)) = found.ask
            && let Ok(mut shell) = self.shell.try_borrow_mut()
        {
            candidates.extend(completion::objects(&mut shell, values, &typed));
        }
        let pairs = candidates
            .into_iter()
            .map(|word| Pair { display: word.clone(), replacement: word })
            .collect();
        Ok((start, pairs))
    }
}

impl Hinter for Assistant<'_> {
    type Hint = String;
}
impl Highlighter for Assistant<'_> {}
impl Validator for Assistant<'_> {}
impl Helper for Assistant<'_> {}

fn edit_lines(shell: Shell) -> Shell {
    let shell = RefCell::new(shell);
    let history_max = history_size();
    let config = Config::builder()
        .max_history_size(history_max)
        .map(|builder| builder.completion_type(CompletionType::List).build())
        .unwrap_or_default();
    let history = MemHistory::with_config(&config);
    let Ok(mut editor) = Editor::<Assistant<'_>, MemHistory>::with_history(config, history) else {
        read_lines(&mut shell.borrow_mut());
        return shell.into_inner();
    };
    editor.set_helper(Some(Assistant { shell: &shell }));
    let file = history_file();
    let mut lines = file.as_deref().map(load_history).unwrap_or_default();
    for line in &lines {
        let _ = editor.add_history_entry(line);
    }
    loop {
        shell.borrow_mut().flush();
        let shown = prompt(&shell.borrow());
        match editor.readline(shown) {
            Ok(line) => {
                if !line.is_empty() {
                    let _ = editor.add_history_entry(line.as_str());
                    lines.push(line.clone());
                }
                let mut shell = shell.borrow_mut();
                obey(&mut shell, &line);
                if shell.quitting {
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

/// How many lines are kept: `VIRSH_HISTSIZE`, or 500.
fn history_size() -> usize {
    const HISTORY_LINES: usize = 500;
    const HISTORY_LINES_MAX: usize = 500_000;
    let asked = std::env::var("VIRSH_HISTSIZE").ok().and_then(|text| text.parse::<usize>().ok());
    asked.unwrap_or(HISTORY_LINES).min(HISTORY_LINES_MAX)
}

/// Where the history is kept between sessions.
fn history_file() -> Option<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir()?.join(".cache"),
    };
    Some(cache.join("libvirt").join("virsh").join("history"))
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
