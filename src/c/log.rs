//! The library's log for C.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};

use super::pointers::c_text;
use super::status::{Failure, MiniftStatus, call};

/// How much a line of the log matters.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftLogLevel {
    /// Something failed.
    Error = 1,
    /// Something may not be as it was meant to be, such as columns of a file that are not used.
    Warn = 2,
    /// Worth knowing.
    Info = 3,
    /// For whoever looks for a fault.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// Gets a line of the log: its level, the part of the library or of a library below that it comes from,
/// and its text, both valid during the call only. It is called on whichever thread has something to
/// say, several at once, often in the middle of something: it must call no function of this library, and
/// neither throw nor call `longjmp`.
pub type MiniftLogCallback = Option<
    unsafe extern "C" fn(
        level: MiniftLogLevel,
        origin: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// Where lines go.
struct Listener {
    callback: unsafe extern "C" fn(MiniftLogLevel, *const c_char, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the callback may be called from any thread with its data, as the header asks.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

/// The one log of a process: it belongs to the first that asks for it.
static LISTENER: OnceLock<Listener> = OnceLock::new();

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Whoever logs must not fail by it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let (origin, message) = (c_text(record.target()), c_text(&record.args().to_string()));
            let level = match record.level() {
                log::Level::Error => MiniftLogLevel::Error,
                log::Level::Warn => MiniftLogLevel::Warn,
                log::Level::Info => MiniftLogLevel::Info,
                log::Level::Debug => MiniftLogLevel::Debug,
                log::Level::Trace => MiniftLogLevel::Trace,
            };
            // SAFETY: a function of that type, and its own data.
            unsafe { (self.callback)(level, origin.as_ptr(), message.as_ptr(), self.user_data) };
        }));
    }

    fn flush(&self) {}
}

/// Sends the log, of which otherwise nothing is seen, to `callback`, from `most` (a `MiniftLogLevel`) on
/// upwards in weight. `user_data` is handed on to it and must be valid, and usable from any thread, until
/// the process ends. A process has one log: a second call gives `MINIFT_STATUS_IN_USE` and changes
/// nothing, so that no part of a program takes it from another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_log_to(
    callback: MiniftLogCallback,
    user_data: *mut c_void,
    most: i32,
) -> MiniftStatus {
    call(|| {
        let callback = callback.ok_or_else(|| Failure::argument("callback", "is NULL"))?;
        let most = match most {
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            5 => LevelFilter::Trace,
            other => {
                let fault = format!("= {other} is not valid: expected a MiniftLogLevel, 1 to 5");
                return Err(Failure::argument("most", fault));
            }
        };
        let taken = || Failure::new(MiniftStatus::InUse, "this process has a log already");
        let listener = Listener {
            callback,
            user_data,
        };
        LISTENER.set(listener).map_err(|_| taken())?;
        let listener = LISTENER.get().expect("it was set just now");
        // Where the program has Rust of its own, that may have one.
        log::set_logger(listener).map_err(|_| taken())?;
        log::set_max_level(most);
        Ok(())
    })
}
