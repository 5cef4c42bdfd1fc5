//! The descriptor of a VMDK: lines of text, kept as they came but for what is changed here.

use crate::bytes::{cut, new_uuid, uuid_text};
use crate::error::{DiskError, Result};
use crate::vmdk::{NAME, bad, new_content_id};

/// What a disk without a parent names as its parent.
pub(crate) const NO_PARENT: u32 = 0xffff_ffff;

/// Limit: a disk of 2 TB in pieces of 2 GB has a thousand.
const EXTENTS_MAX: usize = 4096;

/// Limit: leaves room for everything else in the twenty sectors of an embedded descriptor.
pub(crate) const COMMENT_BYTES_MAX: usize = 4096;

const UUID: &str = "ddb.uuid.image";
const COMMENT: &str = "ddb.comment";

/// A parsed descriptor and its text.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) cid: u32,
    pub(crate) parent_cid: u32,
    pub(crate) parent_hint: String,
    pub(crate) comment: String,
    pub(crate) extents: Vec<ExtentLine>,
    /// All lines, in order.
    lines: Vec<String>,
}

/// `RW 2048 SPARSE "disk.vmdk" 0`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtentLine {
    pub(crate) sectors: u64,
    pub(crate) kind: ExtentKind,
    pub(crate) file: String,
    pub(crate) offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentKind {
    Flat,
    Sparse,
    Zero,
}

impl Descriptor {
    /// Compat: both first lines in use are taken, with and without the blank.
    pub(crate) fn is_one(text: &[u8]) -> bool {
        let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        let Some(line) = text.get(start..) else { return false };
        let is = |wanted: &[u8]| {
            line.get(..wanted.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(wanted))
        };
        is(b"# Disk DescriptorFile") || is(b"# Disk Descriptor File")
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        if !Self::is_one(text.as_bytes()) {
            return Err(bad("has no descriptor"));
        }
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut found = Self {
            cid: 0,
            parent_cid: NO_PARENT,
            parent_hint: String::new(),
            comment: String::new(),
            extents: Vec::new(),
            lines,
        };
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(extent) = extent(line)? {
                if found.extents.len() == EXTENTS_MAX {
                    return Err(bad("has too many extents"));
                }
                found.extents.push(extent);
                continue;
            }
            let Some((key, value)) = line.split_once('=') else { continue };
            let value = unquoted(value);
            match key.trim() {
                "CID" => found.cid = number(value)?,
                "parentCID" => found.parent_cid = number(value)?,
                "parentFileNameHint" => value.clone_into(&mut found.parent_hint),
                "ddb.comment" => value.clone_into(&mut found.comment),
                _ => {}
            }
        }
        if found.extents.is_empty() {
            return Err(bad("has no extents"));
        }
        Ok(found)
    }

    /// The text with the content number as it is now.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            let key = line.split_once('=').map_or("", |(key, _)| key.trim());
            match key {
                "CID" => out.push_str(&format!("CID={:08x}", self.cid)),
                _ => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }

    /// Changes the parent's name, and the name of the one flat extent where there is one.
    pub(crate) fn rename(&mut self, parent_hint: Option<&str>, flat: Option<&str>) {
        for line in &mut self.lines {
            let key = line.split_once('=').map_or("", |(key, _)| key.trim());
            if let (true, Some(hint)) = (key == "parentFileNameHint", parent_hint) {
                *line = format!("parentFileNameHint=\"{}\"", plain(hint));
            } else if let (Some(flat), Ok(Some(found))) = (flat, extent(line.trim()))
                && found.kind == ExtentKind::Flat
            {
                *line = format!("RW {} FLAT \"{}\" {}", found.sectors, plain(flat), found.offset);
            }
        }
    }

    /// Makes it that of another image with the same content.
    pub(crate) fn renew(&mut self, comment: &str) {
        self.cid = new_content_id();
        let key = |line: &str| line.split_once('=').map_or("", |(key, _)| key.trim()).to_owned();
        self.lines.retain(|line| key(line) != COMMENT);
        for line in self.lines.iter_mut().filter(|line| key(line) == UUID) {
            *line = format!("{UUID}=\"{}\"", uuid_text(&new_uuid()));
        }
        self.lines.extend(comment_line(comment));
    }
}

/// A descriptor as it stands in its place inside an extent.
pub(crate) fn pad(text: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() as u64 > bytes_max {
        return Err(bad("the descriptor does not fit into its place"));
    }
    bytes.resize(bytes_max as usize, 0);
    Ok(bytes)
}

/// The line of an extent; `None` for any other line.
fn extent(line: &str) -> Result<Option<ExtentLine>> {
    let Some((access, rest)) = line.split_once(char::is_whitespace) else { return Ok(None) };
    if !matches!(access, "RW" | "RDONLY" | "NOACCESS") {
        return Ok(None);
    }
    if access == "NOACCESS" {
        return Err(DiskError::Unsupported { format: NAME, what: "an extent without access" });
    }
    let odd = || bad("has an odd extent line");
    let (sectors, rest) = rest.trim().split_once(char::is_whitespace).ok_or_else(odd)?;
    let sectors: u64 = sectors.parse().map_err(|_| odd())?;
    if sectors == 0 {
        return Err(bad("has an empty extent"));
    }
    let rest = rest.trim();
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let kind = match kind {
        "FLAT" | "VMFS" => ExtentKind::Flat,
        "SPARSE" => ExtentKind::Sparse,
        "ZERO" => {
            return Ok(Some(ExtentLine {
                sectors,
                kind: ExtentKind::Zero,
                file: String::new(),
                offset: 0,
            }));
        }
        _ => return Err(DiskError::Unsupported { format: NAME, what: "an extent of this kind" }),
    };
    let rest = rest.trim().strip_prefix('"').ok_or_else(odd)?;
    let (file, rest) = rest.split_once('"').ok_or_else(odd)?;
    let offset = match rest.trim() {
        "" => 0,
        offset => offset.parse().map_err(|_| odd())?,
    };
    Ok(Some(ExtentLine { sectors, kind, file: file.to_owned(), offset }))
}

fn number(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 16).map_err(|_| bad("has an odd content number"))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// The line of a comment, where there is one.
fn comment_line(comment: &str) -> Option<String> {
    let comment = plain(cut(comment, COMMENT_BYTES_MAX));
    (!comment.is_empty()).then(|| format!("{COMMENT}=\"{comment}\""))
}

/// Text that stays on its line and between its quotes.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '"' { ' ' } else { c }).collect()
}

/// What a new descriptor says.
pub(crate) struct NewDescriptor<'a> {
    pub(crate) cid: u32,
    pub(crate) parent: Option<(u32, &'a str)>,
    pub(crate) create_type: &'a str,
    pub(crate) extent: String,
    pub(crate) size_bytes: u64,
    pub(crate) comment: &'a str,
    pub(crate) uuid: &'a str,
}

impl NewDescriptor<'_> {
    pub(crate) fn render(&self) -> String {
        const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";
        let parent_cid = self.parent.map_or(NO_PARENT, |(cid, _)| cid);
        // Heads and sectors are the same for all; old readers want no more cylinders.
        let cylinders = (self.size_bytes / (16 * 63 * 512)).clamp(1, 16383);
        let mut out = format!(
            "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID={parent_cid:08x}\n\
             createType=\"{}\"\n",
            self.cid, self.create_type
        );
        if let Some((_, hint)) = self.parent {
            out.push_str(&format!("parentFileNameHint=\"{}\"\n", plain(hint)));
        }
        out.push_str(&format!(
            "\n# Extent description\n{}\n\n# The disk Data Base\n#DDB\n\n\
             ddb.virtualHWVersion = \"4\"\n\
             ddb.adapterType=\"ide\"\n\
             ddb.geometry.cylinders=\"{cylinders}\"\n\
             ddb.geometry.heads=\"16\"\n\
             ddb.geometry.sectors=\"63\"\n\
             ddb.uuid.image=\"{}\"\n\
             ddb.uuid.modification=\"{NO_UUID}\"\n\
             ddb.uuid.parent=\"{NO_UUID}\"\n\
             ddb.uuid.parentmodification=\"{NO_UUID}\"\n",
            self.extent, self.uuid
        ));
        out.extend(comment_line(self.comment).map(|line| line + "\n"));
        out
    }
}
