//! XDR: any sequence of reads on any bytes ends in values or in an error, and nothing read takes
//! more memory than the bytes it was read from allow.

use virt_types::TypedParam;
use virt_wire::{Codec, Reader, Writer, decode_error, encode_error};

/// Steps of one input: more would only repeat.
const STEPS_MAX: usize = 64;

/// The input is a list of steps, one byte each, with its length in front; then the data.
pub(crate) fn check(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let (steps, data) = rest.split_at(usize::from(*count).min(STEPS_MAX).min(rest.len()));
    let mut reader = Reader::new(data);
    for step in steps {
        let before = reader.left();
        let go_on = take(&mut reader, *step, data.len());
        assert!(reader.left() <= before, "a reader goes backwards");
        if !go_on {
            break;
        }
    }
    values(data);
}

/// One read; false if it failed.
fn take(reader: &mut Reader<'_>, step: u8, held: usize) -> bool {
    let max = usize::from(step) << 4;
    match step % 12 {
        0 => reader.u32().is_ok(),
        1 => reader.i64().is_ok(),
        2 => reader.f64().is_ok(),
        3 => reader.flag().is_ok(),
        4 => reader.small::<i8>().is_ok(),
        5 => reader.bytes(max).is_ok_and(|read| fits(read.len(), max, held)),
        6 => reader.string(max).is_ok_and(|read| fits(read.len(), max, held)),
        7 => reader.octets(max).is_ok_and(|read| fits(read.len(), max, held)),
        8 => reader.chars_fixed(max).is_ok_and(|read| fits(read.chars().count(), max, held)),
        9 => reader.list(max, Reader::u32).is_ok_and(|read| fits(read.len(), max, held)),
        10 => reader.optional(Reader::u64).is_ok(),
        _ => reader.fixed::<7>().is_ok(),
    }
}

fn fits(read: usize, max: usize, held: usize) -> bool {
    assert!(read <= max, "a limit is not kept");
    assert!(read <= held, "more was read than there was");
    true
}

/// Values with a form of their own are written back as they were read.
fn values(data: &[u8]) {
    if let Ok(param) = TypedParam::decode(&mut Reader::new(data)) {
        let mut writer = Writer::new();
        param.encode(&mut writer).expect("what was read is within the limits");
        let written = writer.into_vec();
        // Compared as bytes: a number may be none, which is not equal to itself.
        let mut again = Writer::new();
        let read = TypedParam::decode(&mut Reader::new(&written)).expect("what was written");
        read.encode(&mut again).expect("within the limits");
        assert_eq!(written, again.into_vec());
    }
    if let Ok(error) = decode_error(&mut Reader::new(data)) {
        let mut writer = Writer::new();
        encode_error(&error, &mut writer).expect("what was read is within the limits");
        let written = writer.into_vec();
        let read = decode_error(&mut Reader::new(&written)).expect("what was written");
        assert_eq!(read, error);
    }
}
