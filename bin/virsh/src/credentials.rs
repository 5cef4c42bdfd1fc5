//! Asking the person at the terminal for names and passwords.

use std::io::{self, BufRead, BufReader, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use virt_driver::Question;

/// Prints the prompt and reads a line; what must not be seen is read from the terminal itself.
pub(crate) fn ask(question: &Question<'_>) -> Option<String> {
    let mut out = io::stdout();
    write!(out, "{}: ", question.prompt).and_then(|()| out.flush()).ok()?;
    let answer = if question.echo { line(&mut io::stdin().lock()) } else { hidden() };
    answer.filter(|answer| !answer.is_empty())
}

/// Asks for what must not be seen; `None` where nothing was typed.
pub(crate) fn hidden_line(prompt: &str) -> Option<String> {
    ask(&Question { prompt, echo: false })
}

fn line(input: &mut dyn BufRead) -> Option<String> {
    let mut text = String::new();
    let count = input.read_line(&mut text).ok()?;
    (count > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned())
}

fn hidden() -> Option<String> {
    let Ok(terminal) = std::fs::File::options().read(true).write(true).open("/dev/tty") else {
        return line(&mut io::stdin().lock());
    };
    let shown = tcgetattr(&terminal).ok()?;
    let mut unseen = shown.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &unseen).ok()?;
    let answer = line(&mut BufReader::new(&terminal));
    tcsetattr(&terminal, OptionalActions::Flush, &shown).ok()?;
    let _ = writeln!(&terminal);
    answer
}
