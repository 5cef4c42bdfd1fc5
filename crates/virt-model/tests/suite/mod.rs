//! Runs one conformance suite: reads its cases, compares, prints the count.

use std::path::PathBuf;

/// A suite's folder and cases.
pub(crate) struct Suite {
    name: &'static str,
    folder: PathBuf,
    pub(crate) cases: Vec<Case>,
}

/// One line of `cases.tsv`.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) result: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) expected: Vec<String>,
    columns: Vec<(String, String)>,
}

impl Case {
    /// A column of the suite's own.
    #[allow(dead_code, reason = "not every suite has columns of its own")]
    pub(crate) fn column(&self, name: &str) -> &str {
        self.columns.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl Suite {
    /// `None` where the shared folder is not there; says so.
    pub(crate) fn open(name: &'static str) -> Option<Self> {
        let root = std::env::var_os("FERROVIRT_SHARED").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
            PathBuf::from,
        );
        let folder = root.join("conformance").join(name);
        let Ok(table) = std::fs::read_to_string(folder.join("cases.tsv")) else {
            println!("skipped: {} is not there", folder.display());
            return None;
        };
        let mut lines = table.lines();
        let head: Vec<&str> = lines.next().expect("a head line").split('\t').collect();
        let cases = lines.map(|line| Self::case(&head, line)).collect();
        Some(Self { name, folder, cases })
    }

    fn case(head: &[&str], line: &str) -> Case {
        let columns: Vec<(String, String)> = head
            .iter()
            .zip(line.split('\t'))
            .map(|(k, v)| ((*k).to_owned(), v.to_owned()))
            .collect();
        let get = |name: &str| {
            columns
                .iter()
                .find(|(key, _)| key == name)
                .map_or(String::new(), |(_, value)| value.clone())
        };
        let list =
            |text: String| text.split(' ').filter(|p| *p != "-").map(str::to_owned).collect();
        Case {
            name: get("case"),
            result: get("result"),
            inputs: list(get("input")),
            expected: list(get("expected")),
            columns,
        }
    }

    /// A file of the suite.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.folder.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Runs every case; `make` gives the produced text, or the error's message.
    ///
    /// `CONFORMANCE_SHOW=PART` prints the differences of failing cases whose name holds PART.
    pub(crate) fn run(&self, at_least: usize, make: impl Fn(&Case) -> Result<String, String>) {
        let show = std::env::var("CONFORMANCE_SHOW").ok();
        let mut passed = 0;
        for case in &self.cases {
            match self.judge(case, make(case)) {
                Ok(()) => passed += 1,
                Err(difference) => {
                    if show.as_ref().is_some_and(|part| case.name.contains(part)) {
                        println!("--- {}/{}\n{difference}", self.name, case.name);
                    }
                }
            }
        }
        println!("{} {passed}/{}", self.name, self.cases.len());
        assert!(passed >= at_least, "{}: {passed} cases pass, {at_least} once did", self.name);
    }

    fn judge(&self, case: &Case, made: Result<String, String>) -> Result<(), String> {
        let wanted = |suffix: &str| case.expected.iter().find(|path| path.ends_with(suffix));
        match (case.result.as_str(), made) {
            ("parse-error", Ok(_)) => match wanted(".err") {
                Some(path) => Err(format!("read, but should fail: {}", self.read(path))),
                None => Err("read, but should fail".to_owned()),
            },
            ("parse-error", Err(message)) => match wanted(".err") {
                Some(path) if self.read(path).trim_end() != message.trim_end() => {
                    Err(format!("wanted: {}\n   got: {message}", self.read(path).trim_end()))
                }
                _ => Ok(()),
            },
            (_, Err(message)) => Err(format!("error: {message}")),
            (_, Ok(text)) => match wanted(".xml") {
                Some(path) => compare(&self.read(path), &text),
                None => Ok(()),
            },
        }
    }
}

/// Line by line, the first differences.
fn compare(wanted: &str, made: &str) -> Result<(), String> {
    let mut made = made.to_owned();
    if !made.is_empty() && !made.ends_with('\n') {
        made.push('\n');
    }
    if wanted == made {
        return Ok(());
    }
    let (left, right): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), made.lines().collect());
    let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let tail = |lines: &[&str], sign: &str| {
        lines.iter().skip(same).take(6).map(|line| format!("{sign}{line}\n")).collect::<String>()
    };
    Err(format!("line {}\n{}{}", same + 1, tail(&left, "- "), tail(&right, "+ ")))
}
