//! Log messages of the library.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use log::{LevelFilter, Log, Metadata, Record};

use super::status::{Failure, MiniftStatus, call};
use super::strings::c_string;

/// Severity of a log message.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftLogLevel {
    /// An operation failed.
    Error = 1,
    /// Something looks unintended, such as unused columns of a data file.
    Warn = 2,
    /// Informational messages.
    Info = 3,
    /// Messages for debugging.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// Receives a log message: its level, the module that emitted it (of this library or of one of its
/// dependencies), and its text. Both strings are valid during the call only.
///
/// Called on any thread, concurrently, and possibly while locks are held: the callback must not
/// call functions of this library, throw, or call `longjmp`.
pub type MiniftLogCallback = Option<
    unsafe extern "C" fn(
        level: MiniftLogLevel,
        origin: *const c_char,
        message: *const c_char,
        user_data: *mut c_void,
    ),
>;

/// The callback that receives log messages.
struct Listener {
    callback: unsafe extern "C" fn(MiniftLogLevel, *const c_char, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the header requires a callback and `user_data` that any thread may use.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

/// The log callback of the process. The first caller of `minift_log_to` sets it.
static LISTENER: OnceLock<Listener> = OnceLock::new();

impl Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // A failing callback must not fail the code that logs.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let (origin, message) = (
                c_string(record.target()),
                c_string(&record.args().to_string()),
            );
            let level = match record.level() {
                log::Level::Error => MiniftLogLevel::Error,
                log::Level::Warn => MiniftLogLevel::Warn,
                log::Level::Info => MiniftLogLevel::Info,
                log::Level::Debug => MiniftLogLevel::Debug,
                log::Level::Trace => MiniftLogLevel::Trace,
            };
            // SAFETY: a callback of this type with its own `user_data`.
            unsafe { (self.callback)(level, origin.as_ptr(), message.as_ptr(), self.user_data) };
        }));
    }

    fn flush(&self) {}
}

/// Sends log messages up to `max_level`, a `MiniftLogLevel`, to `callback`. Without a callback they
/// are discarded. `user_data` is passed to `callback` and must be usable from any thread until the
/// process exits.
///
/// A process has one logger: a second call returns `MINIFT_STATUS_IN_USE` and changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_log_to(
    callback: MiniftLogCallback,
    user_data: *mut c_void,
    max_level: i32,
) -> MiniftStatus {
    call(|| {
        let callback = callback.ok_or_else(|| Failure::argument("callback", "is NULL"))?;
        let max_level = match max_level {
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            5 => LevelFilter::Trace,
            other => {
                let fault = format!("= {other} is out of range: expected a MiniftLogLevel, 1 to 5");
                return Err(Failure::argument("max_level", fault));
            }
        };
        let taken = || Failure::new(MiniftStatus::InUse, "this process already has a logger");
        let listener = Listener {
            callback,
            user_data,
        };
        LISTENER.set(listener).map_err(|_| taken())?;
        let listener = LISTENER.get().expect("the listener was just set");
        // Rust code of the host program may have installed its own logger.
        log::set_logger(listener).map_err(|_| taken())?;
        log::set_max_level(max_level);
        Ok(())
    })
}
