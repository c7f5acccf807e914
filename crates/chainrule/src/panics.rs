//! Converts panics of dependencies into errors.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

/// Runs `f` and returns the message of a panic as an error. Nothing is printed.
pub fn catch_panic<T>(f: impl FnOnce() -> T) -> Result<T, PanicMessage> {
    // The panic hook is global. Without the lock, one of two concurrent calls could restore the
    // other's silent hook.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(f));
    set_hook(hook);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned();
        PanicMessage(message)
    })
}

/// The message of a panic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PanicMessage(pub String);
