//! Changes of several files of a folder that happen as one, whatever dies in between.
//!
//! ```text
//! new files, staged and synchronised          killed here: the old state, leftovers are swept
//!   └─ the journal, synchronised, in place    killed from here on: the next use finishes it
//!        └─ moves, patches, places, removals
//!             └─ the journal is removed
//! ```
//! Every step may be done twice, so that finishing needs no memory of how far it came.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::{Value, json};
use virt_store::Durability;

use crate::failure::{Failure, Result};
use crate::files::STAGED;

const JOURNAL: &str = "vdisk.journal";
/// Limit: a change names some files and rewrites a few headers.
const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// One step. All names are of files of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Renames a file to a name that is free before. Done when the new name is there.
    Move { from: String, to: String },
    /// Writes bytes into a file, which may end behind them.
    Patch { file: String, offset: u64, bytes: Vec<u8>, ends_file: bool },
    /// Puts a staged file into its place, over what is there. Done when nothing is staged.
    Place { to: String },
    /// Removes a file. Done when it is gone.
    Remove { file: String },
}

/// Writes the journal and does what it says. The staged files are synchronised already.
pub(crate) fn commit(folder: &Path, steps: &[Step]) -> Result<()> {
    let text = Value::Array(steps.iter().map(to_json).collect()).to_string();
    sync_folder(folder)?;
    virt_store::write(&folder.join(JOURNAL), text.as_bytes(), 0o600, Durability::Machine)?;
    // Order: the journal's name is on the disk before the first step changes anything.
    sync_folder(folder)?;
    finish(folder, steps)
}

/// Finishes a change that was begun, or sweeps what one left that was not. Only with the lock held.
pub(crate) fn recover(folder: &Path) -> Result<()> {
    let path = folder.join(JOURNAL);
    if path.exists() {
        let text = virt_store::read_text(&path, JOURNAL_BYTES_MAX)?;
        let steps = parse(&text).ok_or_else(|| {
            Failure::new(format!("'{}' is damaged; it was not written by us", path.display()))
        })?;
        finish(folder, &steps)?;
    }
    virt_store::sweep(folder)?;
    let entries = fs::read_dir(folder).map_err(|error| Failure::io("list", folder, error))?;
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(STAGED)) {
            virt_store::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Whether a change waits to be finished.
pub(crate) fn is_pending(folder: &Path) -> bool {
    folder.join(JOURNAL).exists()
}

fn finish(folder: &Path, steps: &[Step]) -> Result<()> {
    for step in steps {
        run(folder, step)?;
    }
    // Order: all steps are on the disk before the journal is gone.
    sync_folder(folder)?;
    virt_store::remove(&folder.join(JOURNAL))?;
    Ok(())
}

fn run(folder: &Path, step: &Step) -> Result<()> {
    match step {
        Step::Move { from, to } => {
            let (from, to) = (folder.join(from), folder.join(to));
            if to.symlink_metadata().is_ok() {
                return Ok(());
            }
            fs::rename(&from, &to).map_err(|error| Failure::io("rename", &from, error))
        }
        Step::Patch { file, offset, bytes, ends_file } => {
            let path = folder.join(file);
            let patch = || {
                let file = File::options().write(true).open(&path)?;
                file.write_all_at(bytes, *offset)?;
                if *ends_file {
                    file.set_len(offset.saturating_add(bytes.len() as u64))?;
                }
                file.sync_data()
            };
            patch().map_err(|error| Failure::io("change", &path, error))
        }
        Step::Place { to } => {
            let staged = folder.join(format!("{STAGED}{to}"));
            match fs::rename(&staged, folder.join(to)) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                done => done.map_err(|error| Failure::io("put in place", &staged, error)),
            }
        }
        Step::Remove { file } => Ok(virt_store::remove(&folder.join(file)).map(|_| ())?),
    }
}

/// Makes the names in a folder outlive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| Failure::io("synchronise", folder, error))
}

fn to_json(step: &Step) -> Value {
    match step {
        Step::Move { from, to } => json!(["move", from, to]),
        Step::Patch { file, offset, bytes, ends_file } => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!(["patch", file, offset, hex, ends_file])
        }
        Step::Place { to } => json!(["place", to]),
        Step::Remove { file } => json!(["remove", file]),
    }
}

fn parse(text: &str) -> Option<Vec<Step>> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.as_array()?.iter().map(from_json).collect()
}

fn from_json(value: &Value) -> Option<Step> {
    let words = value.as_array()?;
    let name = |at: usize| {
        let name = words.get(at)?.as_str()?;
        virt_store::check_name(name).ok().map(|()| name.to_owned())
    };
    Some(match words.first()?.as_str()? {
        "move" => Step::Move { from: name(1)?, to: name(2)? },
        "patch" => Step::Patch {
            file: name(1)?,
            offset: words.get(2)?.as_u64()?,
            bytes: from_hex(words.get(3)?.as_str()?)?,
            ends_file: words.get(4)?.as_bool()?,
        },
        "place" => Step::Place { to: name(1)? },
        "remove" => Step::Remove { file: name(1)? },
        _ => return None,
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::Scratch;

    fn state(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_change_ends_the_same_wherever_it_was_interrupted() {
        let steps = [
            Step::Move { from: "a".into(), to: "a@s".into() },
            Step::Patch { file: "a@s".into(), offset: 2, bytes: b"XY".into(), ends_file: true },
            Step::Place { to: "a".into() },
            Step::Place { to: "xml".into() },
            Step::Remove { file: "gone".into() },
        ];
        let text = Value::Array(steps.iter().map(to_json).collect()).to_string();
        assert_eq!(parse(&text).unwrap(), steps);
        for done in 0..=steps.len() {
            let scratch = Scratch::new("journal");
            for (name, content) in [
                ("a", "old content"),
                (".vdisk-new.a", "new"),
                ("xml", "old"),
                (".vdisk-new.xml", "new"),
                ("gone", "x"),
                (JOURNAL, &text),
            ] {
                scratch.write(name, content);
            }
            for step in &steps[..done] {
                run(scratch.path(), step).unwrap();
            }
            recover(scratch.path()).unwrap();
            let wanted = [("a", "new"), ("a@s", "olXY"), ("xml", "new")];
            let wanted = wanted.map(|(name, content)| (name.to_owned(), content.to_owned()));
            assert_eq!(state(scratch.path()), wanted, "after {done} steps");
        }
    }

    #[test]
    fn without_a_journal_what_was_staged_is_swept() {
        let scratch = Scratch::new("journal");
        scratch.write("a", "old");
        scratch.write(".vdisk-new.a", "new");
        recover(scratch.path()).unwrap();
        assert_eq!(state(scratch.path()), [("a".to_owned(), "old".to_owned())]);
    }

    #[test]
    fn a_journal_names_files_of_its_folder_only() {
        for text in [
            r#"[["remove","../x"]]"#,
            r#"[["move","a","/etc/x"]]"#,
            r#"[["run","rm"]]"#,
            r#"{"a":1}"#,
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
