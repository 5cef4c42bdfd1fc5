//! GSSAPI, as RFC 4752 has it: a Kerberos ticket shows who somebody is, and seals what they say then.
//!
//! ```text
//!   client ── tokens of the context ──▶ daemon      until it stands on both sides
//!   client ◀── which layers may be ──── daemon      both wrapped, so nobody between
//!   client ── the one it wants ───────▶ daemon      can choose for them
//! ```
//!
//! Tickets, keys and all cryptography are the system's Kerberos library, which is told where they are
//! as always: `KRB5_CONFIG`, `KRB5CCNAME`, `KRB5_KTNAME`.

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_USER_NAME, OidSet};

use super::layer::{PIECE_BYTES_MAX, Seal};
use super::{Layer, SaslError, Step};

/// Compat: daemons have keys of this service, whatever they are called.
const SERVICE: &str = "libvirt";

/// The layers, as an exchange has them: a bit for each.
const NO_LAYER: u8 = 1;
const ENCRYPTION: u8 = 4;

fn failed(error: Error) -> SaslError {
    SaslError::Exchange(error.to_string())
}

fn exchange(why: &str) -> SaslError {
    SaslError::Exchange(why.to_owned())
}

fn credentials(name: Option<&Name>, usage: CredUsage) -> Result<Cred, SaslError> {
    let mut kerberos = OidSet::new();
    kerberos.add(GSS_MECH_KRB5).map_err(failed)?;
    Cred::acquire(name, None, usage, Some(&kerberos)).map_err(failed)
}

/// Whether there is a ticket to show.
pub(super) fn has_ticket() -> bool {
    credentials(None, CredUsage::Initiate).is_ok()
}

/// The key of this host's service, whatever the host is called.
fn key() -> Result<Cred, SaslError> {
    let service = Name::new(SERVICE.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(failed)?;
    credentials(Some(&service), CredUsage::Accept)
}

/// Whether tickets can be read here.
pub(super) fn has_key() -> bool {
    key().is_ok()
}

/// What is to be agreed upon: encryption where the way has none.
fn wanted_layer(private: bool) -> u8 {
    if private { NO_LAYER } else { ENCRYPTION }
}

/// Whether what stands is as good as what is to be agreed upon.
fn check(flags: CtxFlags, private: bool) -> Result<(), SaslError> {
    let sealing = CtxFlags::GSS_C_CONF_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
    let needed = CtxFlags::GSS_C_MUTUAL_FLAG | if private { CtxFlags::empty() } else { sealing };
    if flags.contains(needed) { Ok(()) } else { Err(exchange("the context does not encrypt")) }
}

/// A layer, and the longest sealed piece that whoever says it takes.
fn say_layer(layer: u8) -> [u8; 4] {
    let most = if layer == NO_LAYER { 0 } else { PIECE_BYTES_MAX };
    let [_, a, b, c] = u32::try_from(most).unwrap_or(0).to_be_bytes();
    [layer, a, b, c]
}

/// Layers, the longest piece, and what comes behind.
fn read_layer(said: &[u8]) -> Result<(u8, usize, &[u8]), SaslError> {
    let Some(([layers, a, b, c], rest)) = said.split_first_chunk() else {
        return Err(exchange("no choice of layers"));
    };
    let most = u32::from_be_bytes([0, *a, *b, *c]);
    Ok((*layers, usize::try_from(most).unwrap_or(0), rest))
}

struct Sealed<C>(C);

impl<C: SecurityContext + Send> Seal for Sealed<C> {
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, SaslError> {
        self.0.wrap(true, plain).map(|sealed| sealed.to_vec()).map_err(failed)
    }

    fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, SaslError> {
        self.0.unwrap(sealed).map(|plain| plain.to_vec()).map_err(failed)
    }
}

fn layer<C>(context: C, layer: u8, piece_bytes_max: usize) -> Result<Option<Layer>, SaslError>
where
    C: SecurityContext + Send + 'static,
{
    if layer == NO_LAYER {
        return Ok(None);
    }
    let made = Layer::new(Box::new(Sealed(context)), piece_bytes_max);
    made.map(Some).ok_or_else(|| exchange("the other side takes too little at once"))
}

enum Stage<C> {
    /// Tokens go to and fro.
    Begun(C),
    /// The context stands here; which layers may be is to be said, or heard, next.
    Stands(C),
    /// The daemon waits for the choice.
    Asked(C),
    Over,
}

/// The daemon's side.
pub(super) struct Server {
    stage: Stage<ServerCtx>,
    private: bool,
    pub(super) user: Option<String>,
    pub(super) layer: Option<Layer>,
}

impl Server {
    pub(super) fn new(private: bool) -> Result<Self, SaslError> {
        let stage = Stage::Begun(ServerCtx::new(Some(key()?)));
        Ok(Self { stage, private, user: None, layer: None })
    }

    pub(super) fn step(&mut self, data: &[u8]) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Begun(mut context) => {
                let token = context.step(data, None).map_err(failed)?;
                match (context.is_complete(), token) {
                    (true, None) => self.ask(context),
                    (stands, token) => {
                        let stage = if stands { Stage::Stands } else { Stage::Begun };
                        self.stage = stage(context);
                        Ok(Step { data: token.map(|token| token.to_vec()), complete: false })
                    }
                }
            }
            Stage::Stands(context) => self.ask(context),
            Stage::Asked(context) => self.finish(context, data),
            Stage::Over => Err(exchange("nothing more is to be said")),
        }
    }

    fn ask(&mut self, mut context: ServerCtx) -> Result<Step, SaslError> {
        check(context.flags().map_err(failed)?, self.private)?;
        let layers = say_layer(wanted_layer(self.private));
        let data = context.wrap(false, &layers).map_err(failed)?.to_vec();
        self.stage = Stage::Asked(context);
        Ok(Step { data: Some(data), complete: false })
    }

    fn finish(&mut self, mut context: ServerCtx, data: &[u8]) -> Result<Step, SaslError> {
        let said = context.unwrap(data).map_err(failed)?;
        let (chosen, piece_bytes_max, for_whom) = read_layer(&said)?;
        if chosen != wanted_layer(self.private) {
            return Err(exchange("a layer that was not offered"));
        }
        let (principal, user) = who(&context)?;
        // Nobody may act for somebody else.
        if ![&b""[..], principal.as_bytes(), user.as_bytes()].contains(&for_whom) {
            return Err(SaslError::Refused);
        }
        self.layer = layer(context, chosen, piece_bytes_max)?;
        self.user = Some(user);
        Ok(Step { data: None, complete: true })
    }
}

/// Who holds the ticket: the principal, and as a user of this host.
///
/// Compat: users of the host's own realm have no realm in their names.
fn who(context: &ServerCtx) -> Result<(String, String), SaslError> {
    let text = |name: &Name| {
        let shown = name.display_name().map_err(failed)?;
        std::str::from_utf8(&shown).map(str::to_owned).map_err(|_| exchange("an odd name"))
    };
    let principal = text(&context.source_name().map_err(failed)?)?;
    let short = principal.split_once('@').map_or("", |(short, _)| short);
    let here = Name::new(short.as_bytes(), Some(GSS_NT_USER_NAME))
        .and_then(|name| name.canonicalize(Some(GSS_MECH_KRB5)));
    let is_here = here.is_ok_and(|here| text(&here).is_ok_and(|here| here == principal));
    let user = if is_here { short.to_owned() } else { principal.clone() };
    Ok((principal, user))
}

/// The client's side.
pub(super) struct Client {
    stage: Stage<ClientCtx>,
    private: bool,
    pub(super) layer: Option<Layer>,
}

impl Client {
    /// One for the daemon of this host.
    pub(super) fn new(host: &str, private: bool) -> Result<Self, SaslError> {
        let target = format!("{SERVICE}@{host}");
        let target = Name::new(target.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE));
        let flags = CtxFlags::GSS_C_MUTUAL_FLAG
            | CtxFlags::GSS_C_SEQUENCE_FLAG
            | CtxFlags::GSS_C_REPLAY_FLAG
            | CtxFlags::GSS_C_INTEG_FLAG
            | CtxFlags::GSS_C_CONF_FLAG;
        let ticket = credentials(None, CredUsage::Initiate)?;
        let target = target.map_err(failed)?;
        let context = ClientCtx::new(Some(ticket), target, flags, Some(GSS_MECH_KRB5));
        Ok(Self { stage: Stage::Begun(context), private, layer: None })
    }

    pub(super) fn step(&mut self, data: Option<&[u8]>) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Begun(mut context) => {
                let token = context.step(data, None).map_err(failed)?;
                let stage = if context.is_complete() { Stage::Stands } else { Stage::Begun };
                self.stage = stage(context);
                // Nothing to say is said in no bytes: the daemon waits for its turn.
                let token = token.map(|token| token.to_vec()).unwrap_or_default();
                Ok(Step { data: Some(token), complete: false })
            }
            Stage::Stands(context) => self.choose(context, data.unwrap_or_default()),
            Stage::Asked(_) | Stage::Over => Err(exchange("nothing more is to be said")),
        }
    }

    fn choose(&mut self, mut context: ClientCtx, data: &[u8]) -> Result<Step, SaslError> {
        check(context.flags().map_err(failed)?, self.private)?;
        let said = context.unwrap(data).map_err(failed)?;
        let (offered, piece_bytes_max, _) = read_layer(&said)?;
        let wanted = wanted_layer(self.private);
        if offered & wanted == 0 {
            return Err(exchange("the daemon offers no layer that will do"));
        }
        let data = context.wrap(false, &say_layer(wanted)).map_err(failed)?.to_vec();
        self.layer = layer(context, wanted, piece_bytes_max)?;
        Ok(Step { data: Some(data), complete: true })
    }
}
