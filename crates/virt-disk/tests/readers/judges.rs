//! The independent readers: each turns an image into the bytes of its disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{debian_program, python_with_modules, run};

const LIMIT: Duration = Duration::from_secs(120);

/// qemu-img, told the format: a fixed VHD is not recognised by its first bytes.
pub(crate) fn qemu_img(path: &Path, format: &str) -> Result<Vec<u8>, String> {
    let program = debian_program("qemu-img")?;
    let out = path.with_extension("qemu-raw");
    let outcome = run(
        Command::new(program).args(["convert", "-f", format, "-O", "raw"]).arg(path).arg(&out),
        LIMIT,
    );
    assert_eq!(outcome.code, Some(0), "qemu-img on {}: {}", path.display(), outcome.stderr);
    Ok(take(&out))
}

/// qemu-img on a VHDX whose log it carries out first.
pub(crate) fn qemu_mended(path: &Path) -> Result<Vec<u8>, String> {
    let program = debian_program("qemu-img")?;
    let mut command = Command::new(program);
    // Its code says that there was something to mend.
    run(command.args(["check", "-r", "all", "-f", "vhdx"]).arg(path), LIMIT);
    qemu_img(path, "vhdx")
}

/// `qemu-img check`, where it knows how to.
pub(crate) fn qemu_check(path: &Path, format: &str) {
    let Ok(program) = debian_program("qemu-img") else { return };
    let outcome = run(Command::new(program).args(["check", "-f", format]).arg(path), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
}

/// 7zz, which follows a VHD's parents by name.
pub(crate) fn seven_zip(path: &Path, kind: &str) -> Result<Vec<u8>, String> {
    let program = debian_program("7zz").or_else(|_| debian_program("7z"))?;
    let out = path.with_extension("7z-out");
    let outcome = run(
        Command::new(program)
            .args(["x", "-y", &format!("-t{kind}")])
            .arg(format!("-o{}", out.display()))
            .arg(path),
        LIMIT,
    );
    assert_eq!(outcome.code, Some(0), "7zz on {}: {}", path.display(), outcome.stdout);
    let files: Vec<PathBuf> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "7zz made {files:?}");
    let content = take(&files[0]);
    fs::remove_dir_all(&out).unwrap();
    Ok(content)
}

/// Debian's Python, where it has this module.
fn python_with(module: &str, package: &str) -> Result<PathBuf, String> {
    let python = debian_program("python3")?;
    let probe = run(Command::new(&python).args(["-c", &format!("import {module}")]), LIMIT);
    match probe.code {
        Some(0) => Ok(python),
        _ => Err(format!("{package} is not installed (cargo xtask setup)")),
    }
}

/// A raw image as a compressed stream, by another writer than qemu.
pub(crate) fn vmdkstream(raw: &Path, stream: &Path) -> Result<(), String> {
    let python = python_with("VMDKstream", "python3-vmdkstream")?;
    let outcome = run(Command::new(python).args(["-m", "VMDKstream"]).arg(raw).arg(stream), LIMIT);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    Ok(())
}

/// libvhdi or libvmdk through Debian's Python; `paths` are the images, oldest first.
pub(crate) fn libyal(module: &str, paths: &[PathBuf]) -> Result<Vec<u8>, String> {
    const SCRIPT: &str = "
import sys, importlib
module = importlib.import_module(sys.argv[1])
out, paths = sys.argv[2], sys.argv[3:]
below = None
kept = []
for path in paths:
    if sys.argv[1] == 'pyvmdk':
        image = module.handle()
        image.open(path)
        image.open_extent_data_files()
    else:
        image = module.file()
        image.open(path)
    if below is not None:
        image.set_parent(below)
    below = image
    kept.append(image)
size = below.get_media_size()
with open(out, 'wb') as file:
    at = 0
    while at < size:
        part = below.read_buffer_at_offset(min(65536, size - at), at)
        file.write(part)
        at += len(part)
";
    let python = python_with(module, &format!("python3-lib{}", &module[2..]))?;
    let out = paths[paths.len() - 1].with_extension("yal-raw");
    let outcome =
        run(Command::new(python).args(["-c", SCRIPT, module]).arg(&out).args(paths), LIMIT);
    assert_eq!(outcome.code, Some(0), "{module}: {}", outcome.stderr);
    Ok(take(&out))
}

/// dissect.hypervisor, block by block; `paths` are the images, oldest first.
pub(crate) fn dissect(format: &str, paths: &[PathBuf]) -> Result<Vec<u8>, String> {
    const SCRIPT: &str = "
import sys, importlib
from pathlib import Path
format, out, paths = sys.argv[1], sys.argv[2], [Path(path) for path in sys.argv[3:]]
module = importlib.import_module('dissect.hypervisor.disk.' + format)
if format in ('vdi', 'qcow2'):
    disk = None
    for path in paths:
        if format == 'vdi':
            disk = module.VDI(path, disk).open()
        else:
            disk = module.QCow2(path, backing_file=disk).open()
elif format == 'vhd':
    disk = module.VHD(open(paths[-1], 'rb'))
else:
    disk = getattr(module, format.upper())(paths[-1])
with open(out, 'wb') as file:
    if format == 'vmdk':
        # Its stream reads on behind the end.
        sectors = disk.size // 512
        for at in range(0, sectors, 128):
            file.write(disk.read_sectors(at, min(128, sectors - at)))
    else:
        while part := disk.read(65536):
            file.write(part)
";
    let out = paths[paths.len() - 1].with_extension("dissected");
    let mut command = Command::new(python_with_modules()?);
    let outcome = run(command.args(["-c", SCRIPT, format]).arg(&out).args(paths), LIMIT);
    assert_eq!(outcome.code, Some(0), "dissect.hypervisor on {format}: {}", outcome.stderr);
    Ok(take(&out))
}

/// Any of qemu's writers.
pub(crate) fn qemu_make(raw: &Path, out: &Path, format: &str, options: &str) -> Result<(), String> {
    let program = debian_program("qemu-img")?;
    let mut command = Command::new(program);
    command.args(["convert", "-f", "raw", "-O", format]);
    if options == "compressed" {
        command.arg("-c");
    } else if !options.is_empty() {
        command.args(["-o", options]);
    }
    let outcome = run(command.arg(raw).arg(out), LIMIT);
    assert_eq!(outcome.code, Some(0), "qemu-img: {}", outcome.stderr);
    Ok(())
}

fn take(path: &Path) -> Vec<u8> {
    let content = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    content
}
