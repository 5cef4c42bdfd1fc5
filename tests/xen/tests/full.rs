//! A full guest on a real Xen: firmware, an emulator beside it, a disk, a drive, a display.

use real_xen::{Xen, full, release, until};
use test_support::{long_run, or_skip, skipped};

fn state(xen: &Xen, words: &[&str]) {
    until(words[0], || words.contains(&xen.virsh("domstate h").stdout.trim()));
}

/// The drive's medium, as its backend has it.
fn medium(xen: &Xen) -> String {
    xen.inside("xenstore-read /local/domain/0/backend/qdisk/$(xl domid h)/5632/params")
}

#[test]
fn a_full_guest_lives_on_a_real_xen() {
    if !long_run() {
        return skipped("minutes long: cargo xtask xen --long");
    }
    if release() != full::RELEASE {
        return skipped(full::ELSEWHERE);
    }
    let xen = or_skip!(full::start());
    assert!(xen.must("capabilities").contains("<os_type>hvm</os_type>"));
    let file = xen.home().write("h.xml", full::GUEST);
    xen.must(&format!("define {}", file.display()));
    xen.starts("h");
    assert!(xen.must("dominfo h").contains("OS Type:        hvm"));
    assert!(xen.must("ttyconsole h").starts_with("/dev/pts/"));
    assert_eq!(xen.must("vncdisplay h"), "127.0.0.1:7");
    let said = xen
        .inside("(echo; busybox sleep 2; echo) | busybox nc 127.0.0.1 5907 | dd bs=1 count=4 2>&-");
    assert_eq!(said, "RFB\u{20}".trim(), "somebody shows its screen");
    full::answers(&xen, "abc", "ABC");

    xen.must("suspend h");
    state(&xen, &["paused"]);
    xen.must("resume h");
    state(&xen, &["running", "idle"]);
    full::answers(&xen, "def", "DEF");

    assert!(medium(&xen).ends_with("/run/a.iso"));
    xen.must("change-media h hdc /run/b.iso --live --update");
    until("another medium", || medium(&xen).ends_with("/run/b.iso"));
    assert!(xen.must("domblklist h").contains("/run/b.iso"));
    xen.must("change-media h hdc --eject --live");
    until("no medium", || !medium(&xen).contains(".iso"));
    xen.must("change-media h hdc /run/a.iso --insert --live");
    until("a medium", || medium(&xen).ends_with("/run/a.iso"));
    xen.refused(
        "attach-disk h /run/b.iso hdd --type cdrom --mode readonly",
        "must be there before",
    );

    let id = xen.must("domid h");
    xen.must("save h /run/h.save");
    state(&xen, &["shut off"]);
    xen.must("restore /run/h.save");
    state(&xen, &["running", "idle"]);
    assert_ne!(xen.must("domid h"), id);
    full::answers(&xen, "ghi", "GHI");
    assert_eq!(xen.must("vncdisplay h"), "127.0.0.1:7");

    xen.must("destroy h");
    state(&xen, &["shut off"]);
    xen.must("undefine h");
    assert_eq!(xen.inside("xl list | wc -l"), "2", "something is left");
}
