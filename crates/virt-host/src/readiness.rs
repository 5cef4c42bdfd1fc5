//! One thread that waits until any of many descriptors is readable, and says which.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, epoll, eventfd};

/// The token of [`Readiness::stop`].
const STOP: u64 = 0;

/// Limit: reports taken from the kernel at once.
const REPORTS_MAX: usize = 64;

/// Descriptors that are waited for, each with a number of its owner's.
#[derive(Debug)]
pub struct Readiness {
    epoll: OwnedFd,
    /// Readable when the thread shall end.
    stop: OwnedFd,
}

impl Readiness {
    fn new() -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let all = Self { epoll, stop };
        all.watch(&all.stop, STOP)?;
        Ok(all)
    }

    /// Waits for a descriptor; `token`, which is not 0, is what is told when it is readable.
    pub fn watch(&self, fd: impl AsFd, token: u64) -> std::io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// Waits for it no more; says whether it was waited for.
    pub fn forget(&self, fd: impl AsFd) -> bool {
        epoll::delete(&self.epoll, fd).is_ok()
    }

    fn run(&self, mut readable: impl FnMut(u64)) {
        let mut reports = Vec::with_capacity(REPORTS_MAX);
        loop {
            reports.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut reports), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            for report in &reports {
                match report.data.u64() {
                    STOP => return,
                    token => readable(token),
                }
            }
        }
    }
}

/// The thread. It begins with the first that asks for it and ends with this value.
#[derive(Debug)]
pub struct ReadinessThread {
    name: &'static str,
    all: Arc<Readiness>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ReadinessThread {
    /// A thread of that name, which does not run yet.
    pub fn new(name: &'static str) -> std::io::Result<Self> {
        Ok(Self { name, all: Arc::new(Readiness::new()?), thread: Mutex::new(None) })
    }

    /// What it waits for.
    pub fn all(&self) -> &Arc<Readiness> {
        &self.all
    }

    /// Lets it run if it does not yet. `readable` hears the token of each readable descriptor, again
    /// and again until that is read or forgotten; a token may still come once after it was forgotten.
    pub fn start(&self, readable: impl FnMut(u64) + Send + 'static) -> std::io::Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let all = Arc::clone(&self.all);
            let builder = std::thread::Builder::new().name(self.name.into());
            *thread = Some(builder.spawn(move || all.run(readable))?);
        }
        Ok(())
    }
}

impl Drop for ReadinessThread {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // An eventfd takes eight bytes unless its counter is full, and then the thread ends as well.
        let _ = rustix::io::write(&self.all.stop, &1_u64.to_ne_bytes());
        // What it tells of may hold the last reference to its owner, and so to this.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_readable_is_told_until_it_is_forgotten_or_the_thread_ends() {
        let thread = ReadinessThread::new("readable").unwrap();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (told, heard) = mpsc::sync_channel(0);
        thread.all().watch(&ours, 7).unwrap();
        theirs.write_all(b"x").unwrap();
        // Fails once nobody listens any more.
        thread.start(move |token| told.send(token).unwrap_or_default()).unwrap();
        assert_eq!((heard.recv(), heard.recv()), (Ok(7), Ok(7)));
        assert!(thread.all().forget(&ours));
        assert!(!thread.all().forget(&ours));
        ours.read_exact(&mut [0]).unwrap();
        drop(heard);
        drop(thread);
        assert_eq!(theirs.write(b"y").unwrap(), 1);
    }
}
