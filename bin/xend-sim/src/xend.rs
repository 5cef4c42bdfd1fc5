//! xend's own view: all domains, kept or running, and what happens to them by and by.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::guest::Console;
use crate::machine::{Run, State};
use crate::options::Settings;
use crate::profile::Profile;
use crate::store::Tree;
use crate::{config, managed};

/// How long a guest gives its memory back.
const DYING: Duration = Duration::from_millis(30);
/// xend's own: sooner than that no guest is restarted again.
const RESTART_WAIT: Duration = Duration::from_secs(60);
/// What the hypervisor and the control domain keep for themselves.
const OWN_MIB: u64 = 512;

#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) config: Config,
    pub(crate) managed: bool,
    pub(crate) run: Option<Run>,
    restarted: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) domains: Vec<Domain>,
    next_id: u32,
    pub(crate) log: Vec<String>,
}

/// The whole host.
#[derive(Debug)]
pub(crate) struct Xend {
    pub(crate) settings: Settings,
    pub(crate) tree: Tree,
    world: Mutex<World>,
    /// Until when xend does not answer, since it was killed.
    dead: Mutex<Option<Instant>>,
}

impl Xend {
    pub(crate) fn new(settings: Settings) -> Self {
        let kept = settings.domains.as_deref().map(|dir| managed::load(dir, &settings));
        let world = World {
            domains: kept
                .unwrap_or_default()
                .into_iter()
                .map(|config| Domain { config, managed: true, run: None, restarted: None })
                .collect(),
            next_id: 1,
            log: Vec::new(),
        };
        let xend = Self {
            settings,
            tree: Tree::default(),
            world: Mutex::new(world),
            dead: Mutex::new(None),
        };
        xend.publish_control_domain();
        xend
    }

    pub(crate) fn profile(&self) -> Profile {
        self.settings.profile
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self, line: impl Into<String>) {
        self.world().log.push(line.into());
    }

    /// Faults that are asked for at the moment.
    pub(crate) fn has_fault(&self, name: &str) -> bool {
        let text = self.settings.control.as_deref().map(std::fs::read_to_string);
        let text = text.and_then(Result::ok).unwrap_or_default();
        text.lines().any(|line| line.trim() == format!("fault={name}"))
    }

    /// xend is killed, and comes again; the hypervisor and its guests stay.
    pub(crate) fn die(&self) {
        let until = Instant::now() + Duration::from_millis(500);
        *self.dead.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub(crate) fn is_dead(&self) -> bool {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.is_some_and(|until| Instant::now() < until)
    }

    pub(crate) fn domains_dir(&self) -> Option<&Path> {
        self.settings.domains.as_deref().filter(|_| self.profile().is_managing())
    }

    pub(crate) fn free_mib(&self, world: &World) -> u64 {
        let used: u64 =
            world.domains.iter().filter_map(|d| d.run.as_ref()).map(|run| run.target_mib).sum();
        self.settings.memory_mib.saturating_sub(OWN_MIB).saturating_sub(used)
    }

    pub(crate) fn control_mib(&self) -> u64 {
        OWN_MIB.min(self.settings.memory_mib)
    }

    /// Adds a domain; `managed` ones are kept when they have ended.
    pub(crate) fn add(
        &self,
        world: &mut World,
        config: Config,
        managed: bool,
    ) -> Result<usize, String> {
        let clash = world.domains.iter().position(|domain| {
            domain.config.name == config.name || domain.config.uuid == config.uuid
        });
        match clash.and_then(|at| world.domains.get_mut(at).map(|domain| (at, domain))) {
            None => {
                if let (true, Some(dir)) = (managed, self.domains_dir()) {
                    managed::save(dir, &config)?;
                }
                world.domains.push(Domain { config, managed, run: None, restarted: None });
                Ok(world.domains.len() - 1)
            }
            Some((_, domain))
                if domain.config.name != config.name || domain.config.uuid != config.uuid =>
            {
                Err(format!(
                    "VM name '{}' already exists{}",
                    domain.config.name,
                    domain.run.as_ref().map(|r| format!(" as domain {}", r.id)).unwrap_or_default()
                ))
            }
            Some((_, domain)) if domain.run.is_some() && !managed => Err(format!(
                "VM name '{}' already exists as domain {}",
                domain.config.name,
                domain.run.as_ref().map_or(0, |run| run.id)
            )),
            Some((at, domain)) => {
                if managed && let Some(dir) = self.domains_dir() {
                    managed::save(dir, &config)?;
                    domain.managed = true;
                }
                domain.config = config;
                Ok(at)
            }
        }
    }

    /// Gives a domain memory and a number; it is paused then.
    pub(crate) fn boot(&self, world: &mut World, at: usize) -> Result<u32, String> {
        let free_mib = self.free_mib(world);
        let next_id = world.next_id;
        let domain = world.domains.get_mut(at).ok_or("no domain")?;
        if domain.run.is_some() {
            return Err(format!("Domain '{}' is already running", domain.config.name));
        }
        let need_mib = domain.config.number("memory");
        if need_mib > free_mib {
            return Err(format!(
                "I need {} KiB, but dom0_min_mem is {} and shrinking to {} KiB would leave only {} KiB free.",
                need_mib * 1024,
                self.control_mib() * 1024,
                self.control_mib() * 1024,
                free_mib * 1024
            ));
        }
        let image = domain.config.image();
        for field in ["kernel", "ramdisk"] {
            let path =
                image.and_then(|image| image.value(field)).filter(|path| path.contains("/missing"));
            if let Some(path) = path {
                return Err(format!("Kernel image does not exist: {path}"));
            }
        }
        let mut run = Run::new(next_id, &domain.config, self.settings.cpus);
        run.console = Console::open(&domain.config.name).ok();
        run.vnc_port =
            vnc(&domain.config).then(|| 5900 + u16::try_from(next_id % 60_000).unwrap_or(0));
        self.publish(&domain.config, &run);
        domain.run = Some(run);
        world.next_id += 1;
        self.tree.announce("@introduceDomain");
        Ok(next_id)
    }

    /// Takes a running domain off the hypervisor; what is not kept is forgotten.
    pub(crate) fn reap(&self, world: &mut World, at: usize) {
        let Some(domain) = world.domains.get_mut(at) else { return };
        let Some(run) = domain.run.take() else { return };
        self.tree.remove(&format!("/local/domain/{}", run.id));
        for kind in ["vbd", "vif", "vfb", "console", "tap"] {
            self.tree.remove(&format!("/local/domain/0/backend/{kind}/{}", run.id));
        }
        self.tree.remove(&format!("/vm/{}", domain.config.uuid));
        if !domain.managed {
            world.domains.remove(at);
        }
        self.tree.announce("@releaseDomain");
    }

    /// Lets time pass: guests do what they were asked for.
    pub(crate) fn tick(&self) {
        let mut world = self.world();
        let now = Instant::now();
        let due: Vec<(String, &'static str)> = world
            .domains
            .iter()
            .filter_map(|domain| {
                let (when, how) = domain.run.as_ref().filter(|run| !run.held)?.ends?;
                (when <= now).then(|| (domain.config.uuid.clone(), how))
            })
            .collect();
        for (uuid, how) in due {
            if let Some(at) = world.domains.iter().position(|d| d.config.uuid == uuid) {
                self.ended(&mut world, at, how);
            }
        }
    }

    /// A guest has ended by itself: what is to be done then stands in its configuration.
    fn ended(&self, world: &mut World, at: usize, how: &'static str) {
        let Some(domain) = world.domains.get_mut(at) else { return };
        let event = match how {
            "reboot" => "on_reboot",
            "crash" => "on_crash",
            _ => "on_poweroff",
        };
        let action = domain.config.action(event).replace('_', "-");
        let Some(run) = &mut domain.run else { return };
        run.ends = None;
        if run.state == State::Dying || how == "dead" {
            self.reap(world, at);
            return;
        }
        let soon = domain.restarted.is_some_and(|last| last.elapsed() < RESTART_WAIT);
        match action.as_str() {
            "preserve" | "coredump-preserve" => {
                run.state = if how == "crash" { State::Crashed } else { State::Down };
                self.tree.announce("@releaseDomain");
            }
            "restart" | "rename-restart" | "coredump-restart" if !soon => {
                let (config, managed) = (domain.config.clone(), domain.managed);
                self.reap(world, at);
                let again = self.add(world, config, managed);
                let again = again.and_then(|at| self.boot(world, at).map(|_| at));
                match again {
                    Ok(at) => {
                        if let Some(domain) = world.domains.get_mut(at) {
                            domain.restarted = Some(Instant::now());
                            domain.run.iter_mut().for_each(|run| run.state = State::Up);
                        }
                    }
                    Err(why) => world.log.push(format!("restart failed: {why}")),
                }
            }
            action => {
                if action.ends_with("restart") {
                    let name = &domain.config.name;
                    world.log.push(format!(
                        "VM {name} restarting too fast (less than 60s). Refusing to restart"
                    ));
                }
                run.state = State::Dying;
                run.ends_in(DYING, "dead");
            }
        }
    }

    /// A client has written a node: a guest reads what concerns it.
    pub(crate) fn wrote(&self, path: &str) {
        let Some(id) = path
            .strip_prefix("/local/domain/")
            .and_then(|rest| rest.strip_suffix("/control/shutdown"))
            .and_then(|id| id.parse::<u32>().ok())
        else {
            return;
        };
        let reason = self.tree.text(path).unwrap_or_default();
        let mut world = self.world();
        let found = world.domains.iter_mut().find(|d| d.run.as_ref().is_some_and(|r| r.id == id));
        if let Some(domain) = found {
            self.ask(domain, &reason);
        }
    }

    /// Asks a guest to go; a stubborn one does not.
    pub(crate) fn ask(&self, domain: &mut Domain, reason: &str) {
        let stubborn = domain.config.says("stubborn");
        let Some(run) = &mut domain.run else { return };
        let wait = Duration::from_millis(self.settings.guest_ms);
        match reason {
            "poweroff" | "halt" if !stubborn => run.ends_in(wait, "poweroff"),
            "reboot" if !stubborn => run.ends_in(wait, "reboot"),
            "crash" => run.ends_in(Duration::ZERO, "crash"),
            _ => {}
        }
    }

    /// Changes a domain's configuration, and keeps it where it is kept.
    pub(crate) fn edit(
        &self,
        domain: &mut Domain,
        change: impl FnOnce(&mut Config),
    ) -> Result<(), String> {
        change(&mut domain.config);
        match self.domains_dir().filter(|_| domain.managed) {
            Some(dir) => managed::save(dir, &domain.config),
            None => Ok(()),
        }
    }

    fn publish_control_domain(&self) {
        let tree = &self.tree;
        for (name, value) in [
            ("name", "Domain-0".to_owned()),
            ("domid", "0".to_owned()),
            ("vm", "/vm/00000000-0000-0000-0000-000000000000".to_owned()),
            ("memory/target", (self.control_mib() * 1024).to_string()),
        ] {
            tree.write(&format!("/local/domain/0/{name}"), value);
        }
    }

    /// What the tool stack writes about a guest that starts.
    fn publish(&self, config: &Config, run: &Run) {
        let tree = &self.tree;
        let (id, uuid) = (run.id, &config.uuid);
        let at = format!("/local/domain/{id}");
        tree.write(&format!("{at}/name"), &config.name);
        tree.write(&format!("{at}/domid"), id);
        tree.write(&format!("{at}/vm"), format!("/vm/{uuid}"));
        tree.write(&format!("{at}/memory/target"), run.target_mib * 1024);
        tree.write(&format!("{at}/control/shutdown"), "");
        tree.write(&format!("{at}/store/port"), 1);
        for cpu in 0..config.number("vcpus") {
            let word = if cpu < u64::from(run.vcpus) { "online" } else { "offline" };
            tree.write(&format!("{at}/cpu/{cpu}/availability"), word);
        }
        if let Some(console) = &run.console {
            let place = if config.is_hvm() { "serial/0" } else { "console" };
            tree.write(&format!("{at}/{place}/tty"), &console.path);
        }
        if let Some(port) = run.vnc_port {
            tree.write(&format!("{at}/console/vnc-port"), port);
        }
        tree.write(&format!("/vm/{uuid}/uuid"), uuid);
        tree.write(&format!("/vm/{uuid}/name"), &config.name);
        let kind = if config.is_hvm() { "hvm" } else { "linux" };
        tree.write(&format!("/vm/{uuid}/image/ostype"), kind);
        for device in &run.devices {
            self.publish_device(id, device);
        }
    }

    pub(crate) fn publish_device(&self, id: u32, device: &config::Device) {
        let (kind, number) = (device.kind().to_owned(), device.id);
        let back = format!("/local/domain/0/backend/{kind}/{id}/{number}");
        let front = format!(
            "/local/domain/{id}/device/{}/{number}",
            if config::is_block(&kind) { "vbd" } else { &kind }
        );
        self.tree.write(&format!("{front}/backend"), &back);
        self.tree.write(&format!("{front}/backend-id"), 0);
        self.tree.write(&format!("{front}/state"), 4);
        self.tree.write(&format!("{back}/frontend"), &front);
        self.tree.write(&format!("{back}/frontend-id"), id);
        self.tree.write(&format!("{back}/state"), 4);
        for item in device.body.items().iter().skip(1) {
            if let (Some(name), Some(value)) =
                (item.head(), item.items().get(1).and_then(|v| v.text()))
            {
                self.tree.write(&format!("{back}/{name}"), value);
            }
        }
    }
}

fn vnc(config: &Config) -> bool {
    let inside = config.image().is_some_and(|image| image.value("vnc") == Some("1"));
    inside
        || config
            .devices
            .iter()
            .any(|device| device.kind() == "vfb" && device.body.value("type") != Some("sdl"))
}
