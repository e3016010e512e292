//! The clock under loom: it stands still until a thread of the test turns it, so that a deadline
//! comes at every possible point of the others' work.

use std::cell::RefCell;
use std::rc::Rc;

use loom::sync::Mutex;

use crate::sync::Queue;

loom::lazy_static! {
    static ref NOW: Mutex<u64> = Mutex::new(0);
}

thread_local! {
    /// Queues with a sleeper who must hear of the time. Not loom's: that threads take turns is
    /// known to it by the queues themselves.
    static ALARMS: RefCell<Vec<Rc<Queue>>> = const { RefCell::new(Vec::new()) };
}

/// A moment of the model's clock.
pub fn monotonic_ns() -> u64 {
    *NOW.lock().unwrap()
}

/// Waits until somebody has turned the clock to `moment_ns`.
pub(crate) fn sleep_until(moment_ns: u64) {
    let queue = Rc::<Queue>::default();
    let _alarm = Alarm::set(&queue);
    let mut sleepers = queue.sleepers.lock().unwrap();
    while monotonic_ns() < moment_ns {
        sleepers = queue.changed.wait(sleepers).unwrap();
    }
}

/// Turns the clock.
#[cfg(test)]
pub(crate) fn turn_to(moment_ns: u64) {
    *NOW.lock().unwrap() = moment_ns;
    let alarms = ALARMS.with(|alarms| alarms.borrow().clone());
    for queue in alarms {
        let _sleepers = queue.sleepers.lock().unwrap();
        queue.changed.notify_all();
    }
}

/// As long as this lives, the queue's sleepers look again when the clock is turned.
pub(crate) struct Alarm(Rc<Queue>);

impl Alarm {
    pub(crate) fn set(queue: &Rc<Queue>) -> Self {
        ALARMS.with(|alarms| alarms.borrow_mut().push(Rc::clone(queue)));
        Self(Rc::clone(queue))
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        ALARMS.with(|alarms| {
            let mut alarms = alarms.borrow_mut();
            if let Some(at) = alarms.iter().position(|queue| Rc::ptr_eq(queue, &self.0)) {
                alarms.swap_remove(at);
            }
        });
    }
}
