//! A vdisk that goes to another file system: for a moment there are two, and this says which one
//! counts.
//!
//! ```text
//! original: note of place and token      copy (hidden): token
//!   └─ the copy gets its name            killed before: the copy is swept, the note is void
//!        └─ the original is removed      killed before: its next use finds the token and removes it
//!             └─ the copy's token is removed
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use virt_store::Durability;

use crate::failure::Result;
use crate::staging;

const NOTE: &str = "vdisk.moved";
pub(crate) const TOKEN: &str = ".vdisk-token";
/// Limit: a path and a number.
const NOTE_BYTES_MAX: u64 = 16384;

/// A move, as its two folders know it: the same words in both, but for the other one's path.
struct Note {
    other: PathBuf,
    token: String,
}

impl Note {
    fn write(&self, path: &Path) -> Result<()> {
        let other = std::path::absolute(&self.other).unwrap_or_else(|_| self.other.clone());
        let text = json!({ "other": other.to_string_lossy(), "token": self.token }).to_string();
        Ok(virt_store::write(path, text.as_bytes(), 0o600, Durability::Machine)?)
    }

    fn read(path: &Path) -> Option<Self> {
        let text = virt_store::read_text(path, NOTE_BYTES_MAX).ok()?;
        let held: Value = serde_json::from_str(&text).ok()?;
        let word = |name: &str| held[name].as_str().map(str::to_owned);
        Some(Self { other: PathBuf::from(word("other")?), token: word("token")? })
    }

    /// Whether the file of this name in the other folder tells of the same move.
    fn is_answered_by(&self, name: &str) -> bool {
        Self::read(&self.other.join(name)).is_some_and(|other| other.token == self.token)
    }
}

/// Says in both folders that the second one is the first one's copy.
pub(crate) fn announce(original: &Path, copy: &Path, place: &Path) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let token = format!("{}.{}", std::process::id(), now.map_or(0, |now| now.as_nanos()));
    Note { other: original.to_owned(), token: token.clone() }.write(&copy.join(TOKEN))?;
    Note { other: place.to_owned(), token }.write(&original.join(NOTE))
}

/// Ends a move that was begun: the original goes if its copy is in place. Only with the lock of
/// this folder held, which may be either.
pub(crate) fn settle(folder: &Path) -> Result<()> {
    let (note, token) = (folder.join(NOTE), folder.join(TOKEN));
    // The original is gone, or never heard of it: it needs no answer any more.
    if token.exists() && !Note::read(&token).is_some_and(|held| held.is_answered_by(NOTE)) {
        virt_store::remove(&token)?;
    }
    if !note.exists() {
        return Ok(());
    }
    let Some(held) = Note::read(&note).filter(|held| held.is_answered_by(TOKEN)) else {
        virt_store::remove(&note)?;
        return Ok(());
    };
    // Order: the token stays until the original is gone, for it is what says that it may go.
    staging::discard(folder)?;
    virt_store::remove(&held.other.join(TOKEN))?;
    Ok(())
}
