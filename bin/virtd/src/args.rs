//! The daemon's command line, as libvirtd's plus `--base-dir`.

use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) verbose: bool,
    pub(crate) daemon: bool,
    pub(crate) listen: bool,
    pub(crate) timeout_s: Option<u64>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) base_dir: Option<PathBuf>,
    /// The daemon whose sockets and files these are, where it is not `libvirtd`.
    pub(crate) serve_as: Option<String>,
}

/// What the command line comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Run(Args),
    Help,
    Version,
    /// The line that lets a user in by a password.
    SaslPassword(String),
}

/// Reads the arguments after the program's name. The error is the line to print.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Args::default();
    let mut words = args.into_iter();
    while let Some(word) = words.next() {
        let Some(option) = split(&word) else {
            return Err("unexpected, non-option, command line arguments".to_owned());
        };
        // Short flags may stand together: -dv.
        let mut rest = option;
        loop {
            let (name, after) = match rest {
                Piece::Long(name, value) => (name.to_owned(), After::Value(value)),
                Piece::Short(letters) => {
                    let mut letters = letters.chars();
                    let Some(letter) = letters.next() else { break };
                    (letter.to_string(), After::Letters(letters.as_str()))
                }
            };
            let mut value = || match &after {
                After::Value(Some(value)) => Ok((*value).to_owned()),
                After::Letters(letters) if !letters.is_empty() => Ok((*letters).to_owned()),
                _ => words.next().ok_or(format!("option '{word}' requires an argument")),
            };
            match name.as_str() {
                "h" | "help" => return Ok(Asked::Help),
                "V" | "version" => return Ok(Asked::Version),
                "v" | "verbose" => asked.verbose = true,
                "d" | "daemon" => asked.daemon = true,
                "l" | "listen" => asked.listen = true,
                "t" | "timeout" => {
                    let text = value()?;
                    let seconds = text.parse().ok().filter(|&seconds| seconds > 0);
                    asked.timeout_s = Some(seconds.ok_or("Invalid value for timeout".to_owned())?);
                    break;
                }
                "f" | "config" => {
                    asked.config = Some(value()?.into());
                    break;
                }
                "p" | "pid-file" => {
                    asked.pid_file = Some(value()?.into());
                    break;
                }
                "sasl-password" => return Ok(Asked::SaslPassword(value()?)),
                "serve-as" => {
                    asked.serve_as = Some(daemon_name(value()?)?);
                    break;
                }
                "base-dir" => {
                    asked.base_dir = Some(value()?.into());
                    break;
                }
                _ => return Err(format!("unrecognized option '{word}'")),
            }
            match after {
                After::Value(None) => break,
                After::Value(Some(_)) => {
                    return Err(format!("option '--{name}' doesn't allow an argument"));
                }
                After::Letters(letters) => rest = Piece::Short(letters),
            }
        }
    }
    Ok(Asked::Run(asked))
}

/// The name of one of libvirt's daemons: the one for everything, or one for each driver.
fn daemon_name(name: String) -> Result<String, String> {
    let modular = name.strip_prefix("virt").and_then(|rest| rest.strip_suffix('d'));
    let good = modular.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_lowercase()));
    if name == "libvirtd" || good { Ok(name) } else { Err(format!("no daemon is called '{name}'")) }
}

enum Piece<'a> {
    Long(&'a str, Option<&'a str>),
    Short(&'a str),
}

enum After<'a> {
    Value(Option<&'a str>),
    Letters(&'a str),
}

fn split(word: &str) -> Option<Piece<'_>> {
    if let Some(long) = word.strip_prefix("--") {
        return Some(match long.split_once('=') {
            Some((name, value)) => Piece::Long(name, Some(value)),
            None => Piece::Long(long, None),
        });
    }
    word.strip_prefix('-').filter(|letters| !letters.is_empty()).map(Piece::Short)
}

/// What `--help` prints.
pub(crate) fn help(name: &str) -> String {
    format!(
        "
Usage:
  {name} [options]

Options:
  -h | --help            Display program help
  -v | --verbose         Verbose messages
  -d | --daemon          Run as a daemon & write PID file
  -l | --listen          Listen for TCP/IP connections
  -t | --timeout <secs>  Exit after timeout period
  -f | --config <file>   Configuration file
  -V | --version         Display version information
  -p | --pid-file <file> Change name of PID file
       --base-dir <dir>  Keep configuration, state, sockets, logs and cache under one directory
       --serve-as <name> Have the sockets and files of that daemon, as virtqemud
       --sasl-password <user>  Read a password, print its line for the file of SASL users
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_in_every_form() {
        let expected = Args {
            verbose: true,
            daemon: true,
            timeout_s: Some(30),
            config: Some("/x".into()),
            base_dir: Some("/b".into()),
            serve_as: Some("virtqemud".into()),
            ..Args::default()
        };
        for line in [
            "-dvt30 -f /x --base-dir /b --serve-as virtqemud",
            "--daemon --verbose --timeout=30 --config=/x --base-dir=/b --serve-as=virtqemud",
            "-d -v -t 30 -f/x --base-dir /b --serve-as virtqemud",
        ] {
            assert_eq!(parsed(line), Ok(Asked::Run(expected.clone())), "{line}");
        }
        assert_eq!(parsed("-V"), Ok(Asked::Version));
        assert_eq!(parsed("--sasl-password joe"), Ok(Asked::SaslPassword("joe".into())));
        assert_eq!(parsed("--help x"), Ok(Asked::Help));
    }

    #[test]
    fn refusals() {
        for (line, message) in [
            ("--bogus", "unrecognized option '--bogus'"),
            ("extra", "unexpected, non-option, command line arguments"),
            ("-t", "option '-t' requires an argument"),
            ("-t x", "Invalid value for timeout"),
            ("--serve-as ../x", "no daemon is called '../x'"),
            ("--daemon=1", "option '--daemon' doesn't allow an argument"),
        ] {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
    }
}
