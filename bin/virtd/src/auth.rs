//! How a client shows who it is, before anything else it may ask.

use std::sync::Arc;
use std::time::Duration;

use virt_error::{Code, Error, Origin, Result};
use virt_transport::sasl::{self, SaslError, ServerExchange, Way as SaslWay};
use virt_wire::{Codec, Reader, Writer, limits, remote};

use crate::calls::Server;
use crate::client::Client;
use crate::entry::{Auth, Way};
use crate::session::read;
use crate::{polkit, pool};

/// Whether a call may come before its client has shown who it is.
pub(crate) fn is_part(program: u32, number: u32) -> bool {
    use remote::{AUTH_LIST, AUTH_POLKIT, AUTH_SASL_INIT, AUTH_SASL_START, AUTH_SASL_STEP};
    program == remote::PROGRAM
        && matches!(
            number,
            AUTH_LIST | AUTH_SASL_INIT | AUTH_SASL_START | AUTH_SASL_STEP | AUTH_POLKIT
        )
}

fn refused() -> Error {
    // Compat: why is for the log only.
    Error::new(Code::AuthFailed, Origin::Rpc, "authentication failed")
}

/// Refuses a client that is to be asked something else, or nothing any more.
fn expect(client: &Client, auth: Auth) -> Result<()> {
    if client.arrival.auth == auth && !client.is_authenticated() {
        return Ok(());
    }
    virt_log::error!("rpc.auth", "client tried invalid {auth:?} authentication");
    Err(refused())
}

pub(crate) fn list(
    _: &Server,
    client: &Arc<Client>,
    _: u32,
    _: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    let auth = if client.is_authenticated() { Auth::None } else { client.arrival.auth };
    reply.u32(1);
    reply.i32(auth.number());
    Ok(())
}

/// Lets somebody in whom polkit knows. A worker waits for its answer.
pub(crate) fn polkit(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    _: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    expect(client, Auth::Polkit)?;
    let patience = Duration::from_secs(server.settings.limits.auth_timeout_s as u64);
    let action = polkit::action(client.arrival.read_only);
    pool::on_wait(true);
    let checked = polkit::check(&client.caller, action, patience);
    pool::on_wait(false);
    checked.inspect_err(|error| {
        let id = client.caller.client_id;
        virt_log::error!("rpc.auth", "polkit does not let client {id} in: {error}");
    })?;
    client.admit(&server.crowd);
    reply.i32(1);
    Ok(())
}

pub(crate) fn sasl_init(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    _: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    expect(client, Auth::Sasl)?;
    let offered = sasl::offered(way(server, client));
    reply.string(&offered, limits::STRING_MAX).map_err(|_| refused())
}

/// The way a client came, as an exchange sees it.
fn way(server: &Server, client: &Client) -> SaslWay {
    match client.arrival.way {
        Way::Tls => SaslWay::Encrypted,
        Way::Unix => SaslWay::Local,
        Way::Tcp if server.settings.entries.tcp_encrypts => SaslWay::OpenToEncrypt,
        Way::Tcp => SaslWay::Open,
    }
}

pub(crate) fn sasl_start(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    expect(client, Auth::Sasl)?;
    let asked = read(remote::AuthSaslStartArgs::decode(&mut Reader::new(arguments)))?;
    let begun = ServerExchange::new(&server.passwords, &asked.mech, way(server, client));
    let exchange = begun.map_err(|error| fail(client, &error))?;
    step(server, client, Box::new(exchange), asked.nil, &asked.data, reply)
}

pub(crate) fn sasl_step(
    server: &Server,
    client: &Arc<Client>,
    _: u32,
    arguments: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    expect(client, Auth::Sasl)?;
    let asked = read(remote::AuthSaslStepArgs::decode(&mut Reader::new(arguments)))?;
    let begun = client.session().shown().sasl.take();
    let exchange = begun.ok_or_else(refused)?;
    step(server, client, exchange, asked.nil, &asked.data, reply)
}

/// One turn of the exchange; the client is in when it was the last one.
fn step(
    server: &Server,
    client: &Arc<Client>,
    mut exchange: Box<ServerExchange>,
    nil: i32,
    data: &[u8],
    reply: &mut Writer,
) -> Result<()> {
    let step = exchange.step((nil == 0).then_some(data)).map_err(|error| fail(client, &error))?;
    reply.i32(step.complete.into());
    reply.i32(step.data.is_none().into());
    let data = step.data.unwrap_or_default();
    reply.octets(&data, limits::AUTH_SASL_DATA_MAX).map_err(|_| refused())?;
    if !step.complete {
        client.session().shown().sasl = Some(exchange);
        return Ok(());
    }
    let name = exchange.user().unwrap_or_default();
    if !server.settings.entries.admits(name) {
        virt_log::error!("rpc.auth", "SASL client '{name}' not allowed in whitelist");
        return Err(refused());
    }
    client.session().shown().sasl_name = Some(name.to_owned());
    if let Some(layer) = exchange.take_layer() {
        // Order: before the client can have heard that it is in, and speaks by it.
        client.seal_after_reply(layer);
    }
    client.admit(&server.crowd);
    Ok(())
}

fn fail(client: &Client, error: &SaslError) -> Error {
    let id = client.caller.client_id;
    virt_log::error!("rpc.auth", "authentication of client {id} failed: {error}");
    refused()
}
