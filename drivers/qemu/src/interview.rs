//! The one conversation with a new guest: what it is told before it runs and what it is asked.

use std::sync::Arc;

use serde_json::{Value, json};
use virt_error::{Error, Result};
use virt_model::domain::chardev::{ChardevType, ConsoleType};
use virt_model::domain::devices::BalloonModel;
use virt_model::domain::disk::{Disk, DiskBus, Iotune};
use virt_model::domain::{Domain as Document, LifecycleAction};

use crate::core::{MONITOR_WAIT_MAX, Work, monitor_error};
use crate::cpu;
use crate::lifecycle::start_error;
use crate::monitor::{Command, MonitorError, Replies};

/// Everything there is to ask a new guest, in one round trip.
pub(crate) fn interview(work: &Work<'_>) -> Result<Replies> {
    let (monitor, document) = work.read(|data| {
        let live = data.running()?;
        Ok::<_, Error>((Arc::clone(&live.monitor), Arc::clone(&live.document)))
    })?;
    let mut commands = vec![
        Command::new("qmp_capabilities"),
        Command::new("query-cpus-fast"),
        Command::new("query-chardev"),
    ];
    commands.extend(cpu::questions(&document));
    if document.on_reboot == Some(LifecycleAction::Destroy) {
        // The guest's own reset then reads as its shutdown.
        commands.push(Command::with("set-action", json!({ "reboot": "shutdown" })));
    }
    let balloon = document.devices.memballoon.as_ref();
    if let Some(balloon) = balloon.filter(|balloon| balloon.model != BalloonModel::None) {
        let current_kib = document.current_memory_kib();
        if current_kib < document.memory.kib {
            let bytes = current_kib.saturating_mul(1024);
            commands.push(Command::with("balloon", json!({ "value": bytes })));
        }
        if let Some(period_s) = balloon.stats.as_ref().map(|stats| stats.period_s) {
            commands.push(stats_period(balloon.info.alias.as_deref(), period_s));
        }
    }
    for disk in &document.devices.disks {
        if let Some(iotune) = &disk.iotune {
            commands.push(throttle(disk.info.alias.as_deref().unwrap_or_default(), disk, iotune));
        }
    }
    let answers = monitor.run_all(&commands, MONITOR_WAIT_MAX);
    let answers = answers.map_err(|error| start_error(work, &error))?;
    for (answer, command) in answers.iter().zip(&commands) {
        if let Err(error) = answer {
            let error = MonitorError::Refused { command: command.name, error: error.clone() };
            return Err(monitor_error(&error));
        }
    }
    Ok(answers)
}

/// How often the balloon asks the guest for its statistics.
pub(crate) fn stats_period(alias: Option<&str>, period_s: u32) -> Command {
    let path = format!("/machine/peripheral/{}", alias.unwrap_or("balloon0"));
    let property = "guest-stats-polling-interval";
    let arguments = json!({ "path": path, "property": property, "value": period_s });
    Command::with("qom-set", arguments)
}

fn throttle(alias: &str, disk: &Disk, iotune: &Iotune) -> Command {
    // Compat: a virtio disk's block device hangs below the one that has the alias.
    let virtio = disk.target.bus == Some(DiskBus::Virtio);
    let id = match virtio {
        true => format!("/machine/peripheral/{alias}/virtio-backend"),
        false => alias.to_owned(),
    };
    let value = |value: Option<u64>| value.unwrap_or(0);
    let mut arguments = json!({
        "id": id,
        "bps": value(iotune.total_bytes_sec),
        "bps_rd": value(iotune.read_bytes_sec),
        "bps_wr": value(iotune.write_bytes_sec),
        "iops": value(iotune.total_iops_sec),
        "iops_rd": value(iotune.read_iops_sec),
        "iops_wr": value(iotune.write_iops_sec),
    });
    for (name, value) in [
        ("bps_max", iotune.total_bytes_sec_max),
        ("bps_rd_max", iotune.read_bytes_sec_max),
        ("bps_wr_max", iotune.write_bytes_sec_max),
        ("iops_max", iotune.total_iops_sec_max),
        ("iops_rd_max", iotune.read_iops_sec_max),
        ("iops_wr_max", iotune.write_iops_sec_max),
        ("iops_size", iotune.size_iops_sec),
        ("bps_max_length", iotune.total_bytes_sec_max_length),
        ("bps_rd_max_length", iotune.read_bytes_sec_max_length),
        ("bps_wr_max_length", iotune.write_bytes_sec_max_length),
        ("iops_max_length", iotune.total_iops_sec_max_length),
        ("iops_rd_max_length", iotune.read_iops_sec_max_length),
        ("iops_wr_max_length", iotune.write_iops_sec_max_length),
    ] {
        if let Some(value) = value {
            arguments[name] = json!(value);
        }
    }
    if let Some(group) = &iotune.group_name {
        arguments["group"] = json!(group);
    }
    Command::with("block_set_io_throttle", arguments)
}

/// Takes what the emulator answered into the live definition.
pub(crate) fn learn(work: &mut Work<'_>, answers: &Replies) -> Result<()> {
    let answer = |at: usize| answers.get(at).and_then(|answer| answer.as_ref().ok());
    let threads: Vec<u32> = list(answer(1))
        .filter_map(|cpu| cpu.get("thread-id").and_then(Value::as_u64))
        .filter_map(|thread| u32::try_from(thread).ok())
        .collect();
    let terminals: Vec<(String, String)> = list(answer(2))
        .filter_map(|chardev| {
            let label = chardev.get("label")?.as_str()?.strip_prefix("char")?;
            let path = chardev.get("filename")?.as_str()?.strip_prefix("pty:")?;
            Some((label.to_owned(), path.to_owned()))
        })
        .collect();
    work.change(|data| {
        let Some(live) = &mut data.live else { return Ok(()) };
        live.vcpu_threads = threads;
        let document = Arc::make_mut(&mut live.document);
        set_terminals(document, &terminals);
        let asked = !cpu::questions(document).is_empty();
        match (answer(3), answer(4)) {
            (Some(words), Some(missing)) if asked => cpu::learn(document, words, missing),
            _ => Ok(()),
        }
    })
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn set_terminals(document: &mut Document, terminals: &[(String, String)]) {
    let path = |alias: &Option<String>| {
        let alias = alias.as_deref()?;
        terminals.iter().find(|(label, _)| label == alias).map(|(_, path)| path.clone())
    };
    let devices = &mut document.devices;
    for serial in &mut devices.serials {
        if serial.source.kind == ChardevType::Pty {
            serial.source.path = path(&serial.info.alias);
        }
    }
    for parallel in &mut devices.parallels {
        if parallel.source.kind == ChardevType::Pty {
            parallel.source.path = path(&parallel.info.alias);
        }
    }
    for channel in &mut devices.channels {
        if channel.source.kind == ChardevType::Pty {
            channel.source.path = path(&channel.info.alias);
        }
    }
    let first = devices.serials.first().map(|serial| serial.source.clone());
    for (at, console) in devices.consoles.iter_mut().enumerate() {
        match &first {
            Some(source) if at == 0 && console.target.kind == Some(ConsoleType::Serial) => {
                console.source = source.clone();
            }
            _ if console.source.kind == ChardevType::Pty => {
                console.source.path = path(&console.info.alias);
            }
            _ => {}
        }
        // Compat: only the console of the first port is shown in the old way too.
        if console.source.kind == ChardevType::Pty && console.target.port == Some(0) {
            console.tty = console.source.path.clone();
        }
    }
}
