//! Answers for programs where the test driver has none: on a guest of QEMU's, and events as they come.
//! Each is judged by its schema, with a validator that is not ours.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::{
    Daemon, Outcome, Reference, Scratch, Virtd, debian_program, guests_path, or_skip, our_program,
    run, run_with_input, tiny_guest_in, virsh, wait_until,
};

const LIMIT: Duration = Duration::from_secs(120);

/// What is asked, in order; a line without `--output` only prepares.
const QUESTIONS: &[&str] = &[
    "define {DIR}/guest.xml",
    "domxml-to-native qemu-argv --domain guest --output json",
    "hypervisor-cpu-baseline {DIR}/cpu.xml --output json",
    "hypervisor-cpu-compare {DIR}/cpu.xml --output json",
    "cpu-compare {DIR}/cpu.xml --output json",
    "nodememstats --output json",
    "pool-capabilities --output json",
    "start guest",
    "list --output json",
    "dominfo guest --output json",
    "domstats --output json",
    "domblkstat guest vda --output json",
    "domjobinfo guest --output json",
    "domjobinfo guest --completed --output json",
    "blockjob guest vda --output json",
    "migrate-getmaxdowntime guest --output json",
    "migrate-getspeed guest --output json",
    "migrate-compcache guest --output json",
    "guest-agent-timeout guest --timeout 5 --output json",
    "ttyconsole guest --output json",
    "qemu-monitor-command guest query-status --output json",
    "qemu-monitor-command guest --hmp info version --output json",
    "vcpuinfo guest --output json",
    "dommemstat guest --output json",
    "secret-define {DIR}/secret.xml",
    "secret-set-value 11111111-2222-3333-4444-000000000001 c2VjcmV0",
    "secret-list --output json",
    "secret-dumpxml 11111111-2222-3333-4444-000000000001 --output json",
    "secret-get-value 11111111-2222-3333-4444-000000000001 --output json",
    "nwfilter-list --output json",
    "nwfilter-binding-list --output json",
    "managedsave guest",
    "managedsave-dumpxml guest --output json",
];

/// What a driver says that has no such call.
const REFUSAL: &str = "not supported by the connection driver";

struct World {
    home: Scratch,
    shell: PathBuf,
    uri: String,
}

impl World {
    fn ask(&self, line: &str) -> Outcome {
        let line = line.replace("{DIR}", &self.home.path().to_string_lossy());
        run(virsh(&self.shell, &self.uri, self.home.path()).args(["-q", &line]), LIMIT)
    }
}

/// The schema of the command that a line begins with.
fn schema_of(line: &str) -> String {
    let name = line.split(' ').next().unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    folder.join(format!("{name}.json")).to_string_lossy().into_owned()
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('\t', "\\t"))
}

/// Python with a validator of schemas, or why there is none.
fn validator() -> Result<PathBuf, String> {
    let python = debian_program("python3")?;
    let there = Command::new(&python).args(["-c", "import jsonschema"]).output();
    match there.is_ok_and(|output| output.status.success()) {
        true => Ok(python),
        false => Err("python3-jsonschema is not installed (cargo xtask setup)".to_owned()),
    }
}

/// What is wrong with answers, each with its question.
fn judge(python: &Path, answers: &[(String, String)]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/schema.py");
    let lines: String = answers
        .iter()
        .map(|(line, answer)| format!("[{},{}]\n", quoted(&schema_of(line)), quoted(answer)))
        .collect();
    let said = run_with_input(Command::new(python).arg(script), &lines, LIMIT).ok();
    said.strip_suffix("done\n").expect("the judge comes to its end").to_owned()
}

fn guest(kernel: &Path, disk: &Path) -> String {
    let (kernel, disk) = (kernel.display(), disk.display());
    format!(
        "<domain type='qemu'><name>guest</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>\
         <target dev='vda' bus='virtio'/></disk><serial type='pty'/><console type='pty'/>\
         <memballoon model='virtio'/></devices></domain>"
    )
}

/// A world with a guest to be started, a secret and a processor.
fn world(daemon: &dyn Daemon, path: &str) -> Result<World, String> {
    debian_program("qemu-system-x86_64")?;
    let home = Scratch::new("output");
    home.set_mode(0o755);
    let kernel = tiny_guest_in(&home)?;
    let disk = home.write("disk", vec![0; 1 << 20]);
    // Emulators run as somebody else.
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&disk, open).map_err(|error| error.to_string())?;
    home.write("guest.xml", guest(&kernel, &disk));
    home.write("cpu.xml", "<cpu mode='custom' match='exact'><model>qemu64</model></cpu>");
    home.write(
        "secret.xml",
        "<secret ephemeral='no' private='no'><uuid>11111111-2222-3333-4444-000000000001</uuid>\
         <usage type='volume'><volume>/v</volume></usage></secret>",
    );
    Ok(World { home, shell: our_program("virsh"), uri: daemon.uri("qemu", path) })
}

/// Asks everything; what failed for another reason than a refusal is a fault.
fn ask_all(world: &World) -> Vec<(String, String)> {
    let (mut answers, mut failed) = (Vec::new(), Vec::new());
    for line in QUESTIONS {
        let Outcome { stdout, stderr, code } = world.ask(line);
        let answered = code == Some(0) || stderr.is_empty();
        if line.contains("--output") && answered && !stdout.is_empty() {
            answers.push(((*line).to_owned(), stdout));
        } else if code != Some(0) && !stderr.contains(REFUSAL) {
            failed.push(format!("{line}: {stderr}"));
        }
    }
    let _ = world.ask("destroy guest");
    assert_eq!(failed, Vec::<String>::new());
    answers
}

#[test]
fn a_guest_on_our_daemon_answers_as_the_schemas_say() {
    let python = or_skip!(validator());
    let virtd = Virtd::start();
    let answers = ask_all(&or_skip!(world(&virtd, guests_path())));
    assert!(answers.len() >= 12, "only {} answers", answers.len());
    assert_eq!(judge(&python, &answers), "");
}

/// Their daemon has what ours still refuses.
#[test]
fn a_guest_on_libvirt_s_daemon_answers_as_the_schemas_say() {
    let python = or_skip!(validator());
    let reference = or_skip!(Reference::start());
    let answers = ask_all(&or_skip!(world(&reference, "session")));
    let names: Vec<&str> = answers.iter().filter_map(|(line, _)| line.split(' ').next()).collect();
    println!("{} answers: {}", answers.len(), names.join(" "));
    // What it can tell depends a little on the host.
    assert!(answers.len() >= 20, "only {names:?}");
    assert_eq!(judge(&python, &answers), "");
}

#[test]
fn events_come_as_lines_while_they_happen() {
    let python = or_skip!(validator());
    let virtd = Virtd::start();
    let home = Scratch::new("events");
    let shell = our_program("virsh");
    let uri = virtd.uri("test", "default");
    let mut listener = virsh(&shell, &uri, home.path());
    listener.args(["event", "--all", "--loop", "--timeout", "60", "--output", "json"]);
    let lines = home.join("lines");
    let written = std::fs::File::create(&lines).expect("a file");
    let mut listener = listener.stdout(written).spawn().expect("virsh runs");
    let seen = || std::fs::read_to_string(&lines).unwrap_or_default();
    // The listener may not listen yet: it is called until it hears.
    let heard = wait_until(LIMIT, || {
        run(virsh(&shell, &uri, home.path()).arg("suspend test; resume test"), LIMIT);
        // It may begin to listen between the two.
        seen().contains("Suspended") && seen().contains("Unpaused")
    });
    let further = "desc test words; destroy test";
    run(virsh(&shell, &uri, home.path()).arg(further), LIMIT).ok();
    let ended = wait_until(LIMIT, || seen().contains("Destroyed"));
    listener.kill().expect("it runs");
    listener.wait().expect("it ends");
    assert!(heard && ended, "{}", seen());
    let text = seen();
    let answers: Vec<(String, String)> =
        text.lines().map(|line| ("event".to_owned(), line.to_owned())).collect();
    assert_eq!(judge(&python, &answers), "", "{text}");
    for part in [
        r#""event":"lifecycle","object":"domain","name":"test","uuid":""#,
        r#""details":{"change":"Suspended","reason":"Paused"}"#,
        r#""event":"metadata-change""#,
        r#""details":{"type":"description","uri":null}"#,
        r#""details":{"change":"Stopped","reason":"Destroyed"}"#,
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}
