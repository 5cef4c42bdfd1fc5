//! Snapshots in every format: taken, listed, gone back to, merged, renamed.

use test_support::{debian_program, or_skip, run};

use crate::tool::Tool;

const TYPES: [&str; 7] =
    ["vmdk:sparse", "vmdk:fixed", "vdi:sparse", "vdi:fixed", "vhd:sparse", "vhd:fixed", "qcow2"];

/// A vdisk with snapshots one, two and three, and in sector N of each the number of the writer.
fn with_three(tool: &Tool, kind: &str) {
    tool.ok(&format!("create -s 3m -t {kind} d"));
    for (number, snapshot) in [(1, "one"), (2, "two"), (3, "three"), (4, "")] {
        tool.write("d", 512 * u64::from(number), &[number; 512]);
        tool.write("d", 2 << 20, &[number; 1024]);
        if !snapshot.is_empty() {
            tool.ok(&format!("snapshot d@{snapshot}"));
        }
    }
}

/// What the first sectors and the one that all write to hold.
fn seen(tool: &Tool, vdisk: &str) -> [u8; 5] {
    let at = |offset| tool.read(vdisk, offset, 512)[100];
    [at(512), at(1024), at(1536), at(2048), at(2 << 20)]
}

#[test]
fn snapshots_are_listed_oldest_first_and_keep_what_was_there() {
    for kind in TYPES {
        let tool = Tool::new();
        with_three(&tool, kind);
        let path = tool.path("d");
        for name in ["d", "./d/", path.to_str().unwrap()] {
            assert_eq!(tool.ok(&format!("list {name}")), "d@one\nd@two\nd@three\nd\n", "{kind}");
        }
        assert_eq!(seen(&tool, "d"), [1, 2, 3, 4, 4], "{kind}");
        for (snapshot, wanted) in
            [("one", [1, 0, 0, 0, 1]), ("two", [1, 2, 0, 0, 2]), ("three", [1, 2, 3, 0, 3])]
        {
            tool.ok(&format!("clone d@{snapshot} {snapshot}"));
            assert_eq!(seen(&tool, snapshot), wanted, "{kind}");
            assert_eq!(tool.ok(&format!("list {snapshot}")), format!("{snapshot}\n"));
        }
        tool.ok("verify d");
    }
}

#[test]
fn a_snapshot_renames_the_file_and_starts_an_empty_one() {
    let tool = Tool::new();
    tool.ok("create -s 6g -t vhd vhd_sp");
    tool.write("vhd_sp", 5 << 30, &[9; 4096]);
    let before = std::fs::read(tool.path("vhd_sp/vdisk.vhd")).unwrap();
    tool.ok("snapshot vhd_sp@install");
    assert_eq!(tool.names("vhd_sp"), ["vdisk.vhd", "vdisk.xml", "vdisk@install.vhd"]);
    assert_eq!(std::fs::read(tool.path("vhd_sp/vdisk@install.vhd")).unwrap(), before);
    assert_eq!(tool.size_bytes("vhd_sp/vdisk.vhd"), 17_408);
    assert_eq!(tool.read("vhd_sp", 5 << 30, 4096), [9; 4096]);
}

#[test]
fn going_back_removes_what_came_later() {
    for kind in TYPES {
        let tool = Tool::new();
        with_three(&tool, kind);
        tool.fails("rollback d@two");
        assert_eq!(seen(&tool, "d"), [1, 2, 3, 4, 4], "{kind}");
        tool.ok("rollback d@three");
        assert_eq!(seen(&tool, "d"), [1, 2, 3, 0, 3], "{kind}");
        tool.ok("rollback -r d@one");
        assert_eq!(tool.ok("list d"), "d@one\nd\n");
        assert_eq!(seen(&tool, "d"), [1, 0, 0, 0, 1], "{kind}");
        let images = tool.names("d").iter().filter(|name| !name.contains("flat")).count();
        assert_eq!(images, 3, "{kind}: {:?}", tool.names("d"));
        tool.write("d", 0, &[7; 512]);
        tool.ok("verify d");
        tool.fails("rollback d");
        tool.fails("rollback d@two");
    }
}

#[test]
fn a_removed_snapshot_leaves_its_data_to_the_next_one() {
    for kind in TYPES {
        for order in [["one", "two", "three"], ["two", "three", "one"], ["three", "one", "two"]] {
            let tool = Tool::new();
            with_three(&tool, kind);
            let mut left = vec!["one", "two", "three"];
            for snapshot in order {
                tool.ok(&format!("destroy d@{snapshot}"));
                left.retain(|held| *held != snapshot);
                let listed: String = left.iter().map(|name| format!("d@{name}\n")).collect();
                assert_eq!(tool.ok("list d"), format!("{listed}d\n"));
                assert_eq!(seen(&tool, "d"), [1, 2, 3, 4, 4], "{kind} without {snapshot}");
                if left.contains(&"two") {
                    tool.ok("clone d@two c");
                    assert_eq!(seen(&tool, "c"), [1, 2, 0, 0, 2], "{kind} without {snapshot}");
                    tool.ok("destroy c");
                }
                tool.ok("verify d");
            }
            let wanted = if kind == "vmdk:fixed" { 3 } else { 2 };
            assert_eq!(tool.names("d").len(), wanted, "{kind}: {:?}", tool.names("d"));
        }
    }
}

#[test]
fn qemu_reads_the_active_file_through_all_its_snapshots() {
    let qemu = or_skip!(debian_program("qemu-img"));
    for (kind, format) in [("vmdk:sparse", "vmdk"), ("vmdk:fixed", "vmdk"), ("qcow2", "qcow2")] {
        let tool = Tool::new();
        with_three(&tool, kind);
        tool.ok("rename d@two d@another-name");
        tool.ok("rename d@one d@1");
        let mut command = std::process::Command::new(&qemu);
        command.args(["convert", "-f", format, "-O", "raw"]);
        command.arg(tool.path(&format!("d/vdisk.{format}"))).arg(tool.path("raw"));
        let outcome = run(&mut command, std::time::Duration::from_secs(60));
        assert_eq!(outcome.code, Some(0), "{kind}: {}", outcome.stderr);
        assert!(std::fs::read(tool.path("raw")).unwrap() == tool.content("d"), "{kind}");
    }
}

#[test]
fn what_cannot_be_snapshotted_is_refused_untouched() {
    let tool = Tool::new();
    tool.ok("create -s 1m -t raw r");
    for line in ["snapshot r@s", "rollback r@s", "destroy r@s"] {
        assert!(tool.fails(line).contains("raw"), "{line}");
    }
    tool.ok("create -s 1m d");
    tool.ok("snapshot d@s");
    let before = tool.text("d/vdisk.xml");
    for line in ["snapshot d@s", "snapshot d", "snapshot d@", "snapshot d@a@b", "snapshot n@s"] {
        tool.fails(line);
    }
    tool.fails("destroy d");
    assert_eq!(tool.text("d/vdisk.xml"), before);
    assert_eq!(tool.names("d"), ["vdisk.vmdk", "vdisk.xml", "vdisk@s.vmdk"]);
    tool.ok("destroy -r d");
    assert_eq!(tool.names("."), ["r"]);
}

#[test]
fn while_it_is_used_nothing_touches_it() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.ok("snapshot d@s");
    for option in ["", "-r"] {
        tool.ok(&format!("ref-inc {option} d"));
        for line in [
            "destroy -r d",
            "destroy d@s",
            "snapshot d@t",
            "rollback d@s",
            "clone d e",
            "move d /",
            "rename d e",
            "rename d@s d@t",
            "convert -r -t vdi d",
            "export -x raw -d f d",
            "prop-set -p description=x d",
        ] {
            assert!(tool.fails(line).contains("in use"), "{line}");
        }
        assert_eq!(tool.ok("list d"), "d@s\nd\n");
        tool.ok("ref-dec d");
    }
    assert_eq!(tool.names("."), ["d"]);
}
