//! The program in a folder of its own, and the content of the vdisks it made.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{Outcome, Scratch, run};
use virt_disk::{Chain, DiskError, FileStorage, Format, Neighbours, Result, Storage, open};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_vdiskadm");

/// What a vdisk can be.
pub(crate) const KINDS: [&str; 8] = [
    "raw:fixed",
    "vmdk:sparse",
    "vmdk:fixed",
    "vdi:sparse",
    "vdi:fixed",
    "vhd:sparse",
    "vhd:fixed",
    "qcow2:sparse",
];

/// A folder with vdisks in it.
pub(crate) struct Tool {
    pub(crate) scratch: Scratch,
}

impl Tool {
    pub(crate) fn new() -> Self {
        Self { scratch: Scratch::new("vdisk") }
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace()).current_dir(self.scratch.path());
        command.env("TZ", "UTC");
        command
    }

    pub(crate) fn run(&self, line: &str) -> Outcome {
        run(&mut self.command(line), Duration::from_secs(120))
    }

    /// Runs a command that can write no file beyond so many blocks, as on a disk that is full.
    pub(crate) fn run_within(&self, blocks: u32, line: &str) -> Outcome {
        let mut command = Command::new("sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, PROGRAM]).args(line.split_whitespace());
        run(command.current_dir(self.scratch.path()), Duration::from_secs(120))
    }

    /// Runs a command that must succeed; gives what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    /// Runs a command that must fail as all do; gives its message.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(255), ""), "{line}");
        let message = outcome.stderr.strip_prefix("ERROR: ");
        message.unwrap_or_else(|| panic!("{line}: {}", outcome.stderr)).to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn size_bytes(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }

    /// The names in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The images of a vdisk, opened beside the program, as its user would.
    pub(crate) fn disk(&self, vdisk: &str, writable: bool) -> Chain {
        let xml = self.text(&format!("{vdisk}/vdisk.xml"));
        let vtype = xml.split_once("vtype=\"").unwrap().1.split_once('"').unwrap().0;
        let format: Format = vtype.parse().unwrap();
        let between = |text: &str| text.split_once("</vdfile>").unwrap().0.to_owned();
        let mut names: Vec<String> = xml.split("<vdfile>").skip(1).map(between).collect();
        // The document names the active file before its snapshots.
        names.rotate_left(1);
        let folder = Folder(self.path(vdisk));
        let images = names.iter().map(|name| {
            let writable = writable && name == names.last().unwrap();
            open(format, folder.open(name, writable).unwrap(), &folder, writable).unwrap()
        });
        Chain::new(images.collect()).unwrap()
    }

    pub(crate) fn write(&self, vdisk: &str, offset: u64, data: &[u8]) {
        let mut disk = self.disk(vdisk, true);
        disk.write(offset, data).unwrap();
        disk.flush(false).unwrap();
    }

    pub(crate) fn read(&self, vdisk: &str, offset: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        self.disk(vdisk, false).read(offset, &mut data).unwrap();
        data
    }

    pub(crate) fn content(&self, vdisk: &str) -> Vec<u8> {
        let mut disk = self.disk(vdisk, false);
        let mut data = vec![0; disk.size_bytes() as usize];
        disk.read(0, &mut data).unwrap();
        data
    }
}

/// A vdisk's folder, for the extents that its images name.
struct Folder(PathBuf);

impl Neighbours for Folder {
    fn open(&self, name: &str, writable: bool) -> Result<Box<dyn Storage>> {
        let path: &Path = &self.0.join(name);
        let file = OpenOptions::new().read(true).write(writable).open(path);
        let storage = file.and_then(FileStorage::new);
        Ok(Box::new(storage.map_err(|_| DiskError::ForeignFile(name.to_owned()))?))
    }

    fn create(&self, name: &str) -> Result<Box<dyn Storage>> {
        Err(DiskError::ForeignFile(name.to_owned()))
    }
}
