//! `kill -9` at random moments of random commands: always the old state or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use test_support::{long_run, skipped};

use crate::tool::{KINDS, Tool};

/// Parts of the disk that are written and compared; one sector in each.
const CELLS: usize = 24;
const STRIDE: u64 = 90_112;

const NAMES: [&str; 3] = ["a", "b", "c"];
const SNAPSHOTS: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];

type Cells = [u8; CELLS];

/// What a vdisk is and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    kind: String,
    snapshots: Vec<(String, Cells)>,
    active: Cells,
    description: String,
    readers: u8,
}

/// All vdisks, by the path they are typed as.
type World = BTreeMap<String, Model>;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

struct Play {
    tool: Tool,
    /// A folder on another file system.
    far: PathBuf,
    random: Random,
    world: World,
    /// How long each command takes, to kill it while it runs.
    usual: BTreeMap<String, Duration>,
}

impl Drop for Play {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.far));
    }
}

impl Play {
    fn places(&self) -> Vec<String> {
        let far = self.far.display();
        let near = NAMES.iter().map(|name| (*name).to_owned());
        near.chain(NAMES.iter().map(|name| format!("{far}/{name}"))).collect()
    }

    /// A command and the world after it.
    fn invent(&mut self) -> (String, World) {
        let mut world = self.world.clone();
        let free: Vec<String> =
            self.places().into_iter().filter(|place| !world.contains_key(place)).collect();
        let there: Vec<String> = world.keys().cloned().collect();
        if there.is_empty() || there.len() < 3 && self.random.below(12) == 0 {
            let (name, kind) = (self.random.of(&free), self.random.of(&KINDS));
            let model = Model {
                kind: kind.to_owned(),
                snapshots: Vec::new(),
                active: [0; CELLS],
                description: "none".to_owned(),
                readers: 0,
            };
            world.insert(name.clone(), model);
            return (format!("create -s 2m -t {kind} {name}"), world);
        }
        let name = self.random.of(&there);
        let line = self.invent_change(&name, &free, &mut world);
        (line, world)
    }

    /// A change of one vdisk.
    fn invent_change(&mut self, name: &str, free: &[String], world: &mut World) -> String {
        let model = world.get_mut(name).unwrap();
        if model.readers > 0 {
            model.readers -= 1;
            return format!("ref-dec {name}");
        }
        let taken: Vec<String> = model.snapshots.iter().map(|(name, _)| name.clone()).collect();
        let open: Vec<&str> =
            SNAPSHOTS.into_iter().filter(|name| !taken.iter().any(|t| t == name)).collect();
        let can_stack = model.kind != "raw:fixed";
        match self.random.below(13) {
            0..=2 if can_stack && !open.is_empty() => {
                let snapshot = self.random.of(&open);
                model.snapshots.push((snapshot.to_owned(), model.active));
                format!("snapshot {name}@{snapshot}")
            }
            3 if !taken.is_empty() => {
                let at = self.random.below(taken.len());
                model.snapshots.truncate(at + 1);
                model.active = model.snapshots[at].1;
                format!("rollback -r {name}@{}", taken[at])
            }
            4 | 5 if !taken.is_empty() => {
                let at = self.random.below(taken.len());
                model.snapshots.remove(at);
                format!("destroy {name}@{}", taken[at])
            }
            6 if !taken.is_empty() && !open.is_empty() => {
                let (at, new) = (self.random.below(taken.len()), self.random.of(&open));
                model.snapshots[at].0 = new.to_owned();
                format!("rename {name}@{} {name}@{new}", taken[at])
            }
            7 => {
                let kinds: Vec<&str> =
                    KINDS.into_iter().filter(|kind| *kind != model.kind).collect();
                let kind = self.random.of(&kinds);
                model.kind = kind.to_owned();
                model.snapshots.clear();
                format!("convert -r -t {kind} {name}")
            }
            8 | 9 => self.invent_place(name, free, world),
            10 => {
                let words = format!("words-{}", self.random.below(1000));
                model.description.clone_from(&words);
                format!("prop-set -p description={words} {name}")
            }
            11 => {
                world.remove(name);
                format!("destroy -r {name}")
            }
            _ => {
                model.readers += 1;
                format!("ref-inc -r {name}")
            }
        }
    }

    /// A clone, a rename, or a move to the other file system.
    fn invent_place(&mut self, name: &str, free: &[String], world: &mut World) -> String {
        let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
        let base = name.rsplit('/').next().unwrap().to_owned();
        let model = world[name].clone();
        match self.random.below(3) {
            0 if !free.is_empty() && world.len() < 3 => {
                let new = self.random.of(free);
                let mut clone = model.clone();
                let source = match clone.snapshots.is_empty() {
                    true => name.to_owned(),
                    false => {
                        let (snapshot, cells) = self.random.of(&clone.snapshots);
                        clone.active = cells;
                        format!("{name}@{snapshot}")
                    }
                };
                clone.snapshots.clear();
                clone.description = "copy".to_owned();
                world.insert(new.clone(), clone);
                format!("clone -c copy {source} {new}")
            }
            1 => {
                let beside: Vec<String> =
                    free.iter().filter(|path| folder(path) == folder(name)).cloned().collect();
                let Some(new) = beside.first() else { return format!("list {name}") };
                world.remove(name);
                world.insert(new.clone(), model);
                format!("rename {name} {new}")
            }
            _ => {
                let far = self.far.display().to_string();
                let (target, new) = match name == base {
                    true => (far.clone(), format!("{far}/{base}")),
                    false => (".".to_owned(), base),
                };
                if !free.contains(&new) {
                    return format!("list {name}");
                }
                world.remove(name);
                world.insert(new, model);
                format!("move {name} {target}")
            }
        }
    }

    /// Runs a command, and maybe kills it while it runs; says whether it was.
    fn run(&mut self, line: &str, kills: bool) -> bool {
        let verb = line.split(' ').next().unwrap().to_owned();
        let usual = self.usual.get(&verb).copied().unwrap_or(Duration::from_millis(10));
        let mut command = self.tool.command(line);
        let started = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if kills {
            let limit = usual.as_micros() as usize * 5 / 4;
            let wait = Duration::from_micros(self.random.below(limit.max(1)) as u64);
            std::thread::sleep(wait);
            // It may have ended by itself; then it was not killed.
            drop(child.kill());
        }
        let status = child.wait().unwrap();
        if status.success() {
            self.usual.insert(verb, (usual * 3 + started.elapsed()) / 4);
        }
        assert!(status.success() || kills && status.code().is_none(), "{line}: {status}");
        status.code().is_none()
    }

    /// What there is, after everything was used once.
    fn observe(&self, wanted: &World) -> World {
        // Of a vdisk that was moved, the one place may mend the other: so each is used twice.
        let concerned: Vec<&String> = self.world.keys().chain(wanted.keys()).collect();
        let opens = |place: &str| self.tool.run(&format!("verify {place}")).code == Some(0);
        for place in &concerned {
            opens(place);
        }
        let mut world = World::new();
        for place in self.places() {
            if concerned.contains(&&place) && opens(&place) {
                let model = self.look(&place);
                world.insert(place, model);
            } else {
                assert!(!self.tool.path(&place).exists(), "{place} is there and does not open");
            }
        }
        for folder in [self.tool.path("."), self.far.clone()] {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                assert!(NAMES.contains(&name.as_str()), "{name} is left over");
            }
        }
        world
    }

    fn look(&self, place: &str) -> Model {
        let all = self.tool.ok(&format!("prop-get -p all {place}"));
        let get = |name: &str| {
            let mut lines = all.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| *found == name).unwrap().1.to_owned()
        };
        let mut images = self.tool.disk(place, false).into_images();
        let xml = self.tool.text(&format!("{place}/vdisk.xml"));
        let base = place.rsplit('/').next().unwrap();
        assert!(xml.contains(&format!("<name>{base}</name>")), "{xml}");
        let names: Vec<String> = xml
            .split("<name>@")
            .skip(1)
            .map(|rest| rest.split_once('<').unwrap().0.to_owned())
            .collect();
        let fixed_extents = self.tool.names(place).iter().filter(|n| n.contains("-flat")).count();
        assert_eq!(
            self.tool.names(place).len(),
            names.len() + 2 + fixed_extents,
            "{place}: {:?}",
            self.tool.names(place)
        );
        let mut snapshots = Vec::new();
        let mut active = [0; CELLS];
        while !images.is_empty() {
            let height = images.len();
            let mut chain = virt_disk::Chain::new(images).unwrap();
            let mut cells = [0; CELLS];
            for (at, cell) in cells.iter_mut().enumerate() {
                let mut sector = [0; 512];
                chain.read(at as u64 * STRIDE, &mut sector).unwrap();
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector");
                *cell = sector[0];
            }
            match names.get(height - 1) {
                Some(name) => snapshots.insert(0, (name.clone(), cells)),
                None => active = cells,
            }
            images = chain.into_images();
            images.pop();
        }
        let layout = if get("sparse") == "true" { "sparse" } else { "fixed" };
        Model {
            kind: format!("{}:{layout}", get("vtype")),
            snapshots,
            active,
            description: get("description"),
            readers: get("rocnt").parse().unwrap(),
        }
    }

    /// The guest's part: some sectors get new content.
    fn scribble(&mut self) {
        let there: Vec<String> = self.world.keys().cloned().collect();
        if there.is_empty() {
            return;
        }
        let name = self.random.of(&there);
        let mut disk = self.tool.disk(&name, true);
        for _ in 0..3 {
            let (cell, value) = (self.random.below(CELLS), self.random.below(256) as u8);
            disk.write(cell as u64 * STRIDE, &[value; 512]).unwrap();
            self.world.get_mut(&name).unwrap().active[cell] = value;
        }
    }
}

/// Parts, so that they can run beside each other.
#[test]
fn a_killed_command_has_happened_or_has_not() {
    play(1);
}

#[test]
fn a_killed_command_has_happened_or_has_not_once_more() {
    play(2);
}

#[test]
fn a_killed_command_has_happened_or_has_not_again() {
    play(3);
}

#[test]
fn a_killed_command_has_happened_or_has_not_at_last() {
    play(4);
}

fn play(part: u64) {
    let far = PathBuf::from(format!("/dev/shm/fv-crash-{part}-{}", std::process::id()));
    if fs::create_dir(&far).is_err() {
        skipped("no second file system at /dev/shm");
        return;
    }
    let sequences = if long_run() { 500 } else { 12 };
    let seed = std::env::var("FERROVIRT_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut play = Play {
        tool: Tool::new(),
        far,
        random: Random(seed.unwrap_or(20_260_521) * part),
        world: World::new(),
        usual: BTreeMap::new(),
    };
    let (mut killed, mut undone) = (0, 0);
    for sequence in 0..sequences {
        for _ in 0..play.random.below(4) {
            let (line, world) = play.invent();
            play.run(&line, false);
            play.world = world;
            play.scribble();
        }
        let (line, wanted) = play.invent();
        let was_killed = play.run(&line, true);
        let found = play.observe(&wanted);
        let is_old = found == play.world;
        assert!(
            found == wanted || was_killed && is_old,
            "sequence {sequence}, {line}: killed {was_killed}\nfound {found:#?}\n\
             before {:#?}\nafter {wanted:#?}",
            play.world
        );
        killed += u32::from(was_killed);
        undone += u32::from(was_killed && is_old && found != wanted);
        play.world = found;
    }
    eprintln!("{sequences} sequences, {killed} commands killed, {undone} of them had not happened");
    // How many of a few are hit is chance; of many it is not.
    assert!(!long_run() || killed > sequences / 8, "only {killed} were killed while they ran");
}
