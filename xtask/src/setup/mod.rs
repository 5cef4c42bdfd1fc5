//! `setup`: installs what demo and test need beside Rust, through apt.
//!
//! What is there already is not touched. On Debian 12 the versions wanted (libvirt 11.3, QEMU 10)
//! are in its backports; the suite is added, in a file of its own, only where none is configured.

mod apt;

use std::fs::File;
use std::path::{Path, PathBuf};

use test_support::KERNEL_MODULES;

use crate::{process, switches, workspace, xen};

/// Something that must be there: how to see it, and the package that brings it.
struct Need {
    what: &'static str,
    is_there: fn() -> bool,
    package: &'static str,
}

/// What `demo` needs.
const DEMO: &[Need] = &[
    Need { what: "QEMU", is_there: || has("qemu-system-x86_64"), package: "qemu-system-x86" },
    Need { what: "a static busybox", is_there: || has("busybox"), package: "busybox-static" },
];

/// What the tests need beside that: the reference to compare with, and a compiler for tiny guests.
const TESTS: &[Need] = &[
    Need { what: "libvirt's virsh", is_there: || has("virsh"), package: "libvirt-clients" },
    Need { what: "libvirt's daemon", is_there: || has("libvirtd"), package: "libvirt-daemon" },
    Need {
        what: "its QEMU driver",
        is_there: || has_libvirt_driver("qemu"),
        package: "libvirt-daemon-driver-qemu",
    },
    Need {
        what: "its storage driver",
        is_there: || has_libvirt_driver("storage"),
        package: "libvirt-daemon-driver-storage",
    },
    Need {
        what: "libvirt's Python module",
        is_there: || imports("libvirt"),
        package: "python3-libvirt",
    },
    Need { what: "virt-install", is_there: || has("virt-install"), package: "virtinst" },
    Need {
        what: "a runner of Python's tests",
        is_there: || imports("pytest"),
        package: "python3-pytest",
    },
    Need { what: "a writer of CD images", is_there: || has("xorriso"), package: "xorriso" },
    Need { what: "QEMU's disk tools", is_there: || has("qemu-img"), package: "qemu-utils" },
    Need { what: "7-Zip", is_there: || has("7zz") || has("7z"), package: "7zip" },
    Need { what: "libvmdk", is_there: || imports("pyvmdk"), package: "python3-libvmdk" },
    Need { what: "libvhdi", is_there: || imports("pyvhdi"), package: "python3-libvhdi" },
    Need { what: "vmdkstream", is_there: || imports("VMDKstream"), package: "python3-vmdkstream" },
    Need { what: "Python's venv", is_there: || imports("ensurepip"), package: "python3-venv" },
    Need { what: "a C compiler", is_there: || has("gcc"), package: "gcc" },
    Need {
        what: "the C library's headers",
        is_there: || Path::new("/usr/include/stdio.h").exists(),
        package: "libc6-dev",
    },
    Need { what: "users of SASL", is_there: || has("saslpasswd2"), package: "sasl2-bin" },
    Need {
        what: "mechanisms of SASL",
        is_there: || has_library("sasl2/libscram.so"),
        package: "libsasl2-modules",
    },
    Need { what: "certificates", is_there: || has("openssl"), package: "openssl" },
    Need { what: "an SSH daemon", is_there: || has("sshd"), package: "openssh-server" },
    Need { what: "netcat", is_there: || has("nc"), package: "netcat-openbsd" },
    Need { what: "a C++ compiler (for fuzzing)", is_there: || has("g++"), package: "g++" },
    Need { what: "a judge of XML schemas", is_there: || has("xmllint"), package: "libxml2-utils" },
    Need {
        what: "a judge of JSON schemas",
        is_there: || imports("jsonschema"),
        package: "python3-jsonschema",
    },
    Need { what: "a printer of manuals", is_there: || has("groff"), package: "groff-base" },
    Need { what: "cpio", is_there: || has("cpio"), package: "cpio" },
    Need { what: "xz", is_there: || has("xz"), package: "xz-utils" },
    Need { what: "the Z shell", is_there: || has("zsh"), package: "zsh" },
    Need { what: "the fish shell", is_there: || has("fish"), package: "fish" },
];

/// What a build with Kerberos needs, and its tests; the libraries to build with are large.
const GSSAPI: &[Need] = &[
    Need { what: "Kerberos' headers", is_there: || has_header("gssapi.h"), package: "libkrb5-dev" },
    Need { what: "libclang", is_there: has_libclang, package: "libclang-dev" },
    Need { what: "a keeper of tickets", is_there: || has("krb5kdc"), package: "krb5-kdc" },
    Need { what: "its tools", is_there: || has("kadmin.local"), package: "krb5-admin-server" },
    Need { what: "kinit", is_there: || has("kinit"), package: "krb5-user" },
    Need {
        what: "tickets by SASL",
        is_there: || has_library("sasl2/libgssapiv2.so"),
        package: "libsasl2-modules-gssapi-mit",
    },
];

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let [only_print] = switches(args, ["--print"])?;
    let needs = || DEMO.iter().chain(TESTS);
    if only_print {
        for need in needs() {
            let state = if (need.is_there)() { "there" } else { "missing" };
            println!("{:<30} {state:<8} {}", need.what, need.package);
        }
        let state = if python_modules().exists() { "there" } else { "missing" };
        println!("{:<30} {state:<8} {}", "a reader of disk images", PYTHON_MODULES.join(" "));
        let sources = workspace::target().join("virt-manager/sources");
        let state = if sources.exists() { "there" } else { "missing" };
        println!("{:<30} {state:<8} its source", "virt-manager's own tests");
        return Ok(());
    }
    install(needs())?;
    install_python_modules()?;
    kernel()?;
    agent();
    virt_manager();
    xen::prepare(xen::USUAL)
}

/// Debian's release with the libvirt that we are held against, and with the virt-manager of its time.
const REFERENCE: &str = "trixie";

/// virt-manager's sources below the target folder, whose unit tests are run on our test driver. Where they
/// cannot be had, that test says so.
fn virt_manager() {
    let folder = workspace::target().join("virt-manager");
    let sources = folder.join("sources");
    if sources.exists() {
        return;
    }
    println!("fetching virt-manager's sources (about 3 MB, kept below target/)");
    let unpacked = || {
        let part = folder.join("part");
        std::fs::create_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
        let archive = apt::download_source("virt-manager", &[REFERENCE], &folder)?;
        let mut tar = process::command("tar", &["-x", "--strip-components=1", "-f"]);
        process::run(tar.arg(&archive).arg("-C").arg(&part))?;
        std::fs::rename(&part, &sources).map_err(|error| format!("{}: {error}", part.display()))
    };
    if let Err(message) = unpacked() {
        println!("there are no sources of virt-manager: {message}");
    }
}

/// Installs what a build with Kerberos needs.
pub(crate) fn for_gssapi() -> Result<(), String> {
    install(GSSAPI.iter())
}

/// Installs what `demo` needs, and gives the kernel for its guest.
pub(crate) fn for_demo() -> Result<Kernel, String> {
    install(DEMO.iter())?;
    kernel()
}

fn install<'a>(needs: impl Iterator<Item = &'a Need>) -> Result<(), String> {
    let missing: Vec<&Need> = needs.filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        println!("nothing to install");
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} (package {})", need.what, need.package);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    apt::install(&packages)?;
    match missing.iter().find(|need| !(need.is_there)()) {
        Some(need) => Err(format!("{} was installed, but {} is missing", need.package, need.what)),
        None => Ok(()),
    }
}

fn has(program: &str) -> bool {
    process::find_program(program).is_some()
}

fn has_libvirt_driver(name: &str) -> bool {
    has_library(&format!("libvirt/connection-driver/libvirt_driver_{name}.so"))
}

/// Whether a file is there below the libraries of some architecture.
fn has_library(path: &str) -> bool {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|entry| entry.path().join(path)).any(|path| path.exists())
}

fn has_header(path: &str) -> bool {
    Path::new("/usr/include").join(path).exists()
}

/// Whether libclang is there in any of its versions.
fn has_libclang() -> bool {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let versions =
        folders.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"llvm-"));
    versions.map(|entry| entry.path().join("lib/libclang.so")).any(|path| path.exists())
}

/// Whether the system's own interpreter has a module: its packages are not visible to others.
fn imports(module: &str) -> bool {
    let import = format!("import {module}");
    process::succeeds(&mut process::command("/usr/bin/python3", &["-c", &import]))
}

/// What Debian does not have: readers of disk images to compare with.
const PYTHON_MODULES: &[&str] = &["dissect.hypervisor==3.21"];

/// The note that they are there, in an environment below the target folder.
fn python_modules() -> PathBuf {
    workspace::target().join("python").join(PYTHON_MODULES.join(" "))
}

fn install_python_modules() -> Result<(), String> {
    let note = python_modules();
    if note.exists() {
        return Ok(());
    }
    let folder = workspace::target().join("python");
    println!("fetching {} (kept below target/)", PYTHON_MODULES.join(" "));
    let python = folder.join("bin/python");
    let mut command = process::command("/usr/bin/python3", &["-m", "venv"]);
    process::run(command.arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    process::run(process::command(&python, &install).args(PYTHON_MODULES))?;
    std::fs::write(&note, "").map_err(|error| format!("{}: {error}", note.display()))
}

/// A Linux kernel and those of its modules that guests need.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    pub(crate) modules: Vec<PathBuf>,
}

const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// Debian's cloud kernel, unpacked below the target folder; nothing of it is installed.
fn kernel() -> Result<Kernel, String> {
    let folder = workspace::target().join("guest");
    let kernel = Kernel {
        image: folder.join("vmlinuz"),
        modules: KERNEL_MODULES.iter().map(|path| folder.join(file_name(path))).collect(),
    };
    if kernel.image.exists() && kernel.modules.iter().all(|module| module.exists()) {
        return Ok(kernel);
    }
    println!("fetching Debian's cloud kernel for the guest (about 30 MB, kept below target/)");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let archive = apt::download(&apt::kernel_of(KERNEL_PACKAGE)?, &folder)?;
    unpack(&archive, &kernel)?;
    std::fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    Ok(kernel)
}

/// QEMU's agent for guests, unpacked beside the kernel; nothing of it is installed. Where it cannot be had,
/// its test says so.
fn agent() {
    let folder = workspace::target().join("guest");
    let agent = folder.join("qemu-ga");
    if agent.exists() {
        return;
    }
    println!("fetching QEMU's agent for the guest (about 0.5 MB, kept below target/)");
    let unpacked = || {
        let archive = apt::download("qemu-guest-agent", &folder)?;
        extract(&archive.to_string_lossy(), "./usr/sbin/qemu-ga", &agent)?;
        std::fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))
    };
    if let Err(message) = unpacked() {
        println!("there is no agent: {message}");
    }
}

fn unpack(archive: &Path, kernel: &Kernel) -> Result<(), String> {
    let archive = archive.to_string_lossy();
    let tar = process::output(&mut process::command(
        "sh",
        &["-c", "dpkg-deb --fsys-tarfile \"$0\" | tar -t", &archive],
    ))?;
    let member = |end: &str| {
        let found = tar.lines().find(|name| name.ends_with(end) || name.contains(end));
        found.ok_or_else(|| format!("the kernel package has no {end}"))
    };
    extract(&archive, member("/boot/vmlinuz-")?, &kernel.image)?;
    for (module, path) in kernel.modules.iter().zip(KERNEL_MODULES) {
        // Newer kernels come with compressed modules; insmod in the guest wants them plain.
        let name = member(path)?;
        let packed = PathBuf::from(format!("{}{}", module.display(), suffix(name)));
        extract(&archive, name, &packed)?;
        if packed != *module {
            process::run(&mut process::command("xz", &["-d", "-f", &packed.to_string_lossy()]))?;
        }
    }
    Ok(())
}

fn extract(archive: &str, member: &str, to: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", to.display());
    // Renamed when whole: what lies there is taken for good the next time.
    let part = to.with_extension("part");
    let script = "dpkg-deb --fsys-tarfile \"$0\" | tar -xO \"$1\"";
    let mut command = process::command("sh", &["-c", script, archive, member]);
    process::run(command.stdout(File::create(&part).map_err(text)?))?;
    std::fs::rename(&part, to).map_err(text)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `.xz` for a compressed module, else nothing.
fn suffix(name: &str) -> &str {
    if name.ends_with(".xz") { ".xz" } else { "" }
}
