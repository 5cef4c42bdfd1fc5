//! The manager: takes documents, does what they say in order, and answers.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use virt_xml::{Element, Node};

use crate::actions::{self, Class, Context, Effects, Notice, Step, list};
use crate::bus::{Bus, Mailbox};
use crate::console::{Consoles, begins};
use crate::fault::{Delivery, Fault};
use crate::journal::Journal;
use crate::message::{Command, Data, Object, Request};
use crate::model::Machine;
use crate::options::{Live, Settings, with_control};
use crate::store::{self, Store};
use crate::tls;

/// Who sent a document.
pub(crate) struct Caller<'a> {
    pub(crate) name: &'a str,
    pub(crate) may_write: bool,
    pub(crate) mailbox: &'a Mailbox,
}

/// What is to be sent back, and what is to be told to all after that.
pub(crate) struct Reply {
    pub(crate) delivery: Delivery,
    pub(crate) notices: Vec<Notice>,
}

/// The control file as it was read last.
struct Control {
    stamp: Option<(SystemTime, u64)>,
    live: Live,
    faults_left: u64,
}

pub(crate) struct Manager {
    pub(crate) settings: Settings,
    machine: Mutex<Machine>,
    consoles: Arc<Consoles>,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) bus: Bus,
    control: Mutex<Control>,
    journal: Option<Journal>,
    store: Option<Store>,
}

impl Manager {
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let store = settings.state.as_deref().map(Store::open).transpose()?;
        let machine = store::machine(&settings, store.as_ref())?;
        let journal = settings.journal.as_deref().map(Journal::open).transpose()?;
        let live = settings.live.clone();
        let control = Control { stamp: None, faults_left: live.fault_count, live };
        let needs_tls = settings.has_tls && !settings.profile.is_legacy();
        let tls = needs_tls.then(|| tls::config(&settings)).transpose()?;
        let consoles = Arc::clone(&machine.consoles);
        let (machine, control) = (Mutex::new(machine), Mutex::new(control));
        let bus = Bus::default();
        Ok(Self { settings, machine, consoles, tls, bus, control, journal, store })
    }

    pub(crate) fn consoles(&self) -> &Consoles {
        &self.consoles
    }

    pub(crate) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings of this moment: the control file is read again when it changed.
    pub(crate) fn live(&self) -> Live {
        let mut control = self.control();
        if let Some(path) = &self.settings.control {
            let stamp = stamp(path);
            if stamp != control.stamp {
                control.stamp = stamp;
                match read_control(&self.settings, path) {
                    Ok(live) => {
                        control.faults_left = live.fault_count;
                        control.live = live;
                    }
                    Err(why) => eprintln!("ldmd-sim: {}: {why}", path.display()),
                }
            }
        }
        control.live.clone()
    }

    /// Whether a handshake meets this fault.
    pub(crate) fn has_early_fault(&self, fault: Fault) -> bool {
        if self.live().fault != Some(fault) {
            return false;
        }
        let mut control = self.control();
        let left = control.faults_left.checked_sub(1);
        control.faults_left = left.unwrap_or(0);
        left.is_some()
    }

    /// The fault that this request meets.
    fn fault(&self, live: &Live, request: Option<&Request>) -> Option<Fault> {
        let fault = live.fault.filter(|fault| !fault.is_early())?;
        if let Some(wanted) = &live.fault_action {
            let commands = request.map(|request| request.commands.as_slice()).unwrap_or_default();
            if !commands.iter().any(|command| command.action.as_ref() == Ok(wanted)) {
                return None;
            }
        }
        let mut control = self.control();
        control.faults_left = control.faults_left.checked_sub(1)?;
        Some(fault)
    }

    /// Tells events to those who registered for them, and shows guests that begin.
    pub(crate) fn publish(&self, notices: &[Notice]) {
        for notice in notices {
            let begun = matches!(notice.action.as_str(), "start-domain" | "domain-reset");
            if let Some(name) = notice.object.domain.as_deref().filter(|_| begun) {
                let text = self.machine().domain(name).map(begins);
                self.consoles.hub.show(name, &text.unwrap_or_default());
            }
        }
        if notices.is_empty() || self.settings.profile.is_legacy() {
            return;
        }
        let style = self.live().style;
        for notice in notices {
            let action = Element::new("action").with_text(notice.action.clone());
            let data = style.data(false, std::slice::from_ref(&notice.object));
            let command = Element::new("cmd").with_child(action).with_child(data);
            let version = self.settings.profile.event_version();
            let root = style.root("LDM_event", version, &[]).with_child(command);
            self.bus.publish(notice.class, &style.text(&root));
        }
    }

    /// Writes down what changed.
    pub(crate) fn save(&self, machine: &mut Machine) {
        if let Some(Err(why)) = self.store.as_ref().map(|store| store.save(machine)) {
            eprintln!("ldmd-sim: {why}");
        }
    }

    /// Takes a document; `None` is one that could not be cut from the input.
    pub(crate) fn answer(&self, text: Option<&str>, caller: &Caller<'_>) -> Reply {
        let live = self.live();
        let request = text.and_then(Request::parse);
        if let Some(journal) = &self.journal {
            journal.note(request.as_ref());
        }
        let fault = self.fault(&live, request.as_ref());
        if let Some(fault) = fault.filter(|fault| fault.prevents()) {
            return Reply { delivery: fault.spoil(""), notices: Vec::new() };
        }
        let mut run = Run { manager: self, live: &live, caller, notices: Vec::new(), fault };
        let root = match &request {
            Some(request) => run.request(request),
            None => run.malformed(),
        };
        let (text, notices) = (live.style.text(&root), run.notices);
        let delivery = match fault {
            Some(fault) => fault.spoil(&text),
            None => Delivery::plain(text),
        };
        Reply { delivery, notices }
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Limit: of a control file.
const CONTROL_BYTES_MAX: u64 = 1 << 20;

fn read_control(settings: &Settings, path: &Path) -> Result<Live, String> {
    if !path.exists() {
        return Ok(settings.live.clone());
    }
    let text = virt_store::read_text(path, CONTROL_BYTES_MAX).map_err(|error| error.to_string())?;
    with_control(settings, &text)
}

/// One document on its way through the manager.
struct Run<'a> {
    manager: &'a Manager,
    live: &'a Live,
    caller: &'a Caller<'a>,
    notices: Vec<Notice>,
    fault: Option<Fault>,
}

impl Run<'_> {
    fn malformed(&self) -> Element<'static> {
        let version = self.manager.settings.profile.interface(None);
        let message = "Malformed XML message".to_owned();
        let root = self.live.style.root("LDM_interface", version, &[]);
        root.with_child(self.live.style.response(false, &[message]))
    }

    fn request(&mut self, request: &Request) -> Element<'static> {
        let asked = request.version.as_deref();
        let version = self.manager.settings.profile.interface(asked);
        let mut root = self.live.style.root("LDM_interface", version, &request.attrs);
        let mut all_good = true;
        for command in &request.commands {
            let (element, is_good) = self.command(command, asked);
            all_good &= is_good;
            root = root.with_child(element);
        }
        root.with_child(self.live.style.response(all_good, &[]))
    }

    fn command(&mut self, command: &Command, version: Option<&str>) -> (Element<'static>, bool) {
        let mut element =
            command.head.iter().cloned().fold(Element::new("cmd"), Element::with_child);
        let style = &self.live.style;
        let action = match self.admit(command, version) {
            Ok(action) => action,
            Err(why) => {
                let echoed = command.data.iter().map(|data| data.element.clone());
                element = echoed.fold(element, Element::with_child);
                return (element.with_child(style.response(false, &[why])), false);
            }
        };
        let empty = [self.empty_data()];
        let takes_none = action.starts_with("list-") || registration(&action).is_some();
        let data = match command.data.as_slice() {
            [] if takes_none => &empty,
            [] => {
                let why = "The command has no data".to_owned();
                return (element.with_child(style.response(false, &[why])), false);
            }
            data => data,
        };
        let mut all_good = true;
        for one in data {
            for (answer, is_good) in self.data(&action, command, one) {
                all_good &= is_good;
                element = element.with_child(answer);
            }
        }
        (element.with_child(self.live.style.response(all_good, &[])), all_good)
    }

    fn empty_data(&self) -> Data {
        let is_legacy = self.manager.settings.profile.is_legacy();
        let version = if is_legacy { "2.0" } else { "3.0" };
        let element = Element::new("data").with_attr("version", version);
        Data { element, is_legacy, objects: Ok(Vec::new()) }
    }

    /// The action, if this release has it and this caller may ask for it.
    fn admit(&self, command: &Command, version: Option<&str>) -> Result<String, String> {
        let profile = self.manager.settings.profile;
        let action = command.action.clone()?;
        if !profile.knows(&action) {
            return Err(format!("Unknown action {action}"));
        }
        if self.fault == Some(Fault::Refuse) {
            return Err(format!("The action {action} was refused by the simulator"));
        }
        let wants_options = profile.wants_options(version);
        if command.has_option && wants_options || command.has_options && !wants_options {
            let (found, wanted) =
                if wants_options { ("option", "options") } else { ("options", "option") };
            return Err(format!("Unexpected element {found}, this interface has {wanted}"));
        }
        let is_reading = ["list-", "reg-", "unreg-"].iter().any(|start| action.starts_with(start));
        if !is_reading && !self.caller.may_write {
            let name = self.caller.name;
            return Err(format!("User {name} does not have authorization solaris.ldoms.write"));
        }
        Ok(action)
    }

    /// The answers to one `<data>`, which are several where all domains were asked for.
    fn data(
        &mut self,
        action: &str,
        command: &Command,
        data: &Data,
    ) -> Vec<(Element<'static>, bool)> {
        let style = &self.live.style;
        let is_legacy = self.manager.settings.profile.is_legacy();
        let objects = match &data.objects {
            _ if is_legacy && !data.is_legacy => {
                Err("Data of this version is not supported".to_owned())
            }
            Ok(objects) => Ok(objects.as_slice()),
            Err(why) => Err(why.clone()),
        };
        let objects = match objects {
            Ok(objects) => objects,
            Err(why) => {
                let echoed = without_response(&data.element);
                return vec![(echoed.with_child(style.response(false, &[why])), false)];
            }
        };
        if action.starts_with("list-") {
            return self.list(action, command, data, objects);
        }
        let mut done = Done::default();
        match registration(action) {
            Some((is_on, classes)) if is_on => self.caller.mailbox.register(classes),
            Some((_, classes)) => self.caller.mailbox.unregister(classes),
            None => self.objects(action, command, objects, &mut done),
        }
        let is_good = done.refusals.is_empty();
        let mut element = without_response(&data.element);
        element = element.with_child(self.live.style.response(is_good, &done.refusals));
        if let Some(warning) = self.warning(is_good, &done) {
            element = element.with_child(self.live.style.warning(&warning));
        }
        vec![(element, is_good)]
    }

    fn warning(&self, is_good: bool, done: &Done) -> Option<String> {
        if !is_good || !self.manager.settings.profile.has_warnings() {
            return None;
        }
        if !done.warnings.is_empty() {
            return Some(done.warnings.join("\n"));
        }
        self.live.style.warnings.then(|| "Warning: this is a simulated machine".to_owned())
    }

    /// Does an action for each object; one that fails does not keep the others from being done.
    fn objects(&mut self, action: &str, command: &Command, objects: &[Object], done: &mut Done) {
        let nameless = [Object::default()];
        let groups: Vec<&[Object]> = match objects {
            // The second object of a migration says where the first one goes.
            objects if action == "migrate-domain" => vec![objects],
            [] if command.options.iter().any(|word| word == "-a") => vec![&nameless],
            [] => {
                done.refusals.push("The request names no object".to_owned());
                return;
            }
            objects => objects.chunks(1).collect(),
        };
        for group in groups {
            match self.group(action, &command.options, group) {
                Ok(effects) => {
                    self.notices.extend(effects.notices);
                    done.warnings.extend(effects.warning);
                }
                Err(why) => done.refusals.push(why),
            }
        }
    }

    /// Does an action for one object, or for those that belong together, with the time it takes.
    fn group(
        &self,
        action: &str,
        options: &[String],
        objects: &[Object],
    ) -> Result<Effects, String> {
        let context = Context { live: self.live, options };
        let mut machine = self.manager.machine();
        let step = actions::run(&mut machine, &context, action, objects);
        self.manager.save(&mut machine);
        drop(machine);
        let rest = match step? {
            Step::Done(effects) => return Ok(effects),
            Step::Wait(time, rest) => {
                std::thread::sleep(time);
                rest
            }
            Step::Migrate(migration, rest) => {
                self.manager.migrate(&migration)?;
                rest
            }
        };
        let mut machine = self.manager.machine();
        let done = rest(&mut machine);
        self.manager.save(&mut machine);
        done
    }

    fn list(
        &self,
        action: &str,
        command: &Command,
        data: &Data,
        objects: &[Object],
    ) -> Vec<(Element<'static>, bool)> {
        let (style, context) =
            (&self.live.style, Context { live: self.live, options: &command.options });
        let machine = self.manager.machine();
        let is_named = !objects.is_empty() && action != "list-devices";
        let (mut found, mut refusals) = (Vec::new(), Vec::new());
        let groups: Vec<&[Object]> =
            if is_named { objects.chunks(1).collect() } else { vec![objects] };
        for group in groups {
            match list::run(&machine, &context, action, group) {
                Ok(objects) => found.extend(objects),
                Err(why) => refusals.push(why),
            }
        }
        drop(machine);
        let is_good = refusals.is_empty();
        let answer = |objects: &[Object]| {
            let element = style.data(data.is_legacy, objects);
            (element.with_child(style.response(is_good, &refusals)), is_good)
        };
        if !is_good && found.is_empty() {
            let echoed = without_response(&data.element);
            return vec![(echoed.with_child(style.response(false, &refusals)), false)];
        }
        if is_named || style.one_data || found.is_empty() {
            return vec![answer(&found)];
        }
        found.chunks(1).map(answer).collect()
    }
}

/// What became of the objects of one `<data>`.
#[derive(Default)]
struct Done {
    refusals: Vec<String>,
    warnings: Vec<String>,
}

/// The element as it came, but for a response in it.
fn without_response(element: &Element<'static>) -> Element<'static> {
    let mut element = element.clone();
    element
        .children
        .retain(|child| !matches!(child, Node::Element(child) if child.local_name() == "response"));
    element
}

/// Whether an action registers or unregisters, and for which events.
fn registration(action: &str) -> Option<(bool, &'static [Class])> {
    let (is_on, rest) = match action.strip_prefix("reg-") {
        Some(rest) => (true, rest),
        None => (false, action.strip_prefix("unreg-")?),
    };
    let classes: &[Class] = match rest {
        "domain-events" => &[Class::Domain],
        "resource-events" => &[Class::Resource],
        "hardware-events" => &[Class::Hardware],
        _ => &[Class::Domain, Class::Resource, Class::Hardware],
    };
    Some((is_on, classes))
}
