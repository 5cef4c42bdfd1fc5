//! Fields of headers, identifiers, and how far a number may go.

/// The bytes of a field. The offset is a constant of a format, inside a header of known size.
pub(crate) fn field<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}

pub(crate) fn le16(header: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(header, at))
}

pub(crate) fn le32(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(header, at))
}

pub(crate) fn le64(header: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(header, at))
}

pub(crate) fn be32(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(header, at))
}

pub(crate) fn be64(header: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(header, at))
}

/// Writes a field of a header that we make.
pub(crate) fn put(header: &mut [u8], at: usize, value: &[u8]) {
    header[at..at + value.len()].copy_from_slice(value);
}

/// Text up to its first zero byte.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// Text cut to fit into `max` bytes, at the end of a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `value` rounded up to a multiple of `unit`; saturates, and is then refused as too large.
pub(crate) fn round_up(value: u64, unit: u64) -> u64 {
    value.div_ceil(unit).saturating_mul(unit)
}

/// Sixteen random bytes in the form of a version 4 UUID.
pub(crate) fn new_uuid() -> [u8; 16] {
    let mut uuid = random::<16>();
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    // The kernel gives up to 256 bytes whole, and never fails once it is up.
    assert_eq!(got, Ok(N), "the kernel has no random bytes");
    bytes
}

/// A UUID as it is written, from bytes in the order of the text.
pub(crate) fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
