use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Things that other threads make while the earlier ones are used, given out in order.
///
/// Worker i of w makes numbers i, i + w, i + 2w, … and is at most one ahead of what was taken from
/// it, so that never more than 2w things wait: memory stays as it is, however many there are.
/// Dropped early, the workers end with what they are making.
pub struct Prefetcher<T> {
    lanes: Vec<Receiver<T>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    count: usize,
}

impl<T: Send + 'static> Prefetcher<T> {
    /// Has the things of numbers `0..count` made by so many threads, each of which gets a maker of
    /// its own, with room that it may use again.
    ///
    /// # Errors
    /// Where the system does not give so many threads.
    ///
    /// # Panics
    /// Where there are to be no threads.
    pub fn new<M: FnMut(usize) -> T + Send + 'static>(
        count: usize,
        threads: usize,
        maker: impl Fn() -> M,
    ) -> Result<Self, io::Error> {
        assert!(threads > 0, "a thread at least");
        let mut ahead = Self { lanes: Vec::new(), workers: Vec::new(), next: 0, count };
        let threads = threads.min(count);
        for first in 0..threads {
            let (sender, lane) = sync_channel(1);
            let mut make = maker();
            let work = move || {
                for number in (first..count).step_by(threads) {
                    if sender.send(make(number)).is_err() {
                        return; // Nobody waits for it any more.
                    }
                }
            };
            ahead.workers.push(Builder::new().name("read ahead".to_owned()).spawn(work)?);
            ahead.lanes.push(lane);
        }
        Ok(ahead)
    }
}

impl<T> Iterator for Prefetcher<T> {
    type Item = T;

    /// # Panics
    /// As the worker that was to make it did.
    fn next(&mut self) -> Option<T> {
        if self.next == self.count {
            return None;
        }
        let lane = self.next % self.lanes.len();
        self.next += 1;
        match self.lanes[lane].recv() {
            Ok(thing) => Some(thing),
            Err(_) => match self.workers.swap_remove(lane).join() {
                Err(panic) => resume_unwind(panic),
                Ok(()) => unreachable!("a worker ends when it has made all of its things"),
            },
        }
    }
}

impl<T> Drop for Prefetcher<T> {
    fn drop(&mut self) {
        // What nobody takes any more lets the workers end.
        self.lanes.clear();
        for worker in self.workers.drain(..) {
            // Its panic was passed on where its thing was asked for, and is of no use where it was
            // not.
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
    fn all_come_in_order_whatever_the_threads() {
        for threads in [1, 2, 3, 7] {
            for count in [0, 1, 2, 3, 20] {
                let made: Vec<usize> = Prefetcher::new(count, threads, || |i| i * i).expect("threads").collect();
                assert_eq!(made, (0..count).map(|i| i * i).collect::<Vec<_>>(), "{threads} threads");
            }
        }
    }

    #[test]
    fn no_more_is_made_ahead_than_two_a_thread() {
        let made = Arc::new(AtomicUsize::new(0));
        let maker = || {
            let count = Arc::clone(&made);
            move |_| count.fetch_add(1, Ordering::SeqCst)
        };
        let mut ahead = Prefetcher::new(1000, 3, maker).expect("threads");
        for taken in 1..=10 {
            ahead.next();
            std::thread::sleep(std::time::Duration::from_millis(5));
            let made = made.load(Ordering::SeqCst);
            assert!((taken..=taken + 6).contains(&made), "{made} made, {taken} taken");
        }
        drop(ahead);
        assert!(made.load(Ordering::SeqCst) < 20, "the workers end with whom they work for");
    }

    #[test]
    #[should_panic(expected = "number 5")]
    fn a_panic_is_passed_on() {
        let _ = Prefetcher::new(10, 2, || |i| assert!(i != 5, "number {i}")).expect("threads").count();
    }
}
