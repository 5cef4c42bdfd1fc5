//! Copies of a sparse disk beside those of `qemu-img`: `cargo bench -p vdiskadm`.
//!
//! 8 GiB with 1 GiB of data, in turn by us and by it: the median of the rounds, and the fastest, which a
//! disk that is busy with something else disturbs least. Needs 6 GiB of room in the temporary folder, and
//! `qemu-img`.

#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use test_support::Scratch;

const DISK_BYTES: u64 = 8 << 30;
const DATA_BYTES: u64 = 1 << 30;
const ROUNDS: usize = 7;

/// One run: how long it took, and the most memory it held.
#[derive(Clone, Copy)]
struct Figure {
    took: Duration,
    peak_kib: u64,
}

fn main() {
    let scratch = Scratch::new("beside-qemu-img");
    let folder = scratch.path();
    if Command::new("qemu-img").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: no qemu-img");
        return;
    }
    disk(&scratch.join("raw"));
    println!(
        "{:<24} {:>8} {:>9} {:>6} | fastest {:>5} {:>9} {:>6} | {:>8}",
        "", "ours s", "qemu-img", "ratio", "ours", "qemu-img", "ratio", "ours KiB"
    );
    for (ours, theirs) in [("vmdk", "vmdk"), ("vdi", "vdi"), ("vhd", "vpc"), ("qcow2", "qcow2")] {
        side_by_side(
            folder,
            &format!("raw to {ours}"),
            &format!("translate -i raw -I raw -x {ours} -d out"),
            &format!("convert -f raw -O {theirs} raw out"),
        );
        let given = format!("convert -f raw -O {theirs} raw given");
        time(Command::new("qemu-img").args(given.split(' ')), folder);
        side_by_side(
            folder,
            &format!("{ours} to raw"),
            &format!("translate -i {ours} -I given -x raw -d out"),
            &format!("convert -f {theirs} -O raw given out"),
        );
    }
    remove(&scratch.join("given"));
    ours(folder, "import -x raw -t vmdk:sparse -d raw disk");
    let image = "convert -f vmdk -O vmdk disk/vdisk.vmdk out";
    side_by_side(folder, "clone of a vdisk", "clone disk out", image);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (kind, format) in [("vdi", "vmdk"), ("vmdk", "vdi")] {
            let from = format!("disk/vdisk.{format}");
            let to = format!("convert -f {format} -O {kind} {from} out");
            there.push(time(Command::new("qemu-img").args(to.split(' ')), folder));
            remove(&scratch.join("out"));
            here.push(ours(folder, &format!("convert -t {kind}:sparse disk")));
        }
    }
    report("vdisk vmdk, vdi in place", here, there);
}

/// Data in stretches of 64 KiB to 4 MiB, all over the disk, that no copy can leave out.
fn disk(path: &Path) {
    let file = File::create(path).expect("a file");
    file.set_len(DISK_BYTES).expect("a hole");
    let (mut seed, mut at, mut left) = (1_u64, 0, DATA_BYTES);
    while left > 0 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = (65_536 << (seed >> 61).min(6)).min(left);
        let mut word = seed;
        let data: Vec<u8> = (0..length / 8)
            .flat_map(|_| {
                word = word.wrapping_mul(seed | 1).wrapping_add(12_345);
                word.to_le_bytes()
            })
            .collect();
        file.write_all_at(&data, at).expect("room");
        left -= length;
        at += length * DISK_BYTES / DATA_BYTES;
    }
    file.sync_all().expect("it is on the disk");
}

fn side_by_side(folder: &Path, name: &str, our_line: &str, their_line: &str) {
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        there.push(time(Command::new("qemu-img").args(their_line.split(' ')), folder));
        remove(&folder.join("out"));
        here.push(ours(folder, our_line));
        remove(&folder.join("out"));
    }
    report(name, here, there);
}

fn ours(folder: &Path, line: &str) -> Figure {
    time(Command::new(env!("CARGO_BIN_EXE_vdiskadm")).args(line.split(' ')), folder)
}

fn report(name: &str, here: Vec<Figure>, there: Vec<Figure>) {
    let peak_kib = here.iter().map(|figure| figure.peak_kib).max().unwrap_or(0);
    let seconds = |all: Vec<Figure>| {
        let mut all: Vec<f64> = all.iter().map(|figure| figure.took.as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0])
    };
    let ((here, best_here), (there, best_there)) = (seconds(here), seconds(there));
    println!(
        "{name:<24} {here:>8.2} {there:>9.2} {:>6.2} |         {best_here:>5.2} {best_there:>9.2} {:>6.2} | {peak_kib:>8}",
        here / there,
        best_here / best_there
    );
}

/// Runs a command to its end. What earlier ones left to be written is written before.
fn time(command: &mut Command, folder: &Path) -> Figure {
    rustix::fs::sync();
    let begun = Instant::now();
    let mut child = command.current_dir(folder).spawn().expect("it runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let ended = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(peak.unwrap_or(0));
        match child.try_wait().expect("it can be waited for") {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    assert!(ended.success(), "{command:?}");
    Figure { took: begun.elapsed(), peak_kib }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.expect("it was made");
}
