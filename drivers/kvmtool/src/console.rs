//! A console's input on its way to the tool, whose own key would end the guest.
//!
//! Ctrl-A is that key: with `x` after it the tool ends. Typed twice it is one for the guest, but on a
//! serial console only when the two come apart; what comes after them otherwise lands on another port.
//! So on a virtio console each is doubled, and on a serial one it does not reach the guest.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use virt_driver::{Received, Stream};
use virt_error::Result;

const KEY: u8 = 0x01;

/// A console's stream without the tool's key.
pub(crate) struct Escaped {
    inner: Arc<dyn Stream>,
    serial: bool,
    /// The second half of a pair, for which there was no room.
    owed: AtomicBool,
}

impl Escaped {
    pub(crate) fn new(inner: Arc<dyn Stream>, serial: bool) -> Self {
        Self { inner, serial, owed: AtomicBool::new(false) }
    }
}

impl Stream for Escaped {
    fn recv(&self, buffer: &mut [u8]) -> Result<Received> {
        self.inner.recv(buffer)
    }

    fn send(&self, data: &[u8]) -> Result<usize> {
        if self.owed.load(Ordering::Acquire) {
            if self.inner.send(&[KEY])? == 0 {
                return Ok(0);
            }
            self.owed.store(false, Ordering::Release);
        }
        match data.split(|byte| *byte == KEY).next() {
            Some([]) if data.is_empty() => Ok(0),
            // Order: what stands before the key first; the key comes first in the next call.
            Some(before) if !before.is_empty() => self.inner.send(before),
            _ if self.serial => Ok(1),
            _ => {
                let sent = self.inner.send(&[KEY, KEY])?;
                self.owed.store(sent == 1, Ordering::Release);
                Ok(sent.min(1))
            }
        }
    }

    fn finish(&self) -> Result<()> {
        self.inner.finish()
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.poll_fd()
    }

    fn on_change(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.inner.on_change(wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<Vec<u8>>);

    impl Stream for Kept {
        fn recv(&self, _: &mut [u8]) -> Result<Received> {
            Ok(Received::End)
        }

        fn send(&self, data: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().extend_from_slice(data);
            Ok(data.len())
        }

        fn finish(&self) -> Result<()> {
            Ok(())
        }

        fn abort(&self) {}
    }

    fn typed(serial: bool, mut text: &[u8]) -> Vec<u8> {
        let kept = Arc::new(Kept::default());
        let console = Escaped::new(Arc::clone(&kept) as Arc<dyn Stream>, serial);
        while !text.is_empty() {
            text = &text[console.send(text).unwrap()..];
        }
        kept.0.lock().unwrap().clone()
    }

    #[test]
    fn nobody_ends_a_guest_from_its_console_by_accident() {
        assert_eq!(typed(false, b"ab\x01x"), b"ab\x01\x01x");
        assert_eq!(typed(true, b"\x01xab\x01"), b"xab");
        assert_eq!(typed(false, b"\x01\x01"), b"\x01\x01\x01\x01");
    }
}
