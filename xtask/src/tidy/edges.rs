//! Which crate may know which: the table of the house.
//!
//! Everyone may know the error and the values of the public API. No driver knows another; only
//! `drivers/remote` knows the client and so the wire; only `bin/`, `abi/` and `tests/` name a
//! driver.

use crate::workspace::Package;

/// What any crate may know.
const COMMON: &[&str] = &["virt-error", "virt-types"];

/// A crate below `crates/`, and what of the house it may know beside [`COMMON`].
const CRATES: &[(&str, &[&str])] = &[
    ("virt-error", &[]),
    ("virt-types", &[]),
    ("virt-xdr", &[]),
    ("virt-wire", &["virt-xdr"]),
    ("virt-xml", &[]),
    ("virt-json", &[]),
    ("virt-model", &["virt-xml", "virt-json"]),
    ("virt-driver", &["virt-xml", "virt-model"]),
    ("virt-access", &["virt-xml", "virt-model", "virt-driver", "virt-log"]),
    ("virt-dispatch", &["virt-xdr", "virt-wire", "virt-driver"]),
    ("virt-transport", &["virt-conf"]),
    ("virt-client", &["virt-xdr", "virt-wire", "virt-transport"]),
    ("virt-host", &[]),
    ("virt-store", &[]),
    ("virt-cpu", &["virt-xml", "virt-model"]),
    (
        "virt-guests",
        &[
            "virt-xml",
            "virt-model",
            "virt-driver",
            "virt-cpu",
            "virt-host",
            "virt-log",
            "virt-store",
        ],
    ),
    ("virt-disk", &[]),
    ("virt-log", &[]),
    ("virt-conf", &[]),
    ("virt-cli", &["virt-xml", "virt-json", "virt-model"]),
];

/// What a driver may know beside [`COMMON`].
const DRIVER: &[&str] = &[
    "virt-xml",
    "virt-json",
    "virt-model",
    "virt-driver",
    "virt-guests",
    "virt-host",
    "virt-cpu",
    "virt-store",
    "virt-disk",
    "virt-transport",
    "virt-log",
    "virt-conf",
];

/// What the one driver that is a client may know beside [`COMMON`].
const REMOTE: &[&str] = &["virt-xdr", "virt-wire", "virt-driver", "virt-client", "virt-transport"];

/// The helpers of the tests: any crate's tests may use them, and nothing else may.
const TEST_SUPPORT: &str = "test-support";

/// Every edge between our crates that the table does not allow.
pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let ours: Vec<&Package> = packages.iter().filter(|package| package.folder.is_some()).collect();
    let is_ours = |name: &str| ours.iter().any(|package| package.name == name);
    let mut problems = Vec::new();
    for package in &ours {
        let folder = package.folder.as_deref().unwrap_or_default();
        for dependency in package.dependencies.iter().filter(|found| is_ours(&found.name)) {
            let known = if dependency.name == TEST_SUPPORT {
                dependency.for_tests || folder.starts_with("tests/") || folder == "xtask"
            } else {
                allowed(&package.name, folder, &dependency.name)
            };
            if !known {
                problems.push(format!("{folder}: may not know {}", dependency.name));
            }
        }
        if folder.starts_with("crates/") && !CRATES.iter().any(|(name, _)| *name == package.name) {
            problems.push(format!("{folder}: not in the table of the house (xtask/src/tidy)"));
        }
    }
    problems
}

fn allowed(name: &str, folder: &str, dependency: &str) -> bool {
    let top = folder.split('/').next().unwrap_or_default();
    let list = match (top, name) {
        ("bin" | "abi" | "tests", _) => return true,
        ("xtask", _) => &["protocol"],
        ("drivers", "driver-remote") => REMOTE,
        ("drivers", _) => DRIVER,
        ("crates", _) => {
            let row = CRATES.iter().find(|(of, _)| *of == name);
            row.map(|(_, list)| *list).unwrap_or_default()
        }
        _ => &[],
    };
    // The error itself knows nothing.
    list.contains(&dependency) || (name != COMMON[0] && COMMON.contains(&dependency))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, folder: &str, knows: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), for_tests: false };
        Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: None,
            folder: Some(folder.to_owned()),
            dependencies: knows.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn edges_outside_the_table_are_named() {
        let mut packages = vec![
            package("virt-error", "crates/virt-error", &[]),
            package("virt-wire", "crates/virt-wire", &["virt-error"]),
            package("driver-test", "drivers/test", &["virt-error"]),
            package("driver-qemu", "drivers/qemu", &["virt-error"]),
            package("virtd", "bin/virtd", &["driver-test", "driver-qemu", "virt-wire"]),
        ];
        assert_eq!(check(&packages), [""; 0]);
        packages.push(package("driver-xen", "drivers/xen", &["driver-qemu", "virt-wire"]));
        packages.push(package("virt-new", "crates/virt-new", &[]));
        assert_eq!(
            check(&packages),
            [
                "drivers/xen: may not know driver-qemu",
                "drivers/xen: may not know virt-wire",
                "crates/virt-new: not in the table of the house (xtask/src/tidy)",
            ]
        );
    }
}
