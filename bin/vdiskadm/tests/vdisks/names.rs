//! Moving and renaming vdisks and their snapshots.

use crate::tool::Tool;

#[test]
fn a_renamed_vdisk_has_its_new_name_everywhere() {
    let tool = Tool::new();
    tool.ok("create -s 1m a/d");
    tool.ok("snapshot a/d@s");
    tool.ok("rename a/d a/e");
    assert_eq!(tool.names("a"), ["e"]);
    assert_eq!(tool.ok("prop-get -p name a/e"), "e\n");
    assert_eq!(tool.ok("prop-get -p filename a/e"), "e\n");
    assert_eq!(tool.ok("list a/e"), "e@s\ne\n");
    tool.ok("create -s 1m a/f");
    for line in ["rename a/e a/f", "rename a/e b", "rename a/e a/f@s", "rename a/e@s a/e"] {
        tool.fails(line);
    }
    assert_eq!(tool.names("a"), ["e", "f"]);
}

#[test]
fn a_name_that_cannot_be_written_down_is_not_taken() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.ok("snapshot d@s");
    let refused = tool.run_within(0, "rename d e");
    assert_eq!(refused.code, Some(255), "{refused:?}");
    assert!(refused.stderr.contains("vdisk.xml"), "{refused:?}");
    assert_eq!(tool.names("."), ["d"]);
    tool.ok("verify d");
    assert_eq!(tool.ok("prop-get -p name d"), "d\n");
    // What a killed process left cannot be mended there, and can be looked at.
    std::fs::rename(tool.path("d"), tool.path("e")).unwrap();
    for (line, said) in [("list e", "e@s\ne\n"), ("prop-get -p name e", "e\n"), ("verify e", "")] {
        assert_eq!(tool.run_within(0, line).ok(), said, "{line}");
    }
    assert!(tool.text("e/vdisk.xml").contains("<name>d</name>"), "it was mended");
    tool.ok("list e");
    assert!(tool.text("e/vdisk.xml").contains("<name>e</name>"), "it was not mended");
}

#[test]
fn a_renamed_snapshot_still_carries_those_above_it() {
    for kind in ["vmdk", "vmdk:fixed", "vdi", "vhd", "vhd:fixed", "qcow2"] {
        let tool = Tool::new();
        tool.ok(&format!("create -s 3m -t {kind} d"));
        tool.write("d", 4096, &[1; 512]);
        tool.ok("snapshot d@a");
        tool.write("d", 8192, &[2; 512]);
        tool.ok("snapshot d@b");
        let content = tool.content("d");
        tool.ok("rename d@a d@a-much-longer-name");
        tool.ok("rename d@b d@x");
        assert_eq!(tool.ok("list d"), "d@a-much-longer-name\nd@x\nd\n", "{kind}");
        assert!(tool.content("d") == content, "{kind}");
        tool.ok("verify d");
        for line in ["rename d@x d@a-much-longer-name", "rename d@nosuch d@y", "rename d@x e@x"] {
            tool.fails(line);
        }
    }
}

#[test]
fn a_vdisk_moves_near_and_far() {
    let tool = Tool::new();
    tool.ok("create -s 3m -t vmdk:fixed d");
    tool.write("d", 1 << 20, &[5; 4096]);
    tool.ok("snapshot d@s");
    let content = tool.content("d");
    std::fs::create_dir(tool.path("near")).unwrap();
    tool.ok("move d near");
    assert_eq!(tool.names("."), ["near"]);
    assert!(tool.content("near/d") == content);

    // Shared memory is another file system than the temporary folder, on most machines.
    let far = std::path::PathBuf::from(format!("/dev/shm/fv-vdisk-{}", std::process::id()));
    if std::fs::create_dir(&far).is_err() {
        test_support::skipped("no /dev/shm");
        return;
    }
    tool.ok(&format!("move near/d {}", far.display()));
    assert_eq!(tool.names("near"), [""; 0]);
    tool.ok(&format!("verify {}/d", far.display()));
    tool.ok(&format!("move {}/d .", far.display()));
    assert!(tool.content("d") == content);
    std::fs::remove_dir(&far).unwrap();

    for line in ["move d nosuch", "move d d", "move d@s near", "move near ."] {
        tool.fails(line);
    }
    tool.ok("create -s 1m near/d");
    tool.fails("move d near");
    tool.ok("verify d");
}

#[test]
fn what_is_not_its_own_is_not_removed_with_it() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.scratch.write("d/precious", "x");
    assert!(tool.fails("destroy d").contains("precious"));
    assert_eq!(tool.names("d"), ["precious", "vdisk.vmdk", "vdisk.xml"]);
}
