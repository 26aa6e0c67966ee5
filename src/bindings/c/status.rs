//! Statuses, error messages, and the barrier that panics do not cross.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::strings::c_string;
use crate::error::Error;

/// Result of a call. Later versions may add statuses: treat unknown ones as failures.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftStatus {
    /// Success.
    Ok = 0,
    /// An invalid argument: NULL where it is not allowed, text that is not UTF-8, or a setting that
    /// is unknown or out of range.
    InvalidArgument = 1,
    /// A file or folder could not be read or written.
    Io = 2,
    /// An invalid or unsupported model or adapter.
    Model = 3,
    /// The data is malformed, or holds no samples or too few.
    Data = 4,
    /// The device is unavailable or failed.
    Device = 5,
    /// The loss is NaN or infinite: lower the learning rate. The run keeps the state of the
    /// previous step.
    NonFiniteLoss = 6,
    /// The run was cancelled.
    Cancelled = 7,
    /// The output folder, or the log, is in use by another process or another part of this one.
    InUse = 8,
    /// The run is in another call, on another thread or further up the stack in one of its
    /// callbacks.
    Busy = 9,
    /// The output already exists.
    OutputExists = 10,
    /// The checkpoint is damaged or does not match the run.
    Checkpoint = 11,
    /// The run is not finished yet.
    NotFinished = 12,
    /// A bug in the library. Handles can still be freed; a run that was affected returns this
    /// status from every further call.
    Panic = 13,
}

/// Status and message of a failed call.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: MiniftStatus,
    pub message: String,
}

/// The result of a function body.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(super) fn new(status: MiniftStatus, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    /// Returns the failure for an invalid argument.
    pub(super) fn argument(name: &str, fault: impl std::fmt::Display) -> Self {
        Self::new(MiniftStatus::InvalidArgument, format!("{name} {fault}"))
    }

    /// Returns the failure for a caught panic.
    fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!(
            "internal error in minift: {}",
            text.unwrap_or("panic without a message")
        );
        Self::new(MiniftStatus::Panic, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::InvalidSetting { .. } | Error::Recipe { .. } => MiniftStatus::InvalidArgument,
            Error::Io { .. }
            | Error::TeacherStates { .. }
            | Error::HubUnreachable { .. }
            | Error::HubNotFound { .. }
            | Error::HubDenied { .. }
            | Error::HubInterrupted { .. }
            | Error::Hub { .. } => MiniftStatus::Io,
            Error::MissingFile { .. }
            | Error::Config { .. }
            | Error::UnsupportedArchitecture { .. }
            | Error::Weights { .. }
            | Error::Parse { .. }
            | Error::MissingTensors { .. }
            | Error::UnexpectedTensors { .. }
            | Error::TensorShape { .. }
            | Error::TensorType { .. }
            | Error::NonFiniteWeight { .. }
            | Error::Tokenizer { .. }
            | Error::TokenBeyondVocabulary { .. }
            | Error::ChatTemplate { .. }
            | Error::Adapter { .. } => MiniftStatus::Model,
            Error::DataLine { .. }
            | Error::DataFile { .. }
            | Error::UnknownDataFormat { .. }
            | Error::NoSamples { .. }
            | Error::TooFewSamples { .. } => MiniftStatus::Data,
            Error::Device { .. } | Error::Rank { .. } => MiniftStatus::Device,
            Error::NonFiniteLoss { .. } => MiniftStatus::NonFiniteLoss,
            Error::InUse { .. } => MiniftStatus::InUse,
            Error::StepInFlight => MiniftStatus::Busy,
            Error::OutputExists { .. } => MiniftStatus::OutputExists,
            Error::Checkpoint { .. } => MiniftStatus::Checkpoint,
        };
        Self::new(status, error.report())
    }
}

thread_local! {
    /// Message of the last failed call on this thread.
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Returns the message of the last failed call on this thread, in English, or NULL if none has
/// failed. Valid until another call on this thread fails or the thread exits; do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn minift_last_error() -> *const c_char {
    let message = LAST.try_with(|last| last.borrow().as_ref().map(|text| text.as_ptr()));
    message.ok().flatten().unwrap_or(std::ptr::null())
}

/// Runs the body of a function that returns a status.
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> MiniftStatus {
    // Unwind safe: a panic poisons the lock of a `MiniftRun`, and everything else is immutable.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return MiniftStatus::Ok,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure::panic(&*payload),
    };
    let message = c_string(&failure.message);
    // Fails only during thread teardown.
    let _ = LAST.try_with(|last| last.replace(Some(message)));
    failure.status
}

/// Runs the body of a function that returns a value, which is `default` on failure.
pub(super) fn value<T>(default: T, body: impl FnOnce() -> Result<T>) -> T {
    let mut found = None;
    call(|| {
        found = Some(body()?);
        Ok(())
    });
    found.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        let message = minift_last_error();
        assert!(!message.is_null());
        // SAFETY: a string of this thread, which no call replaces meanwhile.
        unsafe { CStr::from_ptr(message) }
            .to_string_lossy()
            .into_owned()
    }

    #[test]
    fn panics_become_statuses_with_their_message() {
        assert!(minift_last_error().is_null());
        assert_eq!(call(|| panic!("invalid {}", "state")), MiniftStatus::Panic);
        assert_eq!(last(), "internal error in minift: invalid state");
        let status = call(|| std::panic::panic_any(3_u8));
        assert_eq!(status, MiniftStatus::Panic);
        assert_eq!(last(), "internal error in minift: panic without a message");
        assert_eq!(value(7, || panic!("again")), 7);
        assert_eq!(last(), "internal error in minift: again");
    }

    #[test]
    fn messages_are_per_thread() {
        assert_eq!(
            call(|| Err(Failure::argument("model", "is NULL"))),
            MiniftStatus::InvalidArgument
        );
        assert_eq!(call(|| Ok(())), MiniftStatus::Ok);
        let other = std::thread::spawn(|| minift_last_error().is_null());
        assert!(other.join().expect("the thread does not panic"));
        assert_eq!(last(), "model is NULL");
        let with_nul = call(|| Err(Failure::argument("text\0", "ends early")));
        assert_eq!(with_nul, MiniftStatus::InvalidArgument);
        assert_eq!(last(), "text\u{fffd} ends early");
    }
}
