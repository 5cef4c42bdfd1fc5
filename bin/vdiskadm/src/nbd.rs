//! The server's side of the network block device protocol, for one client that is not trusted.

use std::io::{Error, ErrorKind, Read, Result, Write};

/// What is served.
pub(crate) trait Backend {
    fn size_bytes(&self) -> u64;
    fn is_writable(&self) -> bool;
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()>;
    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()>;
    fn flush(&mut self) -> Result<()>;
}

/// Limit: the protocol's own for what a client may ask without having asked how much it may.
const REQUEST_BYTES_MAX: u32 = 32 << 20;
/// Limit: options are names of exports.
const OPTION_BYTES_MAX: u32 = 8192;
/// Limit: more options than there are kinds of them mean no good.
const OPTIONS_MAX: usize = 64;

const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_MAGIC: u32 = 0x6744_6698;

/// Options.
const EXPORT_NAME: u32 = 1;
const ABORT: u32 = 2;
const INFO: u32 = 6;
const GO: u32 = 7;
/// Replies to them.
const ACK: u32 = 1;
const EXPORT_FACTS: u32 = 3;
const UNSUPPORTED: u32 = 0x8000_0001;

/// Commands.
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const TRIM: u16 = 4;
const WRITE_ZEROES: u16 = 6;
const FORCE_UNIT_ACCESS: u16 = 1;

/// Errors, as the protocol numbers them.
const IO: u32 = 5;
const INVALID: u32 = 22;
const NOT_PERMITTED: u32 = 1;

fn odd(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

fn number<const N: usize>(client: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Serves until the client goes.
pub(crate) fn serve<C: Read + Write>(client: &mut C, backend: &mut impl Backend) -> Result<()> {
    if !negotiate(client, backend)? {
        return Ok(());
    }
    while let Some(request) = next_request(client)? {
        answer(client, backend, &request)?;
    }
    Ok(())
}

/// What the transmission can do.
fn flags(backend: &impl Backend) -> u16 {
    const HAS_FLAGS: u16 = 1;
    const READ_ONLY: u16 = 2;
    // Flush, forced access, trim and zeroes.
    const WRITING: u16 = 4 | 8 | 32 | 64;
    HAS_FLAGS | if backend.is_writable() { WRITING } else { READ_ONLY }
}

/// Says whether the client wants the disk.
fn negotiate<C: Read + Write>(client: &mut C, backend: &impl Backend) -> Result<bool> {
    const FIXED_NEW_STYLE: u16 = 1;
    const NO_ZEROES: u16 = 2;
    client.write_all(b"NBDMAGIC")?;
    client.write_all(OPTION_MAGIC)?;
    client.write_all(&(FIXED_NEW_STYLE | NO_ZEROES).to_be_bytes())?;
    let asked = u32::from_be_bytes(number(client)?);
    for _ in 0..OPTIONS_MAX {
        if &number::<8>(client)? != OPTION_MAGIC {
            return Err(odd("no option where one is expected"));
        }
        let option = u32::from_be_bytes(number(client)?);
        let length = u32::from_be_bytes(number(client)?);
        if length > OPTION_BYTES_MAX {
            return Err(odd("an option of absurd length"));
        }
        let mut words = vec![0; length as usize];
        client.read_exact(&mut words)?;
        let mut facts = backend.size_bytes().to_be_bytes().to_vec();
        facts.extend(flags(backend).to_be_bytes());
        match option {
            EXPORT_NAME => {
                if asked & u32::from(NO_ZEROES) == 0 {
                    facts.resize(facts.len() + 124, 0);
                }
                client.write_all(&facts)?;
                return Ok(true);
            }
            INFO | GO => {
                let mut told = vec![0, 0];
                told.extend(facts);
                reply(client, option, EXPORT_FACTS, &told)?;
                reply(client, option, ACK, &[])?;
                if option == GO {
                    return Ok(true);
                }
            }
            ABORT => {
                reply(client, option, ACK, &[])?;
                return Ok(false);
            }
            _ => reply(client, option, UNSUPPORTED, &[])?,
        }
    }
    Err(odd("options without end"))
}

fn reply(client: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> Result<()> {
    let mut bytes = REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    client.write_all(&bytes)
}

struct Request {
    flags: u16,
    kind: u16,
    handle: [u8; 8],
    offset: u64,
    length: u32,
    data: Vec<u8>,
}

/// The next request; `None` when the client has gone.
fn next_request(client: &mut impl Read) -> Result<Option<Request>> {
    let magic = match number::<4>(client) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
        read => read?,
    };
    if u32::from_be_bytes(magic) != REQUEST_MAGIC {
        return Err(odd("no request where one is expected"));
    }
    let flags = u16::from_be_bytes(number(client)?);
    let kind = u16::from_be_bytes(number(client)?);
    let handle = number(client)?;
    let offset = u64::from_be_bytes(number(client)?);
    let length = u32::from_be_bytes(number(client)?);
    if matches!(kind, READ | WRITE) && length > REQUEST_BYTES_MAX {
        return Err(odd("a request of absurd length"));
    }
    let mut data = Vec::new();
    if kind == WRITE {
        data.resize(length as usize, 0);
        client.read_exact(&mut data)?;
    }
    match kind {
        DISCONNECT => Ok(None),
        _ => Ok(Some(Request { flags, kind, handle, offset, length, data })),
    }
}

fn answer<C: Read + Write>(
    client: &mut C,
    backend: &mut impl Backend,
    request: &Request,
) -> Result<()> {
    let mut data = Vec::new();
    let code = match carry_out(backend, request, &mut data) {
        Ok(()) => 0,
        Err(code) => {
            data.clear();
            code
        }
    };
    let mut bytes = SIMPLE_MAGIC.to_be_bytes().to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(request.handle);
    client.write_all(&bytes)?;
    client.write_all(&data)
}

/// Does what is asked, or gives the protocol's number for why not.
fn carry_out(
    backend: &mut impl Backend,
    request: &Request,
    data: &mut Vec<u8>,
) -> std::result::Result<(), u32> {
    let length = u64::from(request.length);
    let end = request.offset.checked_add(length);
    let is_inside = end.is_some_and(|end| end <= backend.size_bytes());
    if request.kind != FLUSH && !is_inside {
        return Err(INVALID);
    }
    if matches!(request.kind, WRITE | WRITE_ZEROES | TRIM) && !backend.is_writable() {
        return Err(NOT_PERMITTED);
    }
    let done = match request.kind {
        READ => {
            data.resize(request.length as usize, 0);
            backend.read(request.offset, data)
        }
        WRITE => backend.write(request.offset, &request.data),
        // What is trimmed may read as anything; as zeroes, it takes no room.
        WRITE_ZEROES | TRIM => backend.write_zeroes(request.offset, length),
        FLUSH => backend.flush(),
        _ => return Err(INVALID),
    };
    done.and_then(|()| match request.flags & FORCE_UNIT_ACCESS {
        0 => Ok(()),
        _ => backend.flush(),
    })
    .map_err(|_| IO)
}
