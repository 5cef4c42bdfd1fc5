//! Emits the constants of the public API.

use std::fmt::Write as _;

pub(super) fn emit(text: &str) -> Result<String, String> {
    let mut out = super::header(
        "Constants of the public API: libvirt's names without `VIR_`. Flags are `u32`, other values `i32`.",
    );
    let mut kind = "i32";
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some(member) = line.strip_prefix("  ") else {
            let (word, name) = line.split_once(' ').ok_or("enum or flags expected")?;
            kind = match word {
                "flags" => "u32",
                "text" => "&str",
                _ => "i32",
            };
            let _ = writeln!(out, "\n// {name}");
            continue;
        };
        let (name, value) = member.split_once(" = ").ok_or("= expected")?;
        let of = if value.starts_with('-') { "i32" } else { kind };
        let _ = writeln!(out, "pub const {name}: {of} = {value};");
    }
    Ok(out)
}
