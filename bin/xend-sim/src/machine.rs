//! The hypervisor: what runs, how much it has, and how it ends.

use std::time::{Duration, Instant};

use crate::config::{Config, Device};
use crate::guest::Console;
use crate::sxp::Sxp;

/// How a guest is that the hypervisor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Runs, or has nothing to do.
    Up,
    Paused,
    /// Has ended by itself and is kept.
    Down,
    Crashed,
    /// Gives its memory back.
    Dying,
}

/// A guest that has a number.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: u32,
    pub(crate) state: State,
    pub(crate) busy: bool,
    pub(crate) started: Instant,
    pub(crate) start_s: u64,
    pub(crate) target_mib: u64,
    pub(crate) vcpus: u32,
    pub(crate) pins: Vec<Vec<u32>>,
    pub(crate) weight: u64,
    pub(crate) cap: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) console: Option<Console>,
    pub(crate) vnc_port: Option<u16>,
    /// What the guest does of itself, and when.
    pub(crate) ends: Option<(Instant, &'static str)>,
    /// Something is done with it that takes time.
    pub(crate) held: bool,
}

/// Where a virtual processor may run: `(cpus 1-2)` is for all of them, `(cpus ((0) ()))` for each.
fn places(config: &Config, vcpu: usize, cpus: u32) -> Vec<u32> {
    let said = config.body.child("cpus").and_then(|said| said.items().get(1));
    let words: Vec<&str> = match said {
        Some(Sxp::Word(text)) => text.split(',').collect(),
        Some(Sxp::List(each)) => each
            .get(vcpu)
            .map(Sxp::items)
            .unwrap_or_default()
            .iter()
            .filter_map(Sxp::text)
            .collect(),
        None => Vec::new(),
    };
    let range = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let number = |text: &str| text.trim().parse::<u32>().ok();
        Some(number(first)?..=number(last)?.min(cpus.saturating_sub(1)))
    };
    let named: Vec<u32> = words.into_iter().filter_map(range).flatten().collect();
    if named.is_empty() { (0..cpus).collect() } else { named }
}

impl Run {
    pub(crate) fn new(id: u32, config: &Config, cpus: u32) -> Self {
        let vcpus = u32::try_from(config.number("vcpus")).unwrap_or(1);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let avail = config.body.number("vcpu_avail").map_or(vcpus, u64::count_ones);
        let pins = (0..vcpus as usize).map(|vcpu| places(config, vcpu, cpus)).collect();
        Self {
            id,
            state: State::Paused,
            busy: config.says("busy"),
            started: Instant::now(),
            start_s: now.map_or(0, |now| now.as_secs()),
            target_mib: config.number("memory"),
            vcpus: avail.clamp(1, vcpus),
            pins,
            weight: config.body.number("cpu_weight").unwrap_or(256),
            cap: config.number("cpu_cap"),
            devices: config.devices.clone(),
            console: None,
            vnc_port: None,
            ends: None,
            held: false,
        }
    }

    /// `rbpscd`, a dash where it is not so.
    pub(crate) fn letters(&self) -> String {
        let place = match self.state {
            State::Up if self.busy => 0,
            State::Up => 1,
            State::Paused => 2,
            State::Down => 3,
            State::Crashed => 4,
            State::Dying => 5,
        };
        let letter = |at: usize, c: char| if at == place { c } else { '-' };
        "rbpscd".chars().enumerate().map(|(at, c)| letter(at, c)).collect()
    }

    pub(crate) fn cpu_s(&self) -> f64 {
        let share = if self.busy { 1.0 } else { 0.01 };
        self.started.elapsed().as_secs_f64() * share
    }

    pub(crate) fn ends_in(&mut self, wait: Duration, how: &'static str) {
        self.ends = Some((Instant::now() + wait, how));
    }
}
