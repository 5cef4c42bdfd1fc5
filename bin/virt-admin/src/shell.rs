//! The shell: which daemon it talks to, and what it says when it cannot.

use virt_cli::{Ask, Done, Failure, Interactive, Session, Table, Values};
use virt_transport::ClientConf;

use crate::admin::Admin;
use crate::table;

/// What a command is: a function of the shell and the typed options.
pub(crate) type Run = virt_cli::Run<Shell>;

pub(crate) struct Shell {
    session: Session,
    /// The daemon asked for; `None` leaves it to the configuration.
    uri: Option<String>,
    admin: Option<Admin>,
    /// The daemon asked for on the command line is not reached yet.
    starting: bool,
}

impl virt_cli::Shell for Shell {
    fn table() -> &'static Table<Run> {
        &table::TABLE
    }

    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn connect(&mut self) -> Done {
        self.reach().map(drop)
    }

    fn names(&mut self, ask: &Ask) -> Option<Vec<String>> {
        let Values::Object(_) = ask.values else { return None };
        let servers = self.reach().ok()?.servers().ok()?;
        let names = servers.iter().map(|server| server.name.to_string());
        Some(names.filter(|name| name.starts_with(&ask.typed)).collect())
    }
}

impl Interactive for Shell {
    const WELCOME: &'static str =
        "Welcome to virt-admin, the administrating virtualization interactive terminal.";
    const HISTORY_VARIABLE: &'static str = "VIRT_ADMIN_HISTSIZE";

    fn prompt(&self) -> &'static str {
        "virt-admin # "
    }
}

impl Shell {
    pub(crate) fn new(session: Session, uri: Option<String>) -> Self {
        let starting = session.connects_first;
        Self { session, uri, admin: None, starting }
    }

    pub(crate) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The daemon, reached now if it is not, or no more.
    pub(crate) fn reach(&mut self) -> Result<&Admin, Failure> {
        if !self.admin.as_ref().is_some_and(Admin::is_alive) {
            let starting = std::mem::take(&mut self.starting);
            let lost = self.admin.take().is_some();
            let opened = self.open(self.uri.clone()).map_err(|failure| {
                let failure =
                    if starting { failure } else { failure.during("no valid connection") };
                failure.during(failed_to(lost))
            })?;
            self.admin = Some(opened);
        }
        self.admin.as_ref().ok_or_else(|| Failure::new("no valid connection"))
    }

    /// Leaves the daemon for another, or reaches it anew. True when there was one before.
    pub(crate) fn reconnect(&mut self, uri: Option<&str>) -> Result<bool, Failure> {
        let lost = self.admin.take().is_some();
        self.uri = uri.filter(|uri| !uri.is_empty()).map(str::to_owned).or(self.uri.take());
        let opened = self.open(self.uri.clone());
        self.admin = Some(opened.map_err(|failure| failure.during(failed_to(lost)))?);
        Ok(lost)
    }

    fn open(&mut self, uri: Option<String>) -> Result<Admin, Failure> {
        let conf = ClientConf::load(&ClientConf::usual_path("libvirt-admin.conf"))?;
        let named = uri.is_some();
        let opened = match uri {
            Some(uri) => Admin::open(conf.resolve(&uri)),
            None => Admin::open(conf.uri_default.as_deref().unwrap_or(Admin::default_uri())),
        };
        if opened.is_err() && !named {
            self.session.print_extra(format_args!(
                "NOTE: Connecting to default daemon. Specify daemon using '-c' \
                 (e.g. virtqemud:///system)\n"
            ));
        }
        Ok(opened?)
    }

    /// Tells that the daemon hung up, if it did; the command that found out failed because of it.
    pub(crate) fn tell_if_lost(&mut self) {
        if let Some(admin) = self.admin.as_ref().filter(|admin| !admin.is_alive()) {
            let line = format!("Disconnected from {} due to end of file", admin.uri());
            self.session.error(&line);
        }
    }
}

fn failed_to(lost: bool) -> &'static str {
    match lost {
        true => "Failed to reconnect to the admin server",
        false => "Failed to connect to the admin server",
    }
}
