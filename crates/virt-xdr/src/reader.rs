//! Reads XDR values from bytes that may be hostile.

use crate::XdrError;

/// A cursor over the bytes of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    offset: usize,
}

type Result<T> = std::result::Result<T, XdrError>;

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, offset: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.data.len().saturating_sub(self.offset)
    }

    /// All bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.offset..).unwrap_or_default()
    }

    /// Checks that everything was read.
    pub fn end(&self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(XdrError::TrailingBytes { offset: self.offset, left }),
        }
    }

    fn take(&mut self, wanted: usize) -> Result<&'a [u8]> {
        let short = XdrError::Short { offset: self.offset, wanted, left: self.left() };
        let end = self.offset.checked_add(wanted).ok_or_else(|| short.clone())?;
        let taken = self.data.get(self.offset..end).ok_or(short)?;
        self.offset = end;
        Ok(taken)
    }

    /// Exactly `N` bytes and their padding, no length.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        self.skip_padding(N)?;
        Ok(bytes)
    }

    fn skip_padding(&mut self, length: usize) -> Result<()> {
        self.take(length.wrapping_neg() % 4).map(|_| ())
    }

    pub fn u32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64> {
        self.fixed().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.fixed().map(i64::from_be_bytes)
    }

    pub fn f64(&mut self) -> Result<f64> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// A number of 8 or 16 bits, which takes a whole word.
    pub fn small<T: TryFrom<i64>>(&mut self) -> Result<T> {
        let offset = self.offset;
        let number = i64::from(self.i32()?);
        T::try_from(number).map_err(|_| XdrError::OutOfRange { offset, number })
    }

    /// A truth value. Compat: any non-zero word is true; go-libvirt sends 0x01000000.
    pub fn flag(&mut self) -> Result<bool> {
        self.u32().map(|word| word != 0)
    }

    fn length(&mut self, max: usize) -> Result<usize> {
        let offset = self.offset;
        let length = self.u32()?;
        match usize::try_from(length) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(XdrError::TooLong { offset, length: length.into(), max }),
        }
    }

    fn slice(&mut self, max: usize) -> Result<&'a [u8]> {
        let length = self.length(max)?;
        let bytes = self.take(length)?;
        self.skip_padding(length)?;
        Ok(bytes)
    }

    /// Counted bytes.
    pub fn bytes(&mut self, max: usize) -> Result<Vec<u8>> {
        self.slice(max).map(<[u8]>::to_vec)
    }

    /// Counted UTF-8 text without a NUL, borrowed.
    pub fn str(&mut self, max: usize) -> Result<&'a str> {
        let offset = self.offset;
        let bytes = self.slice(max)?;
        match std::str::from_utf8(bytes) {
            Ok(text) if !bytes.contains(&0) => Ok(text),
            _ => Err(XdrError::BadText { offset }),
        }
    }

    /// Counted UTF-8 text without a NUL.
    pub fn string(&mut self, max: usize) -> Result<String> {
        self.str(max).map(str::to_owned)
    }

    /// Counted bytes that take one word each.
    pub fn octets(&mut self, max: usize) -> Result<Vec<u8>> {
        self.list(max, Self::octet)
    }

    fn octet(&mut self) -> Result<u8> {
        // The word holds a C `char`, sign-extended or not: its low byte is the value.
        self.u32().map(|word| word.to_be_bytes()[3])
    }

    /// Counted text with one word per character.
    pub fn chars(&mut self, max: usize) -> Result<String> {
        self.octets(max).map(|bytes| String::from_utf8_lossy(until_nul(&bytes)).into_owned())
    }

    /// Text of exactly `count` words, ended by a NUL where it is shorter.
    pub fn chars_fixed(&mut self, count: usize) -> Result<String> {
        let bytes: Vec<u8> = (0..count).map(|_| self.octet()).collect::<Result<_>>()?;
        Ok(String::from_utf8_lossy(until_nul(&bytes)).into_owned())
    }

    /// A counted list. Every element takes at least one word, which bounds the allocation.
    pub fn list<T>(
        &mut self,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        const WORD_BYTES: usize = 4;
        let count = self.length(max)?;
        let least = count.saturating_mul(WORD_BYTES);
        if least > self.left() {
            return Err(XdrError::Short { offset: self.offset, wanted: least, left: self.left() });
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    /// A value behind a word that says whether it is there.
    pub fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.flag()? { value(self).map(Some) } else { Ok(None) }
    }

    /// An error for a discriminant that was just read.
    pub fn bad_union(&self, number: i32) -> XdrError {
        XdrError::BadUnion { offset: self.offset, number }
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
