//! What snapshots and checkpoints share: commands, facts from their documents, disk descriptions.

use virt_cli::{Args, Cell, split_commas};
use virt_driver::Connection;
use virt_error::{Code, Result as Answer};
use virt_types::{DomainRef, api};
use virt_xml::{Element, to_string};

use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::options::flags_of;
use crate::report::cells;
use crate::shell::{Shell, say, sayln};
use crate::{clock, tree, xml};

/// What the commands here ask of a snapshot or a checkpoint. Flags have the same bits for both.
pub(crate) trait Moment: Sized {
    const WORD: &'static str;
    /// The root of its documents.
    const TAG: &'static str;
    const NOT_FOUND: Code;
    /// Whether lists tell the state that it keeps.
    const HAS_STATE: bool;

    fn name(&self) -> &str;
    fn facts(&self, connection: &Connection) -> Result<Facts, Failure>;
    fn all(connection: &Connection, domain: &DomainRef, flags: u32) -> Answer<Vec<Self>>;
    fn children(&self, connection: &Connection, flags: u32) -> Answer<Vec<Self>>;
    fn parent(&self, connection: &Connection) -> Answer<Self>;
    fn create(connection: &Connection, domain: &DomainRef, xml: &str, flags: u32) -> Answer<Self>;
    fn delete(&self, connection: &Connection, flags: u32) -> Answer<()>;
}

/// Options of lists that choose by a property, which a tree has no place for.
const FILTERS: &[&str] =
    &["leaves", "no-leaves", "inactive", "active", "disk-only", "internal", "external"];

/// Refuses options of a list that do not go together. `start` are those that say where it begins.
pub(crate) fn check_list(args: &Args, start: &[&str]) -> Done {
    for (one, other) in
        [("tree", "name"), ("parent", "roots"), ("parent", "tree"), ("roots", "tree")]
    {
        args.exclusive(one, other)?;
    }
    for option in start {
        args.exclusive("roots", option)?;
    }
    let given = |option: &&&str| args.knows(option) && args.flag(option);
    if args.flag("tree")
        && let Some(filter) = FILTERS.iter().find(given)
    {
        return fail(format!("--{filter} and --tree are mutually exclusive"));
    }
    if args.flag("descendants") && !start.iter().any(|option| args.flag(option)) {
        let either = if start.len() > 1 { "either " } else { "" };
        let start: Vec<String> = start.iter().map(|option| format!("--{option}")).collect();
        return fail(format!("--descendants requires {either}{}", start.join(" or ")));
    }
    Ok(())
}

/// Lists what is below `from`, or all that the domain has.
pub(crate) fn list<M: Moment>(
    shell: &mut Shell,
    args: &Args,
    domain: &DomainRef,
    from: Option<M>,
    mut flags: u32,
) -> Done {
    let connection = shell.connection()?;
    if from.is_some() && args.flag("descendants") {
        flags |= api::DOMAIN_SNAPSHOT_LIST_DESCENDANTS;
    }
    let mut list = match &from {
        Some(from) => from.children(&connection, flags)?,
        None => M::all(&connection, domain, flags)?,
    };
    if !args.flag("topological") {
        list.sort_by_cached_key(|moment| moment.name().to_ascii_lowercase());
    }
    let reports = shell.reports();
    if args.flag("tree") && !reports {
        return print_tree(shell, &connection, from.into_iter().chain(list).collect());
    }
    if args.flag("name") && !reports {
        for moment in &list {
            let parent = match args.flag("parent") {
                true => moment.facts(&connection)?.parent,
                false => None,
            };
            match parent {
                Some(parent) => sayln!(shell, "{}\t{}", moment.name(), parent),
                None => sayln!(shell, "{}", moment.name()),
            }
        }
        return Ok(());
    }
    let parents = args.flag("parent") || reports;
    let mut header = vec![("Name", "name"), ("Creation Time", "created_s")];
    header.extend(M::HAS_STATE.then_some(("State", "state")));
    header.extend(parents.then_some(("Parent", "parent")));
    let mut grid = shell.listing(&header);
    for moment in &list {
        let Facts { created_s, state, parent, .. } = moment.facts(&connection)?;
        let created = created_s.map_or_else(String::new, clock::zoned);
        let mut row = vec![moment.name().into(), Cell::new(created, created_s)];
        row.extend(M::HAS_STATE.then(|| state.into()));
        row.extend(parents.then(|| parent.map_or_else(|| Cell::none(""), Cell::from)));
        grid.row(row);
    }
    shell.print_listing(grid);
    Ok(())
}

fn print_tree<M: Moment>(shell: &mut Shell, connection: &Connection, all: Vec<M>) -> Done {
    let mut parents = Vec::with_capacity(all.len());
    for moment in &all {
        let parent = moment.facts(connection)?.parent;
        parents.push(parent.and_then(|name| all.iter().position(|other| other.name() == name)));
    }
    let names: Vec<String> = all.iter().map(|moment| moment.name().to_owned()).collect();
    say!(shell, "{}", tree::draw(&names, &parents));
    Ok(())
}

/// Says where one stands among the others.
pub(crate) fn place<M: Moment>(shell: &mut Shell, found: &M, parent: Option<&str>) -> Done {
    let connection = shell.connection()?;
    shell.field("Parent", "parent", cells::or_dash(parent.map(str::to_owned)));
    let children = found.children(&connection, 0)?;
    shell.field("Children", "children", children.len());
    let descendants = found.children(&connection, api::DOMAIN_SNAPSHOT_LIST_DESCENDANTS)?;
    shell.field("Descendants", "descendants", descendants.len());
    Ok(())
}

pub(crate) fn parent<M: Moment>(shell: &mut Shell, found: &M) -> Done {
    match found.parent(&shell.connection()?) {
        Ok(parent) => {
            say!(shell, "{}", parent.name());
            shell.fact("name", parent.name());
            Ok(())
        }
        Err(error) if error.is(M::NOT_FOUND) => {
            fail(format!("{} '{}' has no parent", M::WORD, found.name()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates one from `--xmlfile`, or from a document that says nothing.
pub(crate) fn create<M: Moment>(
    shell: &mut Shell,
    args: &Args,
    domain: &DomainRef,
    flags: u32,
) -> Done {
    let file = args.text("xmlfile")?;
    let xml = match file {
        Some(file) => read_document(file)?,
        None => format!("<{}/>", M::TAG),
    };
    let from = file.map(|file| format!(" from '{file}'"));
    created::<M>(shell, domain, &xml, flags, &from.unwrap_or_default())
}

/// Creates one as `--name`, `--description` and the parts tell, or prints its document.
pub(crate) fn create_as<M: Moment>(
    shell: &mut Shell,
    args: &Args,
    domain: &DomainRef,
    flags: u32,
    extra: Option<Element<'static>>,
    disks: Vec<Element<'static>>,
) -> Done {
    let (name, about) = (args.text("name")?, args.text("description")?);
    let xml = described(M::TAG, name, about, extra, disks);
    if args.flag("print-xml") {
        sayln!(shell, "{}", xml);
        return Ok(());
    }
    created::<M>(shell, domain, &xml, flags, "")
}

/// Compat: a daemon that does not know `--atomic` or `--quiesce` is not asked twice.
fn created<M: Moment>(
    shell: &mut Shell,
    domain: &DomainRef,
    xml: &str,
    flags: u32,
    from: &str,
) -> Done {
    let created = M::create(&shell.connection()?, domain, xml, flags)?;
    shell.print_extra(format_args!("Domain {} {} created{from}", M::WORD, created.name()));
    Ok(())
}

pub(crate) fn delete<M: Moment>(shell: &mut Shell, args: &Args, found: &M) -> Done {
    let flags = flags_of(
        args,
        &[
            ("children", api::DOMAIN_SNAPSHOT_DELETE_CHILDREN),
            ("children-only", api::DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY),
            ("metadata", api::DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY),
        ],
    );
    let (word, name) = (M::WORD, found.name());
    let deleted = found.delete(&shell.connection()?, flags);
    deleted.during(|| format!("Failed to delete {word} {name}"))?;
    let children = if args.flag("children-only") { "children " } else { "" };
    shell.print_extra(format_args!("Domain {word} {name} {children}deleted\n"));
    Ok(())
}

/// What lists show of a snapshot or a checkpoint.
pub(crate) struct Facts {
    pub(crate) created_s: Option<i64>,
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
        created_s: created,
        state: root.child_text("state").map(|state| state.into_owned()).unwrap_or_default(),
        parent,
        external,
    })
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
fn document(root: &Element<'_>) -> String {
    match root.children.is_empty() {
        true => format!("<{0}>\n</{0}>\n", root.name),
        false => to_string(root),
    }
}

/// The document that `--name`, `--description` and the disks describe, `extra` before the disks.
fn described(
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
