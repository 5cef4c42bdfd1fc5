//! What the actions do to the machine; the table that names them is here.
//!
//! An action either fails, with the text of the refusal, or has its effects: events to tell and
//! perhaps a warning. One that takes time first shows its state, and ends when that time is over.

mod change;
mod devices;
mod domain;
mod host;
mod lifecycle;
pub(crate) mod list;
mod services;
mod tuning;

use std::time::Duration;

use crate::message::{Item, Object};
use crate::model::Machine;
use crate::options::Live;

pub(crate) use domain::NAME_BYTES_MAX;
pub(crate) use host::{migration_ends, migration_failed, migration_goes_on};
pub(crate) use lifecycle::{guest_panicked, guest_powered_off, guest_reset};

/// The streams of events that a client can register for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Domain,
    Resource,
    Hardware,
}

/// An event to tell: like a command, but done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) class: Class,
    pub(crate) action: String,
    pub(crate) object: Object,
}

impl Notice {
    pub(crate) fn domain(action: &str, name: &str) -> Self {
        let object = Object::of(name, Vec::new());
        Self { class: Class::Domain, action: action.to_owned(), object }
    }

    pub(crate) fn resource(action: &str, name: &str) -> Self {
        Self { class: Class::Resource, ..Self::domain(action, name) }
    }

    /// An event of a service: with its type and name.
    pub(crate) fn service(action: &str, name: &str, kind: &str, service: &str) -> Self {
        let item = Item::new(kind).with("service_name", service);
        Self { object: Object::of(name, vec![item]), ..Self::resource(action, name) }
    }

    pub(crate) fn hardware(action: &str, object: Object) -> Self {
        Self { class: Class::Hardware, action: action.to_owned(), object }
    }
}

/// What came of an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) notices: Vec<Notice>,
    pub(crate) warning: Option<String>,
}

impl Effects {
    pub(crate) fn notice(notice: Notice) -> Self {
        Self { notices: vec![notice], warning: None }
    }
}

/// What the rest of an action is.
type Rest = Box<dyn FnOnce(&mut Machine) -> Result<Effects, String> + Send>;

/// A domain on its way to another manager.
pub(crate) struct Migration {
    pub(crate) name: String,
    /// The domain under its new name, as it is to be added there.
    pub(crate) object: Object,
    /// Whether it is to run there.
    pub(crate) is_active: bool,
    pub(crate) host: String,
    pub(crate) username: String,
    pub(crate) password: String,
    /// What is told of its progress, with this pause before each.
    pub(crate) notices: Vec<Notice>,
    pub(crate) pause: Duration,
}

/// How far an action came at once.
pub(crate) enum Step {
    Done(Effects),
    /// After this time the rest is to be done.
    Wait(Duration, Rest),
    /// The domain is to be sent away; then comes the rest, or it goes on as before.
    Migrate(Box<Migration>, Rest),
}

/// What an action knows beside the object it is for.
pub(crate) struct Context<'a> {
    pub(crate) live: &'a Live,
    pub(crate) options: &'a [String],
}

impl Context<'_> {
    pub(crate) fn has_option(&self, option: &str) -> bool {
        self.options.iter().any(|word| word == option)
    }
}

pub(crate) type Outcome = Result<Step, String>;
type Run = fn(&mut Machine, &Context<'_>, &Object) -> Outcome;

/// Does the action for an object, as far as it goes at once; a migration has two.
pub(crate) fn run(
    machine: &mut Machine,
    context: &Context<'_>,
    action: &str,
    objects: &[Object],
) -> Outcome {
    if action == "migrate-domain" {
        return host::migrate(machine, context, objects);
    }
    let object = objects.first().ok_or("The request names no object")?;
    let found = RUNS.iter().find(|(name, _)| *name == action);
    let (_, run) = found.ok_or_else(|| format!("The action {action} is not supported"))?;
    run(machine, context, object)
}

const RUNS: &[(&str, Run)] = &[
    ("add-domain", domain::add),
    ("set-domain", domain::set),
    ("remove-domain", domain::remove),
    ("bind-domain", lifecycle::bind),
    ("unbind-domain", lifecycle::unbind),
    ("start-domain", lifecycle::start),
    ("stop-domain", lifecycle::stop),
    ("panic-domain", lifecycle::panic),
    ("add-vcpu", |machine, context, object| tuning::vcpu(machine, context, object, Sign::Add)),
    ("set-vcpu", |machine, context, object| tuning::vcpu(machine, context, object, Sign::Set)),
    ("remove-vcpu", |machine, context, object| {
        tuning::vcpu(machine, context, object, Sign::Remove)
    }),
    ("add-core", |machine, context, object| tuning::core(machine, context, object, Sign::Add)),
    ("set-core", |machine, context, object| tuning::core(machine, context, object, Sign::Set)),
    ("remove-core", |machine, context, object| {
        tuning::core(machine, context, object, Sign::Remove)
    }),
    ("add-mau", |machine, context, object| tuning::mau(machine, context, object, Sign::Add)),
    ("set-mau", |machine, context, object| tuning::mau(machine, context, object, Sign::Set)),
    ("remove-mau", |machine, context, object| tuning::mau(machine, context, object, Sign::Remove)),
    ("add-memory", |machine, context, object| tuning::memory(machine, context, object, Sign::Add)),
    ("set-memory", |machine, context, object| tuning::memory(machine, context, object, Sign::Set)),
    ("remove-memory", |machine, context, object| {
        tuning::memory(machine, context, object, Sign::Remove)
    }),
    ("add-vdisk", |machine, context, object| devices::add(machine, context, object, "disk")),
    ("set-vdisk", |machine, context, object| devices::set(machine, context, object, "disk")),
    ("remove-vdisk", |machine, context, object| devices::remove(machine, context, object, "disk")),
    ("add-vnet", |machine, context, object| devices::add(machine, context, object, "network")),
    ("set-vnet", |machine, context, object| devices::set(machine, context, object, "network")),
    ("remove-vnet", |machine, context, object| {
        devices::remove(machine, context, object, "network")
    }),
    ("add-io", |machine, context, object| devices::add(machine, context, object, "physio_device")),
    ("set-io", |machine, context, object| devices::set(machine, context, object, "physio_device")),
    ("remove-io", |machine, context, object| {
        devices::remove(machine, context, object, "physio_device")
    }),
    ("add-vdpcc", |machine, context, object| devices::add(machine, context, object, "vdpcc")),
    ("remove-vdpcc", |machine, context, object| devices::remove(machine, context, object, "vdpcc")),
    ("add-vhba", |machine, context, object| devices::add(machine, context, object, "vhba")),
    ("set-vhba", |machine, context, object| devices::set(machine, context, object, "vhba")),
    ("remove-vhba", |machine, context, object| devices::remove(machine, context, object, "vhba")),
    ("rescan-vhba", |machine, context, object| devices::set(machine, context, object, "vhba")),
    ("add-variable", devices::set_variable),
    ("set-variable", devices::set_variable),
    ("remove-variable", |machine, context, object| {
        devices::remove(machine, context, object, "var")
    }),
    ("set-vconsole", devices::set_console),
    ("add-vdiskserver", |machine, context, object| services::add(machine, context, object, "vds")),
    ("remove-vdiskserver", |machine, context, object| {
        services::remove(machine, context, object, "vds")
    }),
    ("add-vswitch", |machine, context, object| services::add(machine, context, object, "vsw")),
    ("set-vswitch", |machine, context, object| services::set(machine, context, object, "vsw")),
    ("remove-vswitch", |machine, context, object| {
        services::remove(machine, context, object, "vsw")
    }),
    ("add-vconscon", |machine, context, object| services::add(machine, context, object, "vcc")),
    ("set-vconscon", |machine, context, object| services::set(machine, context, object, "vcc")),
    ("remove-vconscon", |machine, context, object| {
        services::remove(machine, context, object, "vcc")
    }),
    ("add-vdpcs", |machine, context, object| services::add(machine, context, object, "vdpcs")),
    ("remove-vdpcs", |machine, context, object| {
        services::remove(machine, context, object, "vdpcs")
    }),
    ("add-vsan", |machine, context, object| services::add(machine, context, object, "vsan")),
    ("remove-vsan", |machine, context, object| services::remove(machine, context, object, "vsan")),
    ("add-vdiskserverdevice", services::add_volume),
    ("set-vdiskserverdevice", services::set_volume),
    ("remove-vdiskserverdevice", services::remove_volume),
    ("add-spconfig", host::add_spconfig),
    ("set-spconfig", host::set_spconfig),
    ("remove-spconfig", host::remove_spconfig),
    ("start-reconf", host::start_reconf),
    ("remove-reconf", host::cancel_reconf),
    ("cancel-operation", host::cancel_operation),
];

/// Whether a number is more, less, or the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Add,
    Set,
    Remove,
}

impl Sign {
    fn verb(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Set => "set",
            Self::Remove => "remove",
        }
    }
}

/// The domain that an action is for.
fn domain_of(object: &Object) -> Result<&str, String> {
    object.domain.as_deref().ok_or_else(|| "The request names no LDom".to_owned())
}

/// The item of the type that an action needs.
fn item_of<'a>(object: &'a Object, kind: &str) -> Result<&'a Item, String> {
    if let Some(item) = object.item(kind) {
        return Ok(item);
    }
    match object.items.first() {
        Some(other) => Err(format!("Unknown or unexpected resource type {}", other.kind)),
        None => Err(format!("The request has no {kind} resource")),
    }
}

/// The warning, as the manager words it where a device's name is too long for OpenBoot.
fn name_warning(name: &str) -> Option<String> {
    const ALIAS_BYTES_MAX: usize = 31;
    let too_long = name.len() > ALIAS_BYTES_MAX;
    too_long.then(|| format!("Device name {name} is too long to create devalias"))
}
