//! Folders and files made by somebody who means harm.

use std::os::unix::fs::symlink;

use crate::tool::Tool;

#[test]
fn a_document_leads_nowhere_else() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.scratch.write("secret", "x");
    let good = tool.text("d/vdisk.xml");
    for name in ["../secret", "/etc/passwd", "..", "vdisk.vmdk\n"] {
        std::fs::write(tool.path("d/vdisk.xml"), good.replace("vdisk.vmdk", name)).unwrap();
        assert_eq!(tool.run("verify d").code, Some(255), "{name}");
        tool.fails("destroy d");
        tool.fails("clone d e");
    }
    assert!(tool.path("secret").exists());
    std::fs::write(tool.path("d/vdisk.xml"), &good).unwrap();
    std::fs::remove_file(tool.path("d/vdisk.vmdk")).unwrap();
    symlink("/etc/passwd", tool.path("d/vdisk.vmdk")).unwrap();
    assert_eq!(tool.run("verify d").code, Some(255));
    tool.fails("export -x raw -d out d");
    assert!(!tool.path("out").exists());
}

#[test]
fn an_image_leads_nowhere_else() {
    let tool = Tool::new();
    for name in ["/etc/passwd", "../secret", "link"] {
        tool.scratch.write("secret", vec![1; 4096]);
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\nRW 1 FLAT \"{name}\" 0\n"
        );
        std::fs::create_dir_all(tool.path("in")).unwrap();
        tool.scratch.write("in/a.vmdk", text);
        let _ = symlink("../secret", tool.path("in/link"));
        tool.fails("import -d in/a.vmdk d");
        tool.fails("translate -I in/a.vmdk -x raw -d out");
    }
    assert_eq!(tool.names("."), ["in", "secret"]);
}

#[test]
fn verify_is_silent_and_only_content_with_a_vdisk() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.ok("export -x vdi -d plain.vdi d");
    for line in ["verify plain.vdi", "verify nosuch", "verify .", "verify d@s"] {
        let outcome = tool.run(line);
        let said = (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str());
        assert_eq!(said, (Some(255), "", ""), "{line}");
    }
    tool.scratch.write("d/vdisk.vmdk", "spoilt");
    assert_eq!(tool.run("verify d").code, Some(255));
}

#[test]
fn a_damaged_journal_stops_everything_but_loses_nothing() {
    let tool = Tool::new();
    tool.ok("create -s 1m d");
    tool.scratch.write("d/vdisk.journal", r#"[["remove","../secret"]]"#);
    tool.scratch.write("secret", "x");
    tool.fails("list d");
    tool.fails("snapshot d@s");
    assert!(tool.path("secret").exists());
    std::fs::remove_file(tool.path("d/vdisk.journal")).unwrap();
    tool.ok("verify d");
}
