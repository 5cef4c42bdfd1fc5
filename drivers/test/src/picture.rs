//! The screenshot of every domain: a test card, painted and packed here.

use std::sync::{Arc, Mutex, PoisonError};

use virt_driver::{Received, Stream};
use virt_error::{Code, Error, Origin, Result};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;

/// Colours of the bars, as red, green and blue.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

/// The picture's type, and a stream of it.
pub(crate) fn screenshot() -> (Option<String>, Arc<dyn Stream>) {
    (Some("image/png".to_owned()), Arc::new(Bytes::new(png())))
}

/// The picture as a PNG file.
fn png() -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(WIDTH.to_be_bytes());
    header.extend(HEIGHT.to_be_bytes());
    // Eight bits a channel, three channels; the only packing, filtering and order there is.
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &zlib(&pixels()));
    chunk(&mut file, *b"IEND", &[]);
    file
}

/// Rows of pixels, each after the number of its filter, which is none.
fn pixels() -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        rows.push(0);
        for x in 0..WIDTH {
            let bar = usize::try_from(x * 8 / WIDTH).unwrap_or(0);
            let colour = BARS.get(bar).copied().unwrap_or_default();
            // The lower quarter fades out.
            let light = if y < HEIGHT * 3 / 4 { 4 } else { (HEIGHT - y) * 16 / HEIGHT };
            rows.extend(
                colour
                    .map(|channel| u8::try_from(u32::from(channel) * light / 4).unwrap_or(u8::MAX)),
            );
        }
    }
    rows
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    file.extend(length.to_be_bytes());
    file.extend(kind);
    file.extend(data);
    let sum = crc(kind.iter().chain(data));
    file.extend(sum.to_be_bytes());
}

/// The checksum of a chunk: CRC-32 as PNG and zip use it.
fn crc<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ POLYNOMIAL }
        })
    })
}

/// A zlib stream of stored blocks: the picture is small, so nothing is squeezed.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler(data).to_be_bytes());
    out
}

fn adler(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65521;
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % MODULUS;
        (a, (b + a) % MODULUS)
    });
    b << 16 | a
}

/// A stream that gives bytes which are all there already.
#[derive(Debug)]
struct Bytes {
    left: Mutex<Vec<u8>>,
}

impl Bytes {
    fn new(bytes: Vec<u8>) -> Self {
        Self { left: Mutex::new(bytes) }
    }
}

impl Stream for Bytes {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let count = buffer.len().min(left.len());
        if left.is_empty() {
            return Ok(Received::End);
        }
        for (slot, byte) in buffer.iter_mut().zip(left.drain(..count)) {
            *slot = byte;
        }
        Ok(if count == 0 { Received::Pending } else { Received::Data(count) })
    }

    fn send(&self, _: &[u8]) -> Result<usize> {
        Err(Error::new(Code::OperationInvalid, Origin::Streams, "stream is read only"))
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn abort(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_known_ones() {
        assert_eq!(crc(b"123456789".iter()), 0xcbf4_3926);
        assert_eq!(adler(b"Wikipedia"), 0x11e6_0398);
        // The end chunk is the same in every file.
        assert!(png().ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82"));
    }

    #[test]
    fn the_stream_gives_the_whole_file_and_ends() {
        let stream = Bytes::new(png());
        let (mut all, mut buffer) = (Vec::<u8>::new(), [0; 1000]);
        while let Received::Data(count) = stream.recv(&mut buffer).unwrap() {
            all.extend(&buffer[..count]);
        }
        assert_eq!(all, png());
        assert_eq!(stream.recv(&mut buffer).unwrap(), Received::End);
    }
}
