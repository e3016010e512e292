//! A futex under loom: the look at the word and falling asleep are one step, as in the kernel, and
//! nothing else in it orders memory.

use std::sync::atomic::Ordering::Relaxed;

use crate::clock;
use crate::sync::AtomicU32;

/// Sleeps while `word` holds `seen`, until a wake or a moment of the model's clock.
pub(crate) fn sleep(word: &AtomicU32, seen: u32, until_ns: Option<u64>) -> bool {
    let queue = word.queue();
    let mut sleepers = queue.sleepers.lock().unwrap();
    if word.load(Relaxed) != seen {
        return true;
    }
    let alarm = until_ns.map(|_| clock::Alarm::set(&queue));
    sleepers.asleep += 1;
    while sleepers.woken == 0 && until_ns.is_none_or(|until| clock::monotonic_ns() < until) {
        sleepers = queue.changed.wait(sleepers).unwrap();
    }
    sleepers.asleep -= 1;
    sleepers.woken = sleepers.woken.saturating_sub(1);
    drop(alarm);
    true
}

/// Wakes one sleeper.
pub(crate) fn ring(word: &AtomicU32) {
    let queue = word.queue();
    let mut sleepers = queue.sleepers.lock().unwrap();
    if sleepers.woken < sleepers.asleep {
        sleepers.woken += 1;
        queue.changed.notify_all();
    }
}
