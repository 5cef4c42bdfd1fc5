//! XDR reader and writer that check every limit before they allocate; no I/O.
//!
//! RFC 4506: big endian, every item padded with zero bytes to a multiple of four. Lengths come from
//! outside, so a count is checked against its limit *and* against the bytes that are really there
//! before anything is allocated. What is read from this crate never panics.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// Why bytes are not the value that was expected, or a value does not fit its description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XdrError {
    #[error("{wanted} bytes expected at offset {offset}, {left} left")]
    Short { offset: usize, wanted: usize, left: usize },
    #[error("length {length} at offset {offset} is above the limit {max}")]
    TooLong { offset: usize, length: u64, max: usize },
    #[error("text at offset {offset} is not UTF-8 or holds a NUL")]
    BadText { offset: usize },
    #[error("number {number} at offset {offset} does not fit its type")]
    OutOfRange { offset: usize, number: i64 },
    #[error("unknown discriminant {number} at offset {offset}")]
    BadUnion { offset: usize, number: i32 },
    #[error("{left} bytes left over after offset {offset}")]
    TrailingBytes { offset: usize, left: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut w = Writer::new();
        w.i32(-2);
        w.u64(1 << 40);
        w.f64(1.5);
        w.flag(true);
        w.string("héllo", 16).unwrap();
        w.bytes(&[1, 2, 3], 3).unwrap();
        w.chars_fixed("i686", 8);
        w.octets(b"ab", 2).unwrap();
        let bytes = w.into_vec();
        assert_eq!(bytes.len() % 4, 0);
        let mut r = Reader::new(&bytes);
        assert_eq!(r.i32(), Ok(-2));
        assert_eq!(r.u64(), Ok(1 << 40));
        assert_eq!(r.f64(), Ok(1.5));
        assert_eq!(r.flag(), Ok(true));
        assert_eq!(r.string(16).as_deref(), Ok("héllo"));
        assert_eq!(r.bytes(3), Ok(vec![1, 2, 3]));
        assert_eq!(r.chars_fixed(8).as_deref(), Ok("i686"));
        assert_eq!(r.octets(2), Ok(b"ab".to_vec()));
        assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn lengths_are_checked_before_allocation() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert!(matches!(Reader::new(&huge).string(4_194_304), Err(XdrError::TooLong { .. })));
        assert!(matches!(Reader::new(&huge).bytes(usize::MAX), Err(XdrError::Short { .. })));
        let list = Reader::new(&[0, 0, 0x40, 0, 0, 0, 0, 1]).list(65536, |r| r.u32());
        assert!(matches!(list, Err(XdrError::Short { .. })));
    }

    #[test]
    fn any_non_zero_word_is_true() {
        assert_eq!(Reader::new(&[1, 0, 0, 0]).flag(), Ok(true));
    }

    #[test]
    fn text_with_a_nul_is_refused() {
        assert!(Reader::new(&[0, 0, 0, 2, b'a', 0, 0, 0]).string(10).is_err());
    }
}
