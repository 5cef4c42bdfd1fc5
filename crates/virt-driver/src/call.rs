//! One call in progress: on which connection, for whom, with what descriptors, and until when.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use virt_error::{Error, Result};

use crate::{Api, Caller, Connection};

/// What a driver is handed with every call.
///
/// It reaches other families through [`Call::connection`], so that a QEMU start can ask for a
/// network or a secret without naming the driver that has it.
#[derive(Debug)]
pub struct Call<'a> {
    pub connection: &'a Connection,
    pub api: &'static Api,
}

impl Call<'_> {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        self.connection.caller()
    }

    /// Whether the caller went away or gave up; long work looks at it between steps.
    pub fn cancelled(&self) -> bool {
        self.connection.context().is_some_and(|context| context.cancel.is_cancelled())
    }

    /// Descriptors that came with the call; they are handed out once.
    pub fn take_files(&self) -> Vec<OwnedFd> {
        self.connection.context().map(|context| take(&context.files)).unwrap_or_default()
    }

    /// Sends a descriptor back with the answer.
    pub fn reply_file(&self, file: OwnedFd) {
        if let Some(context) = self.connection.context() {
            lock(&context.reply_files).push(file);
        }
    }

    /// Refuses an argument that is 0 where the public function takes none such.
    pub(crate) fn nonzero(&self, given: bool, argument: &str) -> Result<()> {
        if given {
            return Ok(());
        }
        let message = format!("{argument} in {} must not be zero", self.api.name);
        Err(Error::argument(self.api.origin, self.api.name, argument, message))
    }

    /// Runs `wait`, which may last as long as a hypervisor pleases, without holding the place of a
    /// worker that others could use meanwhile.
    pub fn waiting<R>(&self, wait: impl FnOnce() -> R) -> R {
        match self.connection.context() {
            Some(context) => {
                (context.on_wait)(true);
                let result = wait();
                (context.on_wait)(false);
                result
            }
            None => wait(),
        }
    }
}

/// What travels with one call beside its arguments.
pub struct CallContext {
    pub cancel: Cancel,
    pub files: Mutex<Vec<OwnedFd>>,
    pub reply_files: Mutex<Vec<OwnedFd>>,
    /// Told `true` before and `false` after a wait for a hypervisor.
    pub on_wait: fn(bool),
}

impl CallContext {
    pub fn new(files: Vec<OwnedFd>, on_wait: fn(bool)) -> Self {
        Self {
            cancel: Cancel::default(),
            files: Mutex::new(files),
            reply_files: Mutex::new(Vec::new()),
            on_wait,
        }
    }

    /// The descriptors that the driver wants sent with the answer.
    pub fn take_reply_files(&self) -> Vec<OwnedFd> {
        take(&self.reply_files)
    }
}

impl std::fmt::Debug for CallContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallContext").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// A flag that asks a call to end.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *lock(list))
}
