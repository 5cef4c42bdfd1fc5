//! A daemon's administration program, as a client calls it.

use std::path::{Path, PathBuf};

use virt_client::Client;
use virt_error::{Code, Error, Origin, Result};
use virt_transport::{Channel, Uri, session_run_dir};
use virt_types::{
    ClientRef, ConnectGetLoggingFilters, ConnectGetLoggingOutputs, ConnectListServers,
    ServerListClients, ServerRef, TypedParam,
};
use virt_wire::{Codec, Reader, admin, limits};

const SYSTEM_RUN_DIR: &str = "/run/libvirt";

/// A connection to a daemon's administration socket.
pub(crate) struct Admin {
    uri: String,
    client: Client,
}

/// The numbers of one of a daemon's pools or limits, by name.
pub(crate) type Numbers<'a> = Vec<(&'a str, u32)>;

impl Admin {
    /// Compat: root administers the system's daemon, everybody else their own.
    pub(crate) fn default_uri() -> &'static str {
        match virt_transport::User::current().root {
            true => "libvirtd:///system",
            false => "libvirtd:///session",
        }
    }

    pub(crate) fn open(text: &str) -> Result<Self> {
        let socket = socket(&Uri::parse(text)?)?;
        let channel = Channel::local(virt_transport::connect(&socket)?);
        let client = Client::new(channel, Box::new(|_, _| {}));
        let admin = Self { uri: text.to_owned(), client };
        admin.ask(admin::CONNECT_OPEN, &admin::ConnectOpenArgs { flags: 0 }, |_| Ok(()))?;
        Ok(admin)
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.client.is_alive()
    }

    fn ask<A: Codec, R>(
        &self,
        procedure: u32,
        arguments: &A,
        read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
    ) -> Result<R> {
        let reply = self.client.call(admin::PROGRAM, procedure, |w| arguments.encode(w), &[])?;
        read(&mut Reader::new(&reply.payload))
            .map_err(|_| Error::new(Code::Rpc, Origin::Rpc, "Unable to decode message payload"))
    }

    fn tell<A: Codec>(&self, procedure: u32, arguments: &A) -> Result<()> {
        self.ask(procedure, arguments, |_| Ok(()))
    }

    pub(crate) fn lib_version(&self) -> Result<u64> {
        self.ask(admin::CONNECT_GET_LIB_VERSION, &(), |r| r.u64())
    }

    pub(crate) fn servers(&self) -> Result<Vec<ServerRef>> {
        let args = admin::ConnectListServersArgs { need_results: 1, flags: 0 };
        let listed = self.ask(admin::CONNECT_LIST_SERVERS, &args, ConnectListServers::decode)?;
        Ok(listed.servers)
    }

    pub(crate) fn server(&self, name: &str) -> Result<ServerRef> {
        let args = admin::ConnectLookupServerArgs { name: name.to_owned(), flags: 0 };
        self.ask(admin::CONNECT_LOOKUP_SERVER, &args, ServerRef::decode)
    }

    pub(crate) fn threads(&self, srv: ServerRef) -> Result<Vec<TypedParam>> {
        let args = admin::ServerGetThreadpoolParametersArgs { srv, flags: 0 };
        let max = limits::SERVER_THREADPOOL_PARAMETERS_MAX;
        self.ask(admin::SERVER_GET_THREADPOOL_PARAMETERS, &args, |r| {
            r.list(max, TypedParam::decode)
        })
    }

    pub(crate) fn set_threads(&self, srv: ServerRef, numbers: &Numbers<'_>) -> Result<()> {
        let args =
            admin::ServerSetThreadpoolParametersArgs { srv, params: params(numbers), flags: 0 };
        self.tell(admin::SERVER_SET_THREADPOOL_PARAMETERS, &args)
    }

    pub(crate) fn clients(&self, srv: ServerRef) -> Result<Vec<ClientRef>> {
        let args = admin::ServerListClientsArgs { srv, need_results: 1, flags: 0 };
        let listed = self.ask(admin::SERVER_LIST_CLIENTS, &args, ServerListClients::decode)?;
        Ok(listed.clients)
    }

    pub(crate) fn client(&self, srv: ServerRef, id: u64) -> Result<ClientRef> {
        let args = admin::ServerLookupClientArgs { srv, id, flags: 0 };
        self.ask(admin::SERVER_LOOKUP_CLIENT, &args, ClientRef::decode)
    }

    pub(crate) fn client_info(&self, clnt: ClientRef) -> Result<Vec<TypedParam>> {
        let args = admin::ClientGetInfoArgs { clnt, flags: 0 };
        let max = limits::CLIENT_INFO_PARAMETERS_MAX;
        self.ask(admin::CLIENT_GET_INFO, &args, |r| r.list(max, TypedParam::decode))
    }

    pub(crate) fn disconnect(&self, clnt: ClientRef) -> Result<()> {
        self.tell(admin::CLIENT_CLOSE, &admin::ClientCloseArgs { clnt, flags: 0 })
    }

    pub(crate) fn client_limits(&self, srv: ServerRef) -> Result<Vec<TypedParam>> {
        let args = admin::ServerGetClientLimitsArgs { srv, flags: 0 };
        let max = limits::SERVER_CLIENT_LIMITS_MAX;
        self.ask(admin::SERVER_GET_CLIENT_LIMITS, &args, |r| r.list(max, TypedParam::decode))
    }

    pub(crate) fn set_client_limits(&self, srv: ServerRef, numbers: &Numbers<'_>) -> Result<()> {
        let args = admin::ServerSetClientLimitsArgs { srv, params: params(numbers), flags: 0 };
        self.tell(admin::SERVER_SET_CLIENT_LIMITS, &args)
    }

    pub(crate) fn update_tls(&self, srv: ServerRef) -> Result<()> {
        let args = admin::ServerUpdateTlsFilesArgs { srv, flags: 0 };
        self.tell(admin::SERVER_UPDATE_TLS_FILES, &args)
    }

    pub(crate) fn filters(&self) -> Result<String> {
        let args = admin::ConnectGetLoggingFiltersArgs { flags: 0 };
        let number = admin::CONNECT_GET_LOGGING_FILTERS;
        let filters = self.ask(number, &args, ConnectGetLoggingFilters::decode)?;
        Ok(filters.filters.unwrap_or_default())
    }

    pub(crate) fn set_filters(&self, filters: &str) -> Result<()> {
        let filters = Some(filters.to_owned());
        let args = admin::ConnectSetLoggingFiltersArgs { filters, flags: 0 };
        self.tell(admin::CONNECT_SET_LOGGING_FILTERS, &args)
    }

    pub(crate) fn outputs(&self) -> Result<String> {
        let args = admin::ConnectGetLoggingOutputsArgs { flags: 0 };
        let number = admin::CONNECT_GET_LOGGING_OUTPUTS;
        Ok(self.ask(number, &args, ConnectGetLoggingOutputs::decode)?.outputs)
    }

    pub(crate) fn set_outputs(&self, outputs: &str) -> Result<()> {
        let outputs = Some(outputs.to_owned());
        let args = admin::ConnectSetLoggingOutputsArgs { outputs, flags: 0 };
        self.tell(admin::CONNECT_SET_LOGGING_OUTPUTS, &args)
    }

    pub(crate) fn set_timeout(&self, timeout: u32) -> Result<()> {
        let args = admin::ConnectSetDaemonTimeoutArgs { timeout, flags: 0 };
        self.tell(admin::CONNECT_SET_DAEMON_TIMEOUT, &args)
    }

    pub(crate) fn shutdown(&self, flags: u32) -> Result<()> {
        self.tell(admin::CONNECT_DAEMON_SHUTDOWN, &admin::ConnectDaemonShutdownArgs { flags })
    }
}

fn params(numbers: &Numbers<'_>) -> Vec<TypedParam> {
    let param = |(field, number): &(&str, u32)| TypedParam {
        field: (*field).to_owned(),
        value: virt_types::TypedValue::Uint(*number),
    };
    numbers.iter().map(param).collect()
}

/// The administration socket that a URI means.
fn socket(uri: &Uri) -> Result<PathBuf> {
    let unsupported =
        |detail: String| Err(Error::new(Code::ConfigUnsupported, Origin::Admin, detail));
    let Some(scheme) = uri.scheme.as_deref() else {
        return unsupported("No URI scheme specified".to_owned());
    };
    let daemon = scheme.strip_suffix("+unix").unwrap_or(scheme);
    let known = daemon == "libvirtd" || daemon.starts_with("virt") && daemon.ends_with('d');
    if !known || daemon.contains('+') {
        return unsupported(format!("Unsupported URI scheme '{scheme}'"));
    }
    if let Some((name, _)) = uri.params.iter().find(|(name, _)| *name != "socket") {
        return unsupported(format!("Unknown URI parameter '{name}'"));
    }
    if let Some(socket) = uri.params.get("socket") {
        return Ok(socket.into());
    }
    let folder = match uri.path.as_str() {
        "/system" => Path::new(SYSTEM_RUN_DIR).to_owned(),
        "/session" => session_run_dir(),
        other => return unsupported(format!("Invalid URI path '{other}', try '/system'")),
    };
    // Compat: the daemon for everything has its sockets under the library's name.
    let name = if daemon == "libvirtd" { "libvirt" } else { daemon };
    Ok(folder.join(format!("{name}-admin-sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lead_to_sockets_or_are_refused_in_libvirts_words() {
        let place = |text: &str| Uri::parse(text).and_then(|uri| socket(&uri));
        for (text, path) in [
            ("libvirtd:///system", "/run/libvirt/libvirt-admin-sock"),
            ("virtqemud+unix:///system", "/run/libvirt/virtqemud-admin-sock"),
            ("libvirtd://host/system", "/run/libvirt/libvirt-admin-sock"),
            ("libvirtd+unix:///session?socket=/x", "/x"),
        ] {
            assert_eq!(place(text).expect(text), Path::new(path));
        }
        for (text, why) in [
            ("bogus:///system", "Unsupported URI scheme 'bogus'"),
            ("libvirtd+tcp:///system", "Unsupported URI scheme 'libvirtd+tcp'"),
            ("libvirtd:///x", "Invalid URI path '/x', try '/system'"),
            ("/system", "No URI scheme specified"),
            ("libvirtd:///system?foo=1", "Unknown URI parameter 'foo'"),
        ] {
            let error = place(text).expect_err(text);
            assert_eq!(error.message(), format!("unsupported configuration: {why}"));
        }
    }
}
