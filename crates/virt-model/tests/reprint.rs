//! Documents in libvirt's own form must print as they were read: every expected output of the QEMU
//! corpora, read without adding anything.

#![allow(clippy::print_stdout, reason = "counts and skips are what these tests report")]

use virt_model::domain::Domain;
use virt_model::{ParseFlags, PrintFlags};

fn reprint(text: &str, inactive: bool) -> Result<String, String> {
    let flags = ParseFlags { inactive, skip_post_parse: true, ..ParseFlags::default() };
    let domain = Domain::parse(text, flags).map_err(|e| e.message().to_owned())?;
    Ok(domain.to_xml(PrintFlags { inactive, secure: true, ..PrintFlags::default() }))
}

#[test]
fn printed_documents_print_the_same_again() {
    let root = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        std::path::PathBuf::from,
    );
    let folder = root.join("conformance/qemu-xmlconf/out");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let show = std::env::var("CONFORMANCE_SHOW").ok();
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "xml"));
    paths.sort();
    let mut passed = 0;
    for path in &paths {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let made = reprint(&text, true);
        if made.as_ref() == Ok(&text) {
            passed += 1;
        } else if show.as_ref().is_some_and(|part| path.to_string_lossy().contains(part)) {
            println!("--- {}", path.file_name().unwrap_or_default().to_string_lossy());
            match made {
                Err(message) => println!("error: {message}"),
                Ok(made) => {
                    let (left, right): (Vec<_>, Vec<_>) =
                        (text.lines().collect(), made.lines().collect());
                    let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
                    left.iter().skip(same).take(3).for_each(|line| println!("- {line}"));
                    right.iter().skip(same).take(3).for_each(|line| println!("+ {line}"));
                }
            }
        }
    }
    println!("qemu-xmlconf reprint {passed}/{}", paths.len());
    assert!(passed == paths.len(), "{passed} documents print the same");
}

#[test]
fn running_domains_print_live_and_as_stored() {
    let root = std::env::var_os("FERROVIRT_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        std::path::PathBuf::from,
    );
    let folder = root.join("conformance/qemu-active-xml/out");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: {} is not there", folder.display());
        return;
    };
    let live = ParseFlags { skip_post_parse: true, ..ParseFlags::default() };
    let (mut passed, mut total) = (0, 0);
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((stem, rest)) = name.rsplit_once("-active.") else { continue };
        let active = std::fs::read_to_string(&path).expect("a readable file");
        let stored = std::fs::read_to_string(folder.join(format!("{stem}-inactive.{rest}")))
            .expect("its stored form");
        let domain = Domain::parse(&active, live).expect("a domain");
        for (inactive, wanted) in [(false, &active), (true, &stored)] {
            total += 1;
            let made =
                domain.to_xml(PrintFlags { inactive, secure: true, ..PrintFlags::default() });
            if made == *wanted {
                passed += 1;
                continue;
            }
            let (left, right): (Vec<_>, Vec<_>) =
                (wanted.lines().collect(), made.lines().collect());
            let same = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
            println!("--- {name} inactive={inactive}");
            left.iter().skip(same).take(4).for_each(|line| println!("- {line}"));
            right.iter().skip(same).take(4).for_each(|line| println!("+ {line}"));
        }
    }
    println!("qemu-active-xml reprint {passed}/{total}");
    assert!(passed >= total, "{passed} of {total} forms agree");
}
