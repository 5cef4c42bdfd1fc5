//! Managed domains on disk: a folder with `config.sxp` for each.

use std::path::Path;

use crate::config::Config;
use crate::options::Settings;
use crate::sxp;

/// Reads what is there; what is broken is passed over, as xend does.
pub(crate) fn load(dir: &Path, settings: &Settings) -> Vec<Config> {
    let Ok(found) = std::fs::read_dir(dir) else { return Vec::new() };
    let texts = found.flatten().map(|entry| entry.path().join("config.sxp"));
    let texts = texts.filter_map(|path| std::fs::read_to_string(path).ok());
    texts.filter_map(|text| Config::of(&sxp::parse(&text).ok()?, settings).ok()).collect()
}

pub(crate) fn save(dir: &Path, config: &Config) -> Result<(), String> {
    let folder = dir.join(&config.uuid);
    let text = config.to_sxp("domain").print("''");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("config.sxp"), text))
        .map_err(|error| error.to_string())
}

pub(crate) fn remove(dir: &Path, uuid: &str) {
    // One that is gone already is what is wanted.
    let _ = std::fs::remove_dir_all(dir.join(uuid));
}
