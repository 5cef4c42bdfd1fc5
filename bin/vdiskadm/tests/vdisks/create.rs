//! New vdisks: the guide's files, sizes and modes; options and what is wrong with them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::tool::Tool;

#[test]
fn a_vdisk_is_a_folder_with_data_and_a_document() {
    let tool = Tool::new();
    tool.ok("create -s 8g root_disk");
    assert_eq!(tool.names("root_disk"), ["vdisk.vmdk", "vdisk.xml"]);
    let mode = |name| fs::metadata(tool.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("root_disk/vdisk.vmdk"), 0o600);
    assert_eq!(mode("root_disk/vdisk.xml"), 0o644);
    assert_eq!(mode("root_disk"), 0o755);
}

#[test]
fn sizes_are_those_of_the_guide() {
    let tool = Tool::new();
    tool.ok("create -s 8g root_disk");
    assert_eq!(tool.size_bytes("root_disk/vdisk.vmdk"), 1_114_112);
    tool.ok("create -s 8g -t vhd root_disk_vhd");
    assert_eq!(tool.size_bytes("root_disk_vhd/vdisk.vhd"), 21_504);
    tool.ok("create -s 8g -t vmdk:fixed root_disk_fix");
    assert_eq!(tool.size_bytes("root_disk_fix/vdisk-flat.vmdk"), 8_589_934_592);
    let flat = fs::metadata(tool.path("root_disk_fix/vdisk-flat.vmdk")).unwrap();
    assert!(flat.blocks() * 512 >= 8 << 30, "no room is kept for the data");
    tool.ok("create -s 6g -t vhd vhd_sp");
    tool.ok("snapshot vhd_sp@install");
    assert_eq!(tool.size_bytes("vhd_sp/vdisk.vhd"), 17_408);
}

/// The sizes of the guide hold where the owner's name has four letters or, for one, three.
#[test]
fn documents_have_the_text_of_the_guide() {
    let tool = Tool::new();
    let owner = |name: &str| tool.ok(&format!("prop-get -p owner {name}")).trim().len() as u64;
    for (line, size) in [
        ("create -s 8g root_disk", 584),
        ("create -s 8g -t vhd root_disk_vhd", 590),
        ("create -s 8g -t vmdk:fixed root_disk_fix", 593),
    ] {
        tool.ok(line);
        let name = line.rsplit(' ').next().unwrap();
        assert_eq!(tool.size_bytes(&format!("{name}/vdisk.xml")), size + owner(name) - 4, "{line}");
    }
    tool.ok("create -s 6g -t vhd vhd_sp");
    tool.ok("snapshot vhd_sp@install");
    assert_eq!(tool.size_bytes("vhd_sp/vdisk.xml"), 717 + owner("vhd_sp") - 3);
    let created = fs::metadata(tool.path("vhd_sp/vdisk@install.vhd")).unwrap().ctime();
    let text = tool.text("vhd_sp/vdisk.xml");
    let told = text.split_once("<snapshot creation-time-epoch=\"").unwrap().1;
    let told: i64 = told.split_once('"').unwrap().0.parse().unwrap();
    assert!((0..60).contains(&(created - told)), "renamed at {created}: {text}");
}

#[test]
fn all_types_are_made_with_their_defaults() {
    let tool = Tool::new();
    for (option, vtype, sparse) in [
        ("", "vmdk", "true"),
        ("-t vmdk:fixed", "vmdk", "false"),
        ("-tvmdk:sparse", "vmdk", "true"),
        ("-t raw", "raw", "false"),
        ("-t raw:fixed", "raw", "false"),
        ("-t VDI", "vdi", "true"),
        ("-t vdi:fixed", "vdi", "false"),
        ("-t vhd", "vhd", "true"),
        ("-t vhd:fixed", "vhd", "false"),
        ("-t qcow2", "qcow2", "true"),
    ] {
        tool.ok(&format!("create -s 3.5m {option} d"));
        let property = |name: &str| tool.ok(&format!("prop-get -p {name} d")).trim().to_owned();
        assert_eq!((property("vtype"), property("sparse")), (vtype.into(), sparse.into()));
        assert_eq!(property("max-size"), "3670016");
        assert_eq!(property("sectors"), "7168");
        assert_eq!(property("vdfile"), format!("vdisk.{vtype}"));
        tool.ok("verify d");
        tool.ok("destroy d");
        assert_eq!(tool.names("."), [""; 0]);
    }
}

#[test]
fn directories_of_the_name_are_made_and_go_when_it_fails() {
    let tool = Tool::new();
    tool.ok("create -s 1m a/b/c");
    assert_eq!(tool.names("a/b"), ["c"]);
    tool.fails("create -s 3t -t vhd x/y/z");
    assert_eq!(tool.names("."), ["a"]);
    tool.fails("create -s 1m a/b/c");
    assert_eq!(tool.names("a/b/c"), ["vdisk.vmdk", "vdisk.xml"]);
}

#[test]
fn the_comment_is_in_the_document_and_in_the_image() {
    let tool = Tool::new();
    let run = |words: &[&str]| tool.command("").args(words).status().unwrap();
    assert!(run(&["create", "-s", "1m", "-c", "a <fine> disk", "d"]).success());
    assert_eq!(tool.ok("prop-get -p description d"), "a <fine> disk\n");
    assert_eq!(tool.disk("d", false).facts().comment, "a <fine> disk");
    tool.ok("create -s 1m e");
    assert_eq!(tool.ok("prop-get -p description e"), "none\n");
}

#[test]
fn what_is_missing_is_said_with_the_page_of_the_command() {
    let tool = Tool::new();
    for line in
        ["create d", "create -s 1m", "create -s 1m d e", "create -x d", "snapshot", "nosuch"]
    {
        let message = tool.fails(line);
        assert!(message.contains("\nUsage:\n\tvdiskadm "), "{line}: {message}");
    }
    for line in
        ["create -s 0 d", "create -s 1q d", "create -s 1m d@s", "create -s 1m -t raw:sparse d"]
    {
        assert!(!tool.fails(line).contains("Usage"), "{line}");
    }
    assert_eq!(tool.names("."), [""; 0]);
    let help = tool.ok("help");
    assert!(help.contains("vdiskadm create -s size [-t type[:opt],[opt]] [-c comment] vdname\n"));
    assert!(!help.contains("ref-inc"));
    assert!(tool.ok("help ref-inc").contains("vdiskadm ref-inc [-r|-w] vdname"));
    tool.fails("help nosuch");
}
