//! The limit of a sleeping peer: two threads that wake each other through one word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::futex::{Flags, wait, wake};

fn sleep_until(word: &AtomicU32, value: u32) {
    loop {
        let seen = word.load(Ordering::SeqCst);
        if seen == value {
            return;
        }
        // Whatever ends it, the word is looked at again.
        let _ = wait(word, Flags::empty(), seen, None);
    }
}

fn set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    let _ = wake(word, Flags::empty(), 1);
}

/// Round trips: odd values are questions, even ones answers.
/// They are `pause` apart.
pub(crate) fn futex(frames: usize, pause: Duration) -> Vec<Duration> {
    let word = Arc::new(AtomicU32::new(0));
    let peer = {
        let word = Arc::clone(&word);
        thread::spawn(move || {
            for frame in 0..frames as u32 {
                sleep_until(&word, 2 * frame + 1);
                set(&word, 2 * frame + 2);
            }
        })
    };
    let trips = (0..frames as u32)
        .map(|frame| {
            thread::sleep(pause);
            let start = Instant::now();
            set(&word, 2 * frame + 1);
            sleep_until(&word, 2 * frame + 2);
            start.elapsed()
        })
        .collect();
    peer.join().expect("the peer only counts");
    trips
}
