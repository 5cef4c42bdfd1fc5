//! Content from and to elsewhere: clones, conversions, imports and exports.

use std::io::{BufRead as _, BufReader};
use std::process::Command;
use std::time::Duration;

use test_support::{debian_program, or_skip, run};
use virt_disk::Identity;

use crate::tool::{KINDS, Tool};

/// A vdisk of this kind with something on it, and what that is.
fn filled(tool: &Tool, kind: &str) -> Vec<u8> {
    tool.ok(&format!("create -s 5m -t {kind} d"));
    for (at, value) in [(0, 1), (70_000, 2), (2 << 20, 3), ((5 << 20) - 512, 4)] {
        tool.write("d", at, &[value; 512]);
    }
    tool.content("d")
}

#[test]
fn a_clone_stands_alone() {
    for kind in KINDS {
        let tool = Tool::new();
        let content = filled(&tool, kind);
        let own = tool.disk("d", false).facts().identity.clone();
        tool.ok("clone -c copied d deep/er/c");
        tool.ok("destroy d");
        let copied = tool.disk("deep/er/c", false).facts().clone();
        assert!(copied.identity != own || matches!(own, Identity::None), "{kind}: {own:?}");
        let has_comment = kind.starts_with("vmdk") || kind.starts_with("vdi");
        assert_eq!(copied.comment, if has_comment { "copied" } else { "" }, "{kind}");
        assert!(tool.content("deep/er/c") == content, "{kind}");
        let get = |name: &str| tool.ok(&format!("prop-get -p {name} deep/er/c")).trim().to_owned();
        assert_eq!(format!("{}:{}", get("vtype"), get("sparse")), {
            let (format, layout) = kind.split_once(':').unwrap();
            format!("{format}:{}", layout == "sparse")
        });
        assert_eq!(
            [get("max-size"), get("parent"), get("description"), get("name")],
            ["5242880", "none", "copied", "c"]
        );
        tool.write("deep/er/c", 4096, &[9; 512]);
        tool.fails("clone deep/er/c deep/er/c");
        tool.fails("clone nosuch x");
    }
}

#[test]
fn every_type_converts_into_every_other() {
    for from in KINDS {
        let tool = Tool::new();
        let content = filled(&tool, from);
        let created = tool.ok("prop-get -p creation-time-epoch d");
        for to in KINDS.iter().filter(|to| **to != from).chain([&from]) {
            tool.ok(&format!("convert -t {to} d"));
            assert!(tool.content("d") == content, "{from} to {to}");
            let files = if *to == "vmdk:fixed" { 3 } else { 2 };
            assert_eq!(tool.names("d").len(), files, "{to}: {:?}", tool.names("d"));
            tool.ok("verify d");
        }
        assert_eq!(tool.ok("prop-get -p creation-time-epoch d"), created);
        tool.fails(&format!("convert -t {from} d"));
    }
}

#[test]
fn snapshots_are_given_up_only_when_that_is_said() {
    let tool = Tool::new();
    filled(&tool, "vhd");
    tool.ok("snapshot d@s");
    tool.write("d", 0, &[8; 512]);
    let content = tool.content("d");
    tool.fails("convert -t vdi d");
    assert_eq!(tool.ok("list d"), "d@s\nd\n");
    tool.ok("convert -r -t vdi d");
    assert_eq!(tool.ok("list d"), "d\n");
    assert!(tool.content("d") == content, "the merged view, not the base");
}

#[test]
fn what_is_exported_can_be_imported_and_qemu_agrees() {
    let qemu = or_skip!(debian_program("qemu-img"));
    for kind in KINDS.iter().chain(&["vmdk:stream"]) {
        let tool = Tool::new();
        filled(&tool, "vhd");
        tool.ok("snapshot d@s");
        tool.write("d", 1 << 20, &[6; 512]);
        let content = tool.content("d");
        let extension = kind.split_once(':').unwrap().0;
        let file = format!("out/f.{extension}");
        tool.ok(&format!("export -x {kind} -d {file} d"));
        assert!(tool.fails(&format!("export -x {kind} -d {file} d")).contains("exists"));
        let format = if extension == "vhd" { "vpc" } else { extension };
        let mut command = Command::new(&qemu);
        command.args(["convert", "-f", format, "-O", "raw"]);
        command.arg(tool.path(&file)).arg(tool.path("raw"));
        assert_eq!(run(&mut command, Duration::from_secs(60)).code, Some(0), "{kind}");
        assert!(std::fs::read(tool.path("raw")).unwrap() == content, "{kind} by qemu-img");

        let files = tool.ok(&format!("import -nfp -d {file} new"));
        assert!(files.starts_with(&format!("file:{file}\n")), "{files}");
        assert_eq!(tool.names("."), ["d", "out", "raw"]);
        tool.ok(&format!("import -d {file} new"));
        assert!(tool.content("new") == content, "{kind} imported");
        assert_eq!(tool.ok("prop-get -p vtype new"), "vmdk\n");
        tool.ok(&format!("import -t vdi:fixed -d {file} other"));
        assert!(tool.content("other") == content, "{kind} imported");
        tool.fails(&format!("import -d {file} new"));
        tool.ok(&format!("translate -I {file} -x qcow2 -d t.qcow2"));
        tool.ok("translate -i qcow2 -I t.qcow2 -x raw -d t.raw");
        assert!(std::fs::read(tool.path("t.raw")).unwrap() == content, "{kind} translated");
    }
}

#[test]
fn a_vhdx_is_taken_in_and_never_made() {
    let qemu = or_skip!(debian_program("qemu-img"));
    let tool = Tool::new();
    let content = filled(&tool, "vdi");
    tool.ok("export -x raw -d raw d");
    let mut command = Command::new(qemu);
    command.args(["convert", "-f", "raw", "-O", "vhdx", "raw", "f.vhdx"]);
    let outcome = run(command.current_dir(tool.scratch.path()), Duration::from_secs(60));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for line in ["import -d f.vhdx a", "import -x vhdx -t vhd -d f.vhdx b"] {
        tool.ok(line);
        let name = line.rsplit(' ').next().unwrap();
        assert!(tool.content(name) == content, "{line}");
    }
    tool.ok("translate -i vhdx -I f.vhdx -x raw -d out");
    assert!(std::fs::read(tool.path("out")).unwrap() == content, "translated");
    for line in [
        "create -s 1m -t vhdx c",
        "convert -t vhdx d",
        "export -x vhdx -d e d",
        "translate -I raw -i raw -x vhdx -d e",
    ] {
        assert!(tool.fails(line).contains("type 'vhdx' cannot be made"), "{line}");
    }
    assert!(tool.fails("import -m -d f.vhdx c").contains("not moved"));
    assert_eq!(tool.names("."), ["a", "b", "d", "f.vhdx", "out", "raw"]);
}

#[test]
fn an_image_is_moved_in_where_its_type_stays() {
    for kind in ["vmdk:sparse", "vmdk:fixed", "vdi:fixed", "vhd:sparse", "qcow2:sparse"] {
        let tool = Tool::new();
        let content = filled(&tool, kind);
        let extension = kind.split_once(':').unwrap().0;
        tool.ok(&format!("export -x {kind} -d out/f.{extension} d"));
        tool.fails(&format!("import -m -t raw -d out/f.{extension} new"));
        tool.ok(&format!("import -m -d out/f.{extension} new"));
        assert_eq!(tool.names("out"), [""; 0], "{kind}");
        assert!(tool.content("new") == content, "{kind}");
        assert_eq!(tool.ok("prop-get -p vtype new"), format!("{extension}\n"));
        tool.ok("verify new");
    }
    let tool = Tool::new();
    filled(&tool, "raw");
    tool.ok("export -x raw -d f.raw d");
    tool.ok("export -x vmdk:stream -d f.vmdk d");
    tool.fails("import -m -d f.raw new");
    tool.fails("import -m -d f.vmdk new");
    assert_eq!(tool.names("."), ["d", "f.raw", "f.vmdk"]);
}

#[test]
fn a_type_that_does_not_show_must_be_said() {
    let tool = Tool::new();
    tool.scratch.write("bytes", vec![7; 4096]);
    assert!(tool.fails("import -d bytes d").contains("-x"));
    tool.ok("import -x raw -d bytes d");
    assert_eq!(tool.content("d"), vec![7; 4096]);
    tool.scratch.write("cd.iso", vec![8; 4096]);
    tool.ok("import -d cd.iso e");
    assert_eq!(tool.content("e"), vec![8; 4096]);
    tool.fails("import -d nosuch f");
    tool.fails("import -d . f");
    assert_eq!(tool.names("."), ["bytes", "cd.iso", "d", "e"]);
}

#[test]
fn a_difference_image_by_itself_is_not_imported() {
    for kind in ["vmdk", "vdi", "vhd", "qcow2"] {
        let tool = Tool::new();
        filled(&tool, kind);
        tool.ok("snapshot d@s");
        let message = tool.fails(&format!("import -d d/vdisk.{kind} e"));
        assert!(message.contains("not whole"), "{message}");
    }
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let tool = Tool::new();
    tool.ok("create -s 8g d");
    for at in 0..8 {
        tool.write("d", at << 30, &[1; 4096]);
    }
    tool.ok("export -x raw -d out.raw d");
    let raw = std::fs::metadata(tool.path("out.raw")).unwrap();
    assert_eq!(raw.len(), 8 << 30);
    assert!(raw.blocks() * 512 < 2 << 20, "{} bytes", raw.blocks() * 512);
    for kind in ["vmdk", "vdi", "vhd", "qcow2"] {
        tool.ok(&format!("import -x raw -t {kind} -d out.raw {kind}"));
        let made = tool.size_bytes(&format!("{kind}/vdisk.{kind}"));
        assert!(made < 20 << 20, "{kind}: {made} bytes");
    }
}

#[test]
fn progress_is_told_to_programs() {
    let tool = Tool::new();
    filled(&tool, "vdi");
    let outcome = tool.run("export --progress json -x vhd -d e d");
    assert_eq!(outcome.code, Some(0));
    let last = outcome.stderr.lines().last().unwrap_or_default();
    assert_eq!(last, r#"{"done-bytes":5242880,"total-bytes":5242880,"what":"exporting"}"#);
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    let tool = Tool::new();
    tool.ok("create -s 2g -t raw d");
    let disk = std::fs::OpenOptions::new().write(true).open(tool.path("d/vdisk.raw")).unwrap();
    for at in 0..512 {
        std::os::unix::fs::FileExt::write_all_at(&disk, &vec![at as u8 | 1; 1 << 20], at << 22)
            .unwrap();
    }
    for line in [
        "clone --progress json d deep/e",
        "convert --progress json -t vdi d",
        "export --progress json -x vmdk:stream -d deep/f d",
    ] {
        let mut child = tool.command(line).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        // The copy is under way, and far from its end.
        assert!(told.next().unwrap().contains("done-bytes"), "{line}");
        test_support::signal(i32::try_from(child.id()).unwrap(), test_support::Signal::INT);
        assert_eq!(told.last().unwrap(), "ERROR: cancelled", "{line}");
        assert_eq!(child.wait().unwrap().code(), Some(255), "{line}");
        assert_eq!(tool.names("."), ["d"], "{line}");
        assert_eq!(tool.names("d"), ["vdisk.raw", "vdisk.xml"], "{line}");
    }
}

/// A loop device over a file; detached when dropped.
struct Loop(String);

impl Loop {
    fn new(file: &std::path::Path) -> Result<Self, String> {
        let losetup = debian_program("losetup")?;
        let mut command = Command::new(losetup);
        let outcome = run(command.args(["-f", "--show"]).arg(file), Duration::from_secs(10));
        match outcome.code {
            Some(0) => Ok(Self(outcome.stdout.trim().to_owned())),
            _ => Err(format!("no loop device: {}", outcome.stderr.trim())),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(Command::new("losetup").args(["-d", &self.0]).status());
    }
}

#[test]
fn a_block_device_is_exported_to_and_imported_from() {
    let tool = Tool::new();
    let content = filled(&tool, "vhd");
    // What was there before must not show where the vdisk has holes.
    let file = tool.scratch.write("device", vec![0xee; 6 << 20]);
    let device = or_skip!(Loop::new(&file));
    for kind in ["vdi", "vmdk", "vhd:fixed", "qcow2"] {
        assert!(tool.fails(&format!("export -x {kind} -d {} d", device.0)).contains("raw"));
    }
    tool.ok(&format!("export -x raw -d {} d", device.0));
    tool.ok(&format!("import -d {} -t vdi new", device.0));
    let found = tool.content("new");
    assert!(found[..content.len()] == content, "the device holds what the vdisk shows");
    assert!(found[content.len()..].iter().all(|byte| *byte == 0xee), "and the rest as before");
    tool.fails(&format!("import -m -d {} other", device.0));
    tool.ok("create -s 7m large");
    assert!(tool.fails(&format!("export -x raw -d {} large", device.0)).contains("too small"));
}

#[test]
fn a_copy_that_fails_names_the_side_that_failed_and_leaves_nothing() {
    let tool = Tool::new();
    // Nothing in it can be left out.
    let content: Vec<u8> =
        (0..4_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(tool.path("big.raw"), &content).unwrap();
    for kind in KINDS {
        let refused = tool.run_within(512, &format!("import -d big.raw -t {kind} new"));
        assert_eq!(refused.code, Some(255), "{kind}: {refused:?}");
        assert!(refused.stderr.starts_with("ERROR: new: "), "{kind}: {refused:?}");
        assert_eq!(tool.names("."), ["big.raw"], "{kind}");
    }
    tool.ok("import -d big.raw d");
    for line in
        ["clone d c", "export -x vdi -d out.vdi d", "translate -I big.raw -x vhd -d out.vdi"]
    {
        let refused = tool.run_within(512, line);
        let target = if line.starts_with("clone") { "ERROR: c: " } else { "ERROR: out.vdi: " };
        assert!(refused.stderr.starts_with(target), "{line}: {refused:?}");
        assert_eq!(tool.names("."), ["big.raw", "d"], "{line}");
    }
    let refused = tool.run_within(512, "convert -t vhd d");
    assert!(refused.code == Some(255) && refused.stderr.contains("cannot"), "{refused:?}");
    assert!(tool.content("d") == content, "what was there is there");
    assert_eq!(tool.names("d"), ["vdisk.vmdk", "vdisk.xml"]);
}
