//! How this side shows a daemon who it is: what is asked for, and where the answers come from.

use virt_client::Client;
use virt_driver::{Ask, Question};
use virt_error::{Code, Error, Origin, Result};
use virt_transport::sasl::{ClientExchange, SaslError};
use virt_transport::{AuthFile, Target, Transport};
use virt_wire::{Reader, limits, remote};

use crate::driver::ask;

const NONE: i32 = 0;
const SASL: i32 = 1;
const POLKIT: i32 = 2;

/// Limit: turns of an exchange; each mechanism takes a few.
const STEPS_MAX: usize = 16;

pub(crate) fn authenticate(client: &Client, target: &Target, person: Option<&Ask>) -> Result<()> {
    let (wanted, mechanism) = wanted(target)?;
    let types =
        ask(client, remote::AUTH_LIST, &(), |r| r.list(limits::AUTH_TYPE_LIST_MAX, |r| r.i32()))?;
    let kind = match wanted {
        Some(wanted) if types.contains(&wanted) => wanted,
        Some(_) => {
            let name = target.params.get("auth").and_then(|text| text.split('.').next());
            let name = name.unwrap_or_default();
            return Err(failed(format!("requested authentication type {name} rejected")));
        }
        None => types.first().copied().unwrap_or(NONE),
    };
    match kind {
        NONE => Ok(()),
        SASL => sasl(client, target, mechanism, person),
        POLKIT => ask(client, remote::AUTH_POLKIT, &(), |_| Ok(())),
        other => Err(failed(format!("unsupported authentication type {other}"))),
    }
}

fn failed(detail: impl Into<String>) -> Error {
    Error::new(Code::AuthFailed, Origin::Remote, detail)
}

/// What the URI asks for: a kind of authentication, and perhaps the mechanism.
fn wanted(target: &Target) -> Result<(Option<i32>, Option<&str>)> {
    let Some(text) = target.params.get("auth") else { return Ok((None, None)) };
    match text.split_once('.') {
        Some(("sasl", mechanism)) => Ok((Some(SASL), Some(mechanism))),
        _ => match text {
            "sasl" => Ok((Some(SASL), None)),
            "polkit" => Ok((Some(POLKIT), None)),
            other => Err(failed(format!("unknown authentication type {other}"))),
        },
    }
}

fn sasl(
    client: &Client,
    target: &Target,
    mechanism: Option<&str>,
    person: Option<&Ask>,
) -> Result<()> {
    let offered = ask(client, remote::AUTH_SASL_INIT, &(), |r| r.string(limits::STRING_MAX))?;
    let offered = match mechanism {
        Some(wanted) if offered.split(',').any(|one| one == wanted) => wanted.to_owned(),
        Some(wanted) => {
            return Err(failed(format!("SASL mechanism {wanted} not supported by server")));
        }
        None => offered,
    };
    // A password is never said where others can hear it, or may.
    let private = !matches!(target.transport, Transport::Tcp | Transport::Ext);
    let chosen = ClientExchange::choose(&offered, private).map_err(start_failed)?;
    let exchange = if ClientExchange::takes_password(chosen) {
        let credentials = Credentials::find(target, person)?;
        let name = credentials.get("authname", "Please enter your authentication name", true)?;
        let password = credentials.get("password", "Please enter your password", false)?;
        ClientExchange::new(chosen, &name, &password)
    } else {
        ClientExchange::by_ticket(&target.host, private)
    };
    let mut exchange = exchange.map_err(start_failed)?;
    let first = exchange.step(None).map_err(start_failed)?;
    let args = remote::AuthSaslStartArgs {
        mech: exchange.mechanism().to_owned(),
        nil: first.data.is_none().into(),
        data: first.data.unwrap_or_default(),
    };
    let mut said = ask(client, remote::AUTH_SASL_START, &args, said)?;
    for _ in 0..STEPS_MAX {
        let step = exchange.step(said.data()).map_err(step_failed)?;
        if said.complete {
            // Only a daemon that knows the password too, or can read tickets, may go on.
            if !step.complete {
                break;
            }
            exchange.take_layer().into_iter().for_each(|layer| client.seal(layer));
            return Ok(());
        }
        let args = remote::AuthSaslStepArgs {
            nil: step.data.is_none().into(),
            data: step.data.unwrap_or_default(),
        };
        said = ask(client, remote::AUTH_SASL_STEP, &args, self::said)?;
    }
    Err(failed("authentication failed"))
}

fn start_failed(error: SaslError) -> Error {
    failed(format!("Failed to start SASL negotiation: {error}"))
}

fn step_failed(error: SaslError) -> Error {
    failed(format!("Failed to step SASL negotiation: {error}"))
}

/// What the daemon said in a turn.
struct Said {
    complete: bool,
    nil: bool,
    data: Vec<u8>,
}

impl Said {
    fn data(&self) -> Option<&[u8]> {
        (!self.nil).then_some(&self.data)
    }
}

fn said(r: &mut Reader<'_>) -> virt_wire::Result<Said> {
    let (complete, nil) = (r.flag()?, r.flag()?);
    Ok(Said { complete, nil, data: r.octets(limits::AUTH_SASL_DATA_MAX)? })
}

/// Where names and passwords come from: the file for this host, then the person.
struct Credentials<'a> {
    file: Option<AuthFile>,
    host: &'a str,
    user: Option<&'a str>,
    person: Option<&'a Ask>,
}

impl<'a> Credentials<'a> {
    fn find(target: &'a Target, person: Option<&'a Ask>) -> Result<Self> {
        let file = AuthFile::find(target.params.get("authfile"))?;
        let user = target.user.as_deref();
        Ok(Self { file, host: &target.host, user, person })
    }

    fn get(&self, name: &str, prompt: &str, echo: bool) -> Result<String> {
        if let Some(file) = &self.file
            && let Some(value) = file.get("libvirt", self.host, name)?
        {
            return Ok(value.to_owned());
        }
        if let (true, Some(user)) = (echo, self.user) {
            return Ok(user.to_owned());
        }
        let Some(person) = self.person else {
            return Err(failed("No authentication callback available"));
        };
        let answer = person(&Question { prompt, echo });
        answer.ok_or_else(|| failed("Failed to collect auth credentials"))
    }
}
