//! UUIDs: 16 bytes, printed with dashes in lower case, read with or without dashes.

use std::fmt;

/// A UUID as the public API carries it: 16 raw bytes in print order.
///
/// ```
/// use virt_types::Uuid;
/// let uuid = Uuid::parse("6695eb01f6a48304 79aa97f2502e193f").unwrap();
/// assert_eq!(uuid.to_string(), "6695eb01-f6a4-8304-79aa-97f2502e193f");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// A random (version 4) UUID from the kernel's generator.
    pub fn random() -> Self {
        let mut bytes = [0_u8; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            // The kernel's generator only fails before it is seeded at boot: then it is asked again.
            filled += rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            )
            .unwrap_or(0);
        }
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads 32 hexadecimal digits.
    ///
    /// Compat: dashes and spaces may stand anywhere between the bytes, and white space around them.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 16];
        let mut digits = text.trim().chars().peekable();
        for byte in &mut bytes {
            while digits.next_if(|c| matches!(c, '-' | ' ')).is_some() {}
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// Whether all bytes are the same, which a domain's UUID may not be.
    pub fn is_uniform(&self) -> bool {
        self.0.iter().all(|byte| *byte == self.0[0])
    }

    /// Whether all bytes are zero.
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn reads_with_and_without_dashes_and_nothing_else() {
        let plain = Uuid::parse("6695eb01f6a4830479aa97f2502e193f");
        assert!(plain.is_some());
        assert_eq!(plain, Uuid::parse(" 6695eb01-f6a4-8304-79aa-97f2502e193f\n"));
        for bad in [
            "",
            "6695eb01",
            "6695eb01f6a4830479aa97f2502e193f0",
            "g695eb01f6a4830479aa97f2502e193f",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn random_ones_differ() {
        assert_ne!(Uuid::random(), Uuid::random());
    }
}
