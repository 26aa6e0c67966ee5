//! Catches panics of dependencies on malformed files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Number of calls of [`guarded`] that this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs code that may panic on a malformed file, and returns the panic's message as an error. The panic is
/// not printed. No state that a panic could leave inconsistent may outlive `work`. (WebAssembly cannot catch
/// panics: there the worker ends, and the page reports it.)
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    silence();
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("inconsistent contents")
            .to_string()
    })
}

/// Counts a call of [`guarded`] until it is dropped.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Puts a hook before the process's panic hook, once: it passes on every panic but those that are caught
/// here.
fn silence() {
    static ONCE: Once = Once::new();
    // A panic that ends the process must be reported. A hook cannot be replaced during a panic.
    if cfg!(not(panic = "unwind")) || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Thread-local values are gone while a thread ends.
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                previous(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_thread_goes_on() {
        let nested = || {
            assert_eq!(
                guarded(|| panic!("inner {}", 1)),
                Err::<(), _>("inner 1".to_string())
            );
            panic!("outer")
        };
        assert_eq!(guarded(nested), Err::<(), _>("outer".to_string()));
        assert_eq!(DEPTH.get(), 0);
        assert_eq!(guarded(|| 7), Ok(7));
    }

    /// The hook is the process's own, so a process of its own looks at what is printed.
    #[test]
    fn only_caught_panics_are_not_printed() {
        const CHILD: &str = "MINIFT_TEST_GUARD";
        if std::env::var_os(CHILD).is_some() {
            assert!(guarded(|| panic!("a caught panic")).is_err());
            let other = std::thread::spawn(|| panic!("another thread's panic"));
            assert!(guarded(|| other.join()).is_ok_and(|joined| joined.is_err()));
            assert!(catch_unwind(|| panic!("a panic outside")).is_err());
            return;
        }
        let name = "text::guard::tests::only_caught_panics_are_not_printed";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{printed}");
        assert!(!printed.contains("a caught panic"), "{printed}");
        assert!(printed.contains("another thread's panic"), "{printed}");
        assert!(printed.contains("a panic outside"), "{printed}");
    }
}
