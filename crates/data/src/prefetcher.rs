use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Items that other threads produce in advance; the iterator returns them in order.
///
/// Worker i of w makes items i, i + w, i + 2w, … and has at most two items waiting. So at most 2w
/// items wait, and memory does not grow with their number. Dropping the prefetcher stops each
/// worker after its current item.
pub struct Prefetcher<T> {
    receivers: Vec<Receiver<T>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    count: usize,
}

impl<T: Send + 'static> Prefetcher<T> {
    /// Starts `threads` threads that make the items `0..count`. Each thread has its own closure
    /// from `make_worker`, which can reuse its buffers.
    ///
    /// # Errors
    /// Fails if the system cannot start the threads.
    ///
    /// # Panics
    /// Panics if `threads` is 0.
    pub fn new<M: FnMut(usize) -> T + Send + 'static>(
        count: usize,
        threads: usize,
        make_worker: impl Fn() -> M,
    ) -> Result<Self, io::Error> {
        assert!(threads > 0, "at least one thread");
        let mut prefetcher = Self { receivers: Vec::new(), workers: Vec::new(), next: 0, count };
        let threads = threads.min(count);
        for first in 0..threads {
            let (sender, receiver) = sync_channel(1);
            let mut make = make_worker();
            let work = move || {
                for number in (first..count).step_by(threads) {
                    if sender.send(make(number)).is_err() {
                        return; // The receiver was dropped.
                    }
                }
            };
            prefetcher.workers.push(Builder::new().name("read ahead".to_owned()).spawn(work)?);
            prefetcher.receivers.push(receiver);
        }
        Ok(prefetcher)
    }
}

impl<T> Iterator for Prefetcher<T> {
    type Item = T;

    /// # Panics
    /// Panics if the worker of the item panicked.
    fn next(&mut self) -> Option<T> {
        if self.next == self.count {
            return None;
        }
        let index = self.next % self.receivers.len();
        self.next += 1;
        match self.receivers[index].recv() {
            Ok(item) => Some(item),
            Err(_) => match self.workers.swap_remove(index).join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("a worker ends after its last item"),
            },
        }
    }
}

impl<T> Drop for Prefetcher<T> {
    fn drop(&mut self) {
        // Closing the channels stops the workers.
        self.receivers.clear();
        for worker in self.workers.drain(..) {
            // A worker's panic was already propagated by `next`, or its item was not requested.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_arrive_in_order_for_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            for count in [0, 1, 2, 3, 20] {
                let items: Vec<usize> = Prefetcher::new(count, threads, || |i| i * i).expect("threads").collect();
                assert_eq!(items, (0..count).map(|i| i * i).collect::<Vec<_>>(), "{threads} threads");
            }
        }
    }

    #[test]
    fn at_most_two_items_per_thread_are_produced_in_advance() {
        let items = Arc::new(AtomicUsize::new(0));
        let make_worker = || {
            let count = Arc::clone(&items);
            move |_| count.fetch_add(1, Ordering::SeqCst)
        };
        let mut prefetcher = Prefetcher::new(1000, 3, make_worker).expect("threads");
        for taken in 1..=10 {
            prefetcher.next();
            std::thread::sleep(std::time::Duration::from_millis(5));
            let items = items.load(Ordering::SeqCst);
            assert!((taken..=taken + 6).contains(&items), "{items} made, {taken} taken");
        }
        drop(prefetcher);
        assert!(items.load(Ordering::SeqCst) < 20, "dropping the prefetcher stops its workers");
    }

    #[test]
    #[should_panic(expected = "number 5")]
    fn a_workers_panic_is_propagated() {
        let _ = Prefetcher::new(10, 2, || |i| assert!(i != 5, "number {i}")).expect("threads").count();
    }
}
