//! Converts a sequence of items on several threads, in its order.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Builder, Scope};

/// The items that one thread has at a time.
const AT_A_TIME: usize = 2;
/// More threads than these would wait for the one that reads.
const MAX_THREADS: usize = 4;

/// Converts each item that `produce` returns, and calls `consume` with the results in their order.
/// `produce` and `consume` run on this thread; `convert` does, too, if there is one processor.
///
/// # Errors
/// Returns the first error in the order of the items.
pub(crate) fn convert_in_order<A: Send, B: Send>(
    mut produce: impl FnMut() -> Result<Option<A>, String>,
    convert: impl Fn(A) -> Result<B, String> + Sync,
    mut consume: impl FnMut(B) -> Result<(), String>,
) -> Result<(), String> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let threads = (0..(processors - 1).min(MAX_THREADS)).map_while(|_| Worker::start(scope, &convert));
        let workers: Vec<Worker<A, B>> = threads.collect();
        if workers.is_empty() {
            while let Some(item) = produce()? {
                consume(convert(item)?)?;
            }
            return Ok(());
        }
        // Worker i has the items i, i + w, i + 2w, …
        let (mut produced, mut consumed, mut end) = (0, 0, None);
        loop {
            if end.is_none() && produced - consumed < AT_A_TIME * workers.len() {
                match produce() {
                    Ok(Some(item)) => {
                        // It fails only if the worker panicked; the scope reports that.
                        let _ = workers[produced % workers.len()].items.send(item);
                        produced += 1;
                        continue;
                    }
                    Ok(None) => end = Some(Ok(())),
                    Err(problem) => end = Some(Err(problem)),
                }
            }
            if consumed < produced {
                let Ok(result) = workers[consumed % workers.len()].results.recv() else { return Ok(()) };
                consume(result?)?;
                consumed += 1;
            } else if let Some(end) = end {
                return end;
            }
        }
    })
}

struct Worker<A, B> {
    items: SyncSender<A>,
    results: Receiver<Result<B, String>>,
}

impl<A: Send, B: Send> Worker<A, B> {
    /// Returns `None` if no thread can be started.
    fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        convert: &'scope (impl Fn(A) -> Result<B, String> + Sync),
    ) -> Option<Self>
    where
        A: 'scope,
        B: 'scope,
    {
        let ((items, to_convert), (converted, results)) = (sync_channel::<A>(AT_A_TIME), sync_channel(AT_A_TIME));
        let work = move || {
            // It fails if an error ended the reading.
            let _ = to_convert.into_iter().try_for_each(|item| converted.send(convert(item)));
        };
        Builder::new().spawn_scoped(scope, work).ok().map(|_| Self { items, results })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_have_the_order_of_the_items() {
        let check = |fails_at: usize, ends_at: usize, expected: Result<(), String>, n_consumed: usize| {
            let (mut next, mut consumed) = (0..ends_at, Vec::new());
            let produce = || Ok(next.next());
            let convert = |i: usize| {
                thread::sleep(std::time::Duration::from_micros(((7 * i) % 5) as u64 * 100));
                if i >= fails_at { Err(format!("item {i}")) } else { Ok(2 * i) }
            };
            let result = convert_in_order(produce, convert, |item| {
                consumed.push(item);
                Ok(())
            });
            assert_eq!(result, expected);
            assert_eq!(consumed, (0..n_consumed).map(|i| 2 * i).collect::<Vec<_>>());
        };
        check(usize::MAX, 0, Ok(()), 0);
        check(usize::MAX, 100, Ok(()), 100);
        check(17, 100, Err("item 17".to_owned()), 17);
    }

    #[test]
    fn an_error_of_an_earlier_item_comes_before_the_end_of_the_input() {
        let mut left = 5;
        let produce = || {
            left -= 1;
            if left > 0 { Ok(Some(left)) } else { Err("no more".to_owned()) }
        };
        let convert = |item| if item == 2 { Err("second".to_owned()) } else { Ok(item) };
        assert_eq!(convert_in_order(produce, convert, |_| Ok(())), Err("second".to_owned()));
        let mut left = 5;
        let produce = || {
            left -= 1;
            if left > 0 { Ok(Some(left)) } else { Err("no more".to_owned()) }
        };
        assert_eq!(convert_in_order(produce, Ok, |_| Ok(())), Err("no more".to_owned()));
    }
}
