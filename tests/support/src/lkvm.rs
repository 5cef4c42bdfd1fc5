//! The native Linux KVM tool for tests: the stand-in with its faults, or a real one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::programs::our_program;
use crate::scratch::Scratch;
use crate::shell::{Outcome, run};

/// A tool, and the home that its sockets are in.
pub struct Lkvm {
    /// What is run: for the stand-in, a script that tells it what a program in Rust cannot see.
    pub program: PathBuf,
    pub home: PathBuf,
    faults: Option<PathBuf>,
}

impl Lkvm {
    /// The stand-in, in a folder of the test's own.
    pub fn fake(folder: &Scratch) -> Self {
        let home = folder.join("home");
        std::fs::create_dir_all(&home).expect("the folder is ours");
        let faults = folder.write("faults", "");
        let script = format!(
            "#!/bin/sh\n# Linked, as far as one can tell, with libvncserver.so\n\
             FAKE_LKVM_SIGIGN=$(sed -n 's/^SigIgn:\\t//p' /proc/$$/status)\n\
             FAKE_LKVM_FAULTS={}\nexport FAKE_LKVM_SIGIGN FAKE_LKVM_FAULTS\nexec {} \"$@\"\n",
            faults.display(),
            our_program("fake-lkvm").display(),
        );
        let program = folder.write("lkvm", script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("the file is ours");
        Self { program, home, faults: Some(faults) }
    }

    /// The one that `FERROVIRT_LKVM` names or that is on the path; or why there is none that runs.
    pub fn real(folder: &Scratch) -> Result<Self, String> {
        let named = std::env::var_os("FERROVIRT_LKVM").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .flat_map(|dir| [dir.join("lkvm"), dir.join("kvmtool")])
            .find(|path| path.is_file());
        let program = named.or(found).ok_or("no lkvm on the path or in FERROVIRT_LKVM")?;
        let home = folder.join("home");
        std::fs::create_dir_all(&home).expect("the folder is ours");
        let tool = Self { program, home, faults: None };
        // It looks at the processor before anything else.
        let kernel = crate::guest::tiny_guest()?;
        let kernel = kernel.to_string_lossy().into_owned();
        let args = ["run", "--name", "probe", "--mem", "64", "--network", "mode=none", "--kernel"];
        let outcome = tool.run_for(&[&args[..], &[&kernel, "--nodefaults"]].concat(), PROBE);
        // It may have been killed, and then leaves its socket.
        drop(std::fs::remove_file(tool.home.join(".lkvm/probe.sock")));
        match outcome.stderr.lines().find(|line| line.contains("Your CPU does not support")) {
            Some(line) => Err(format!("{}: {}", tool.program.display(), line.trim())),
            None => Ok(tool),
        }
    }

    pub fn is_real(&self) -> bool {
        self.faults.is_none()
    }

    /// What goes wrong from now on, one fault a line.
    pub fn fail_with(&self, faults: &str) {
        let file = self.faults.as_ref().expect("a real tool has no faults to choose from");
        std::fs::write(file, faults).expect("the file is ours");
    }

    /// Runs the tool itself, as a person would beside the daemon.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.run_for(args, Duration::from_secs(10))
    }

    fn run_for(&self, args: &[&str], limit: Duration) -> Outcome {
        run(Command::new(&self.program).args(args).env("HOME", &self.home), limit)
    }

    /// Lets any user run it, as one that is installed.
    pub fn open_to_all(&self) {
        let folder = self.home.parent().unwrap_or(&self.home);
        for (path, mode) in [(folder, 0o755), (&self.home, 0o777)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("the folder is ours");
        }
    }

    /// The sockets in the tool's folder.
    pub fn sockets(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.join(".lkvm")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Lets the daemon below `base` run it, from its next start on.
    pub fn configure(&self, base: &Path) {
        let folder = base.join("etc/libvirt");
        std::fs::create_dir_all(&folder).expect("the folder is ours");
        std::fs::write(folder.join("kvmtool.conf"), self.configuration()).expect("as it is");
    }

    /// The daemon's configuration for this tool.
    pub fn configuration(&self) -> String {
        format!("tool = \"{}\"\nhome = \"{}\"\n", self.program.display(), self.home.display())
    }
}

/// How long a guest runs that only shows whether any does.
const PROBE: Duration = Duration::from_millis(700);

/// A domain of the tool's. `inside` comes into its devices.
pub fn lkvm_domain(name: &str, kernel: &Path, inside: &str) -> String {
    format!(
        "<domain type='kvmtool'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>2</vcpu>
  <os>
    <type>hvm</type>
    <kernel>{}</kernel>
    <cmdline>a=b</cmdline>
  </os>
  <devices>
    {inside}
  </devices>
</domain>
",
        kernel.display()
    )
}

/// A kernel for the stand-in, which only looks whether it is one.
pub fn fake_kernel(folder: &Scratch) -> PathBuf {
    let mut image = vec![0_u8; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    folder.write("bzImage", image)
}
