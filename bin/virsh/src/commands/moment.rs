//! What snapshots and checkpoints share: facts from their documents, disk descriptions.

use virt_xml::{Element, to_string};

use crate::clock;
use crate::failure::{Failure, fail};
use crate::xml;

/// What lists show of a snapshot or a checkpoint.
pub(crate) struct Facts {
    pub(crate) created: String,
    pub(crate) state: String,
    pub(crate) parent: Option<String>,
    pub(crate) external: bool,
}

/// Reads the facts from the document of a snapshot or a checkpoint.
pub(crate) fn facts(text: &str) -> Result<Facts, Failure> {
    let root = xml::parse(text)?;
    let created = root.child_text("creationTime").and_then(|time| time.trim().parse().ok());
    let parent = xml::at(&root, &["parent", "name"]).map(|name| name.text().into_owned());
    let memory = xml::attr_at(&root, &["memory"], "snapshot") == Some("external");
    let disks = root.child("disks");
    let mut disks = disks.into_iter().flat_map(|disks| disks.children_named("disk"));
    let external = memory || disks.any(|disk| disk.attr("snapshot") == Some("external"));
    Ok(Facts {
        created: created.map_or_else(String::new, clock::zoned),
        state: root.child_text("state").map(|state| state.into_owned()).unwrap_or_default(),
        parent,
        external,
    })
}

/// Splits at commas; two commas in a row stand for one.
pub(crate) fn split_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ',' && rest.next_if_eq(&',').is_none() {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// The value of `key=` among the parts; every part must be of one of the keys.
pub(crate) fn keyed(parts: &[String], keys: &[&str]) -> Option<Vec<Option<String>>> {
    let mut values = vec![None; keys.len()];
    for part in parts {
        let (key, value) = part.split_once('=')?;
        let at = keys.iter().position(|known| *known == key)?;
        values[at] = Some(value.to_owned());
    }
    Some(values)
}

/// A `--diskspec` of a checkpoint as an element.
pub(crate) fn checkpoint_disk(spec: &str) -> Result<Element<'static>, Failure> {
    let parts = split_commas(spec);
    let Some((name, rest)) = parts.split_first() else { return bad_disk(spec) };
    let Some(values) = keyed(rest, &["checkpoint", "bitmap"]) else { return bad_disk(spec) };
    let mut disk = Element::new("disk").with_attr("name", name.clone());
    for (attr, value) in ["checkpoint", "bitmap"].into_iter().zip(values) {
        if let Some(value) = value {
            disk = disk.with_attr(attr, value);
        }
    }
    Ok(disk)
}

/// A `--diskspec` of a snapshot as an element.
pub(crate) fn snapshot_disk(spec: &str) -> Result<Element<'static>, Failure> {
    let parts = split_commas(spec);
    let Some((name, rest)) = parts.split_first() else { return bad_disk(spec) };
    let keys = ["snapshot", "driver", "stype", "file"];
    let Some(values) = keyed(rest, &keys) else { return bad_disk(spec) };
    let [snapshot, driver, kind, file] = values.as_slice() else { return bad_disk(spec) };
    let mut disk = Element::new("disk").with_attr("name", name.clone());
    if let Some(snapshot) = snapshot {
        disk = disk.with_attr("snapshot", snapshot.clone());
    }
    if let Some(kind) = kind {
        disk = disk.with_attr("type", kind.clone());
    }
    if let Some(driver) = driver {
        disk = disk.with_child(Element::new("driver").with_attr("type", driver.clone()));
    }
    if let Some(file) = file {
        let attr = if kind.as_deref() == Some("block") { "dev" } else { "file" };
        disk = disk.with_child(Element::new("source").with_attr(attr, file.clone()));
    }
    Ok(disk)
}

fn bad_disk<T>(spec: &str) -> Result<T, Failure> {
    fail(format!("unable to parse diskspec: {spec}"))
}

/// Prints a document whose root may be empty. Compat: an empty root has two tags all the same.
pub(crate) fn document(root: &Element<'_>) -> String {
    match root.children.is_empty() {
        true => format!("<{0}>\n</{0}>\n", root.name),
        false => to_string(root),
    }
}

/// The document that `--name`, `--description` and the disks describe, `extra` before the disks.
pub(crate) fn described(
    tag: &'static str,
    name: Option<&str>,
    description: Option<&str>,
    extra: Option<Element<'static>>,
    disks: Vec<Element<'static>>,
) -> String {
    let mut root = Element::new(tag);
    if let Some(name) = name {
        root = root.with_child(Element::new("name").with_text(name.to_owned()));
    }
    if let Some(text) = description {
        root = root.with_child(Element::new("description").with_text(text.to_owned()));
    }
    if let Some(extra) = extra {
        root = root.with_child(extra);
    }
    if !disks.is_empty() {
        let all = disks.into_iter().fold(Element::new("disks"), Element::with_child);
        root = root.with_child(all);
    }
    document(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commas_are_one() {
        assert_eq!(split_commas("a,b,,c,,,d"), ["a", "b,c,", "d"]);
        assert_eq!(split_commas(""), [""]);
    }

    #[test]
    fn disks() {
        let disk = snapshot_disk("vda,file=/a,,b,driver=qcow2,stype=block").unwrap();
        assert_eq!(
            to_string(&disk),
            "<disk name='vda' type='block'>\n  <driver type='qcow2'/>\n  <source dev='/a,b'/>\n\
             </disk>\n"
        );
        assert!(snapshot_disk("vda,foo=1").is_err());
        assert!(checkpoint_disk("vda,snapshot=no").is_err());
        assert_eq!(
            described("domainsnapshot", None, None, None, vec![]),
            "<domainsnapshot>\n</domainsnapshot>\n"
        );
    }
}
