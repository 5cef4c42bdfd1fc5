//! Ctrl-C while a command waits: noticed instead of deadly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::SIGINT;
use signal_hook::flag::{register, register_conditional_default};

/// What the signal's handler looks at and sets.
struct Flags {
    /// Nobody waits: Ctrl-C ends the program, as it does without any handler.
    deadly: Arc<AtomicBool>,
    pressed: Arc<AtomicBool>,
}

fn flags() -> &'static Flags {
    static FLAGS: OnceLock<Flags> = OnceLock::new();
    FLAGS.get_or_init(|| {
        let deadly = Arc::new(AtomicBool::new(true));
        let pressed = Arc::new(AtomicBool::new(false));
        // Where the system takes no handler, Ctrl-C stays deadly.
        let _ = register_conditional_default(SIGINT, Arc::clone(&deadly));
        let _ = register(SIGINT, Arc::clone(&pressed));
        Flags { deadly, pressed }
    })
}

/// Ctrl-C is noticed for as long as this is there.
pub(crate) struct Watched(());

impl Watched {
    pub(crate) fn new() -> Self {
        let flags = flags();
        flags.pressed.store(false, Ordering::Release);
        flags.deadly.store(false, Ordering::Release);
        Self(())
    }

    /// Whether Ctrl-C was pressed since this was made.
    pub(crate) fn pressed(&self) -> bool {
        flags().pressed.load(Ordering::Acquire)
    }

    /// The same; a press counts once.
    pub(crate) fn take(&self) -> bool {
        flags().pressed.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        flags().deadly.store(true, Ordering::Release);
    }
}
