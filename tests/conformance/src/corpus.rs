//! A folder of suites, their cases, and the files these name.

use std::path::{Path, PathBuf};

use crate::layout;

/// A folder of suites.
pub struct Corpus {
    folder: PathBuf,
    /// Where files are looked for that are not there: the corpora that every checkout is tested with.
    fallback: Option<PathBuf>,
    /// It is the `tests` folder of libvirt's sources.
    is_libvirt_tree: bool,
}

/// A suite's cases and where their files are.
pub struct Suite {
    pub name: String,
    pub cases: Vec<Case>,
    folders: Vec<PathBuf>,
    fixtures: Vec<PathBuf>,
    /// The `tests` folder of libvirt's sources that the files are in.
    tree: Option<PathBuf>,
}

/// One line of `cases.tsv`.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub name: String,
    /// `ok`, `parse-error` or `error`.
    pub result: String,
    pub inputs: Vec<String>,
    pub expected: Vec<String>,
    pub(crate) columns: Vec<(String, String)>,
    /// The same read otherwise, where nobody knows how it is to be read.
    pub(crate) other_ways: Vec<Case>,
}

impl Case {
    /// A column of the suite's own; empty where there is none.
    pub fn column(&self, name: &str) -> &str {
        self.columns.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A column that holds JSON text, decoded.
    pub fn text(&self, name: &str) -> Option<String> {
        virt_json::parse(self.column(name)).ok()?.as_str().map(str::to_owned)
    }

    fn read(head: &[&str], line: &str) -> Self {
        let columns: Vec<(String, String)> = head
            .iter()
            .zip(line.split('\t'))
            .map(|(k, v)| ((*k).to_owned(), v.to_owned()))
            .collect();
        let mut case = Self { columns, ..Self::default() };
        let list = |text: &str| text.split(' ').filter(|p| *p != "-").map(str::to_owned).collect();
        (case.name, case.result) =
            (case.column("case").to_owned(), case.column("result").to_owned());
        (case.inputs, case.expected) = (list(case.column("input")), list(case.column("expected")));
        case
    }
}

impl Corpus {
    /// Opens a folder of either layout.
    pub fn open(folder: &Path, fallback: Option<PathBuf>) -> Result<Self, String> {
        let is_libvirt_tree = layout::is_libvirt_tree(folder);
        let corpus = Self { folder: folder.to_owned(), fallback, is_libvirt_tree };
        if corpus.suites().is_empty() {
            return Err(format!("{} holds no suite", folder.display()));
        }
        Ok(corpus)
    }

    /// The corpora beside the checkout, or why there are none.
    pub fn shared(checkout: &Path) -> Result<Self, String> {
        Self::open(&shared_folder(checkout), None)
    }

    /// The names of the suites that are there.
    pub fn suites(&self) -> Vec<String> {
        if self.is_libvirt_tree {
            return layout::suites(&self.folder);
        }
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("cases.tsv").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// A suite with its cases.
    pub fn suite(&self, name: &str) -> Result<Suite, String> {
        let roots: Vec<&PathBuf> =
            [Some(&self.folder), self.fallback.as_ref()].into_iter().flatten().collect();
        let fixtures = roots.iter().map(|root| root.join("fixtures")).collect();
        let folders: Vec<PathBuf> = roots.iter().map(|root| root.join(name)).collect();
        let name = name.to_owned();
        if self.is_libvirt_tree {
            let table = self.fallback.as_ref().and_then(|shared| table(&shared.join(&name)).ok());
            let cases = layout::cases(&self.folder, &name, table.unwrap_or_default());
            return Ok(Suite { name, cases, folders, fixtures, tree: Some(self.folder.clone()) });
        }
        let cases = table(&self.folder.join(&name))?;
        Ok(Suite { name, cases, folders, fixtures, tree: None })
    }
}

/// The cases that the table of a suite's folder names.
fn table(folder: &Path) -> Result<Vec<Case>, String> {
    let table = read(&folder.join("cases.tsv"))?;
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    Ok(lines.map(|line| Case::read(&head, line)).collect())
}

impl Suite {
    /// Where a file of the suite is.
    pub fn path(&self, file: &str) -> PathBuf {
        match &self.tree {
            // Nothing of another corpus: what is not there is missing.
            Some(root) => layout::path(root, &self.name, file).unwrap_or_else(|| root.join(file)),
            None => first_there(&self.folders, file),
        }
    }

    /// Where a file or folder of the fixtures is.
    pub fn fixture(&self, file: &str) -> PathBuf {
        let in_tree = self.tree.as_ref().and_then(|root| layout::fixture(root, file));
        in_tree.unwrap_or_else(|| first_there(&self.fixtures, file))
    }

    /// The text of a file of the suite.
    pub fn read(&self, file: &str) -> Result<String, String> {
        read(&self.path(file))
    }

    /// The text of a case's input of that number.
    pub fn input(&self, case: &Case, at: usize) -> Result<String, String> {
        let file = case.inputs.get(at).ok_or_else(|| format!("there is no input {at}"))?;
        self.read(file)
    }

    /// The text of a case's expected file with that ending, where there is one.
    pub fn expected(&self, case: &Case, ending: &str) -> Option<Result<String, String>> {
        let file = case.expected.iter().find(|file| file.ends_with(ending))?;
        Some(self.read(file))
    }
}

/// The folder of corpora that `FERROVIRT_SHARED` names, or the one beside the checkout.
pub fn shared_folder(checkout: &Path) -> PathBuf {
    let shared = match std::env::var_os("FERROVIRT_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => checkout.parent().unwrap_or(checkout).join("shared"),
    };
    shared.join("conformance")
}

fn first_there(folders: &[PathBuf], file: &str) -> PathBuf {
    let mut places = folders.iter().map(|folder| folder.join(file));
    places.clone().find(|path| path.exists()).or_else(|| places.next()).unwrap_or_default()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
