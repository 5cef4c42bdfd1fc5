//! Something done without any rights, in a test that may be root's.

use rustix::process::{Gid, Uid};

/// The user that owns nothing, on every Linux.
pub(crate) const NOBODY: u32 = 65534;

/// Does something as the user that owns nothing, where the test is root's; else as whoever this is. The rights are
/// those of a thread, which ends with it.
pub fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    let drop_rights = || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_groups(&[]).expect("root may");
            rustix::thread::set_thread_gid(Gid::from_raw(NOBODY)).expect("root may");
            rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).expect("root may");
        }
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            drop_rights();
            act()
        });
        thread.join().expect("it ends")
    })
}
