//! The fuzzer's own lock file, which nothing else builds from and so nobody sees go stale.

use std::path::Path;

use crate::process;

/// `cargo xtask fuzz` builds `--locked`; a crate of ours with a new dependency makes that fail.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let folder = root.join("fuzz");
    let args = ["metadata", "--locked", "--format-version", "1"];
    match process::output(&mut process::cargo(&folder, &args)) {
        Ok(_) => Vec::new(),
        Err(error) if is_stale(&error) => {
            vec!["fuzz/Cargo.lock: not current; run `cargo metadata` in fuzz/ and keep what it writes".to_owned()]
        }
        // What the fuzzer alone needs may not have been fetched here.
        Err(error) => {
            println!("fuzz/Cargo.lock is not checked: {}", error.trim_end());
            Vec::new()
        }
    }
}

fn is_stale(error: &str) -> bool {
    error.contains("--locked was passed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_lock_file_that_lacks_a_crate_is_seen() {
        let root = std::env::temp_dir().join(format!("tidy-lock-{}", std::process::id()));
        let folder = root.join("fuzz");
        let (own, other) = (folder.join("src"), root.join("other/src"));
        fs::create_dir_all(&own).and_then(|()| fs::create_dir_all(&other)).expect("folders");
        let manifest = |name: &str, rest: &str| {
            format!(
                "[workspace]\n[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}"
            )
        };
        let dependent = manifest("a", "[dependencies]\nb = { path = \"../other\" }\n");
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.1.0\"\n";
        for (path, text) in [
            (own.join("lib.rs"), "//! Nothing.\n"),
            (other.join("lib.rs"), "//! Nothing.\n"),
            (root.join("other/Cargo.toml"), &manifest("b", "")),
            (folder.join("Cargo.toml"), &dependent),
            (folder.join("Cargo.lock"), lock),
        ] {
            fs::write(path, text).expect("a file");
        }
        let found = check(&root);
        let mended = process::output(&mut process::cargo(
            &folder,
            &["metadata", "--offline", "--format-version", "1"],
        ));
        let then = check(&root);
        fs::remove_dir_all(&root).expect("the folder goes");
        mended.expect("cargo writes the lock file");
        assert_eq!((found.len(), then.len()), (1, 0), "{found:?} {then:?}");
    }
}
