//! Properties: read, set, and the user's own ones added and removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

use crate::document::{ATTRIBUTES, DISK_ELEMENTS, ELEMENTS};
use crate::failure::{Failure, Result};
use crate::vdisk::{Access, DOCUMENT, Vdisk};
use crate::words::{Name, Words};
use crate::{out, users};

/// Those that are found out when they are asked for.
const DERIVED: [&str; 4] =
    ["effective-size", "creation-time", "modification-time", "modification-time-epoch"];
/// Those that are shown with their name even when they alone are asked for.
const TIMES: [&str; 4] =
    ["creation-time-epoch", "creation-time", "modification-time", "modification-time-epoch"];
const WRITABLE: [&str; 4] = ["owner", "description", "rwcnt", "rocnt"];

fn natives() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.into_iter().chain(ELEMENTS).chain(DISK_ELEMENTS).chain(DERIVED)
}

fn is_users(name: &str) -> bool {
    name.contains(':')
}

/// The value of a property; `None` where there is none of that name.
fn value(vdisk: &Vdisk, name: &str) -> Result<Option<String>> {
    Ok(match name {
        "effective-size" => {
            let mut sum: u64 = 0;
            for file in vdisk.files()? {
                sum = sum.saturating_add(inspect(vdisk, &file)?.len());
            }
            Some(sum.to_string())
        }
        "creation-time" => {
            let epoch = vdisk.document.text("creation-time-epoch").and_then(|t| t.parse().ok());
            epoch.and_then(time_text)
        }
        "modification-time-epoch" => Some(modified_epoch(vdisk)?.to_string()),
        "modification-time" => time_text(modified_epoch(vdisk)?),
        name => vdisk.document.text(name),
    })
}

fn inspect(vdisk: &Vdisk, file: &str) -> Result<fs::Metadata> {
    let path = vdisk.folder.join(file);
    fs::metadata(&path).map_err(|error| Failure::io("inspect", &path, error))
}

/// When the content was written last.
fn modified_epoch(vdisk: &Vdisk) -> Result<i64> {
    let mut newest = i64::MIN;
    for file in vdisk.files_of(&vdisk.active())? {
        newest = newest.max(inspect(vdisk, &file)?.mtime());
    }
    Ok(newest)
}

/// A time as C libraries write it, in the local time zone.
fn time_text(epoch: i64) -> Option<String> {
    let time = Timestamp::from_second(epoch).ok()?.to_zoned(TimeZone::system());
    Some(time.strftime("%a %b %e %H:%M:%S %Y").to_string())
}

fn access(name: &str) -> &'static str {
    if WRITABLE.contains(&name) || is_users(name) { "rw" } else { "ro" }
}

/// `prop-get [-l] -p PROPERTY VDNAME`
pub(crate) fn prop_get(words: &Words) -> Result<()> {
    let property = words.needed('p', "property")?;
    let [name] = words.operands(["vdname"])?;
    let vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Look)?;
    let is_all = property == "all";
    let wanted: Vec<String> = match is_all {
        true => {
            let own = vdisk.document.user_properties();
            natives().map(str::to_owned).chain(own).collect()
        }
        false => vec![property.to_owned()],
    };
    let mut found = Vec::new();
    for name in wanted {
        match value(&vdisk, &name)? {
            Some(value) => found.push((name, value)),
            None if is_all => {}
            None => return Err(Failure::new(format!("there is no property '{name}'"))),
        }
    }
    if words.is_json()? {
        let object: Map<String, Value> =
            found.into_iter().map(|(name, value)| (name.clone(), typed(&name, value))).collect();
        return out(&Value::Object(object).to_string());
    }
    for (name, value) in found {
        let tail = if words.has('l') { format!("\t{}", access(&name)) } else { String::new() };
        match is_all || TIMES.contains(&name.as_str()) {
            true => out(&format!("{name}: {value}{tail}"))?,
            false => out(&format!("{value}{tail}"))?,
        }
    }
    Ok(())
}

/// A value as a program takes it: numbers and truths are not texts.
fn typed(name: &str, value: String) -> Value {
    let read = match name {
        "readonly" | "removable" | "cdrom" | "sparse" => value.parse().ok().map(Value::Bool),
        "creation-time-epoch"
        | "rwcnt"
        | "rocnt"
        | "max-size"
        | "sectors"
        | "effective-size"
        | "modification-time-epoch" => value.parse::<i64>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or(Value::String(value))
}

/// `PROPERTY=VALUE`. Compat: the value is what follows the last equals sign.
fn assignment(words: &Words) -> Result<(&str, &str)> {
    let text = words.needed('p', "property=value")?;
    let odd = || Failure::usage(format!("'{text}' is not of the form property=value"));
    let (name, value) = text.rsplit_once('=').ok_or_else(odd)?;
    if name.is_empty() { Err(odd()) } else { Ok((name, value)) }
}

/// `prop-set -p PROPERTY=VALUE VDNAME`
pub(crate) fn prop_set(words: &Words) -> Result<()> {
    let (property, value) = assignment(words)?;
    let [name] = words.operands(["vdname"])?;
    let mut vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    let is_there = natives().any(|native| native == property)
        || is_users(property) && vdisk.document.text(property).is_some();
    if !is_there {
        return Err(Failure::new(format!("there is no property '{property}'")));
    }
    match property {
        "rwcnt" | "rocnt" if value != "0" => {
            return Err(Failure::new(format!("'{property}' can only be set to 0")));
        }
        "description" => vdisk.check_idle()?,
        "owner" => change_owner(&vdisk, value)?,
        property if access(property) == "ro" => {
            return Err(Failure::new(format!("property '{property}' is read-only")));
        }
        _ => {}
    }
    vdisk.document.set(property, value);
    vdisk.save()
}

/// Gives the folder and all files of a vdisk to a user.
fn change_owner(vdisk: &Vdisk, name: &str) -> Result<()> {
    let (uid, gid) = users::find(name)?;
    let mut paths = vec![vdisk.folder.join(DOCUMENT)];
    paths.extend(vdisk.files()?.iter().map(|file| vdisk.folder.join(file)));
    // Order: the folder last. Until it is given away, who owned it can do all this again.
    paths.push(vdisk.folder.clone());
    for path in paths {
        chown(&path, Some(uid), Some(gid))
            .map_err(|error| Failure::io("change the owner of", &path, error))?;
    }
    Ok(())
}

/// `prop-add -p PROPERTY=VALUE VDNAME`
pub(crate) fn prop_add(words: &Words) -> Result<()> {
    let (property, value) = assignment(words)?;
    let [name] = words.operands(["vdname"])?;
    if !is_users(property) {
        return Err(Failure::new(format!(
            "the name of a user's property has a ':', '{property}' not"
        )));
    }
    let mut vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    if vdisk.document.text(property).is_some() {
        return Err(Failure::new(format!("property '{property}' already exists")));
    }
    vdisk.document.add_user_property(property, value);
    vdisk.save()
}

/// `prop-del -p PROPERTY VDNAME`
pub(crate) fn prop_del(words: &Words) -> Result<()> {
    let property = words.needed('p', "property")?;
    let [name] = words.operands(["vdname"])?;
    let mut vdisk = Vdisk::open(&Name::vdisk(name)?, Access::Change)?;
    if !is_users(property) {
        return Err(Failure::new(format!("'{property}' is not a user's property")));
    }
    if vdisk.document.text(property).is_none() {
        return Err(Failure::new(format!("there is no property '{property}'")));
    }
    vdisk.document.remove_user_property(property);
    vdisk.save()
}
