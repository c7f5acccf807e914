//! Turns panics of the libraries into errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught, so that it needs no message on standard error.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls `work`. The libraries for Parquet and Arrow panic on some damaged files; such a panic is
/// an error of the file. `work` must not be used again after an error.
///
/// The default hook would print a panic before it is caught. Only a hook of the whole process can
/// prevent that, so the first call wraps the present one. It still sees all other panics.
///
/// # Errors
/// Fails as `work` does, or if it panics.
pub(in crate::readers) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                previous(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(false);
    result.unwrap_or_else(|_| Err("its content contradicts itself".to_owned()))
}
