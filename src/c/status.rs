//! How calls end: a status, a message for people, and no panic.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pointers::c_text;
use crate::error::Error;

/// How a call ended. Later versions may have further ones: take an unknown one for a failure.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniftStatus {
    /// As asked.
    Ok = 0,
    /// An argument that cannot be used: NULL where that is not allowed, text that is not UTF-8, a
    /// setting that is not known or out of range.
    InvalidArgument = 1,
    /// A file or folder could not be read or written.
    Io = 2,
    /// A model or an adapter that cannot be used.
    Model = 3,
    /// Texts that cannot be used, or none.
    Data = 4,
    /// The device is not there, or failed.
    Device = 5,
    /// The loss is no longer a number: take a smaller learning rate. The run is as it was after the
    /// step before.
    NonFiniteLoss = 6,
    /// Somebody asked the run to stop.
    Cancelled = 7,
    /// Another process, or another part of this one, has it: the place to write to, or the log.
    InUse = 8,
    /// The run is in another call at the same time, in another thread or because this one is made from
    /// its callback.
    Busy = 9,
    /// Something stands in the place to write to.
    OutputExists = 10,
    /// A checkpoint that the run cannot go on from.
    Checkpoint = 11,
    /// It can be had of a finished run only.
    NotFinished = 12,
    /// A fault in the library itself. Handles can be freed; a run in which it happened ends all further
    /// calls in the same way.
    Panic = 13,
}

/// How and why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: MiniftStatus,
    pub message: String,
}

/// What a body gives.
pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(status: MiniftStatus, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    /// An argument and what is wrong with it.
    pub fn argument(name: &str, fault: impl std::fmt::Display) -> Self {
        Self::new(MiniftStatus::InvalidArgument, format!("{name} {fault}"))
    }

    /// What a panic says.
    fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = format!(
            "a fault in minift: {}",
            text.unwrap_or("of an unknown kind")
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
            Error::Device { .. } => MiniftStatus::Device,
            Error::NonFiniteLoss { .. } => MiniftStatus::NonFiniteLoss,
            Error::InUse { .. } => MiniftStatus::InUse,
            Error::StepUnderWay => MiniftStatus::Busy,
            Error::OutputExists { .. } => MiniftStatus::OutputExists,
            Error::Checkpoint { .. } => MiniftStatus::Checkpoint,
        };
        Self::new(status, error.to_string())
    }
}

thread_local! {
    /// Why the last call of this thread that failed did.
    static LAST: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Why the last call on this thread that failed did, in English; NULL where none has. It is valid
/// until a call on this thread fails again or the thread ends, and is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn minift_last_error() -> *const c_char {
    let message = LAST.try_with(|last| last.borrow().as_ref().map(|text| text.as_ptr()));
    message.ok().flatten().unwrap_or(std::ptr::null())
}

/// Runs the body of a function that gives a status.
pub(super) fn call(body: impl FnOnce() -> Result<()>) -> MiniftStatus {
    // Nothing that a panic leaves half done is seen again: see `run::MiniftRun`; everything else never
    // changes.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return MiniftStatus::Ok,
        Ok(Err(failure)) => failure,
        Err(payload) => Failure::panic(&*payload),
    };
    let message = c_text(&failure.message);
    // Fails only while the thread ends.
    let _ = LAST.try_with(|last| last.replace(Some(message)));
    failure.status
}

/// Runs the body of a function that gives a value, or `otherwise` after a failure.
pub(super) fn value<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    let mut found = None;
    call(|| {
        found = Some(body()?);
        Ok(())
    });
    found.unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    fn last() -> String {
        let message = minift_last_error();
        assert!(!message.is_null());
        // SAFETY: the text of this thread, which no call replaces meanwhile.
        unsafe { CStr::from_ptr(message) }
            .to_string_lossy()
            .into_owned()
    }

    #[test]
    fn panics_are_statuses_with_their_words() {
        assert!(minift_last_error().is_null());
        assert_eq!(
            call(|| panic!("nothing is {}", "right")),
            MiniftStatus::Panic
        );
        assert_eq!(last(), "a fault in minift: nothing is right");
        let ended = call(|| std::panic::panic_any(3_u8));
        assert_eq!(ended, MiniftStatus::Panic);
        assert_eq!(last(), "a fault in minift: of an unknown kind");
        assert_eq!(value(7, || panic!("again")), 7);
        assert_eq!(last(), "a fault in minift: again");
    }

    #[test]
    fn messages_are_of_the_last_failure_of_the_own_thread() {
        assert_eq!(
            call(|| Err(Failure::argument("model", "is NULL"))),
            MiniftStatus::InvalidArgument
        );
        assert_eq!(call(|| Ok(())), MiniftStatus::Ok);
        let other = std::thread::spawn(|| minift_last_error().is_null());
        assert!(other.join().expect("it does not panic"));
        assert_eq!(last(), "model is NULL");
        let hostile = call(|| Err(Failure::argument("text\0", "ends early")));
        assert_eq!(hostile, MiniftStatus::InvalidArgument);
        assert_eq!(last(), "text\u{fffd} ends early");
    }
}
