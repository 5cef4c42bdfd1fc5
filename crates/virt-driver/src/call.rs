//! One call in progress: on which connection, for whom, with what descriptors, and until when.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use virt_error::{Code, Error, Result};

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

    /// Why a call ends that nobody waits for any more. Nobody but the log hears it.
    pub fn given_up(&self) -> Error {
        Error::new(Code::OperationAborted, self.api.origin, "the caller has gone")
    }

    /// Leaves something to be done when the caller goes while the call is at work: it ends what
    /// another program does for the call. It may wait.
    pub fn on_cancel(&self, act: impl FnOnce() + Send + 'static) {
        if let Some(context) = self.connection.context() {
            context.cancel.then(Box::new(act));
        }
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

/// Asks a call to end.
#[derive(Default)]
pub struct Cancel {
    asked: AtomicBool,
    acts: Mutex<Vec<Act>>,
}

type Act = Box<dyn FnOnce() + Send>;

impl Cancel {
    /// Marks the call, and does what was left to be done then: that may wait.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::SeqCst);
        take(&self.acts).into_iter().for_each(|act| act());
    }

    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Order: the act is there before the mark is looked at, and [`Cancel::cancel`] does it the other
    /// way round; so one of the two does it.
    fn then(&self, act: Act) {
        lock(&self.acts).push(act);
        if self.asked.load(Ordering::SeqCst) {
            take(&self.acts).into_iter().for_each(|act| act());
        }
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *lock(list))
}
