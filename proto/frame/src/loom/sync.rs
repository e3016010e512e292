//! Control words under loom.
//!
//! Loom takes a SeqCst access for AcqRel, which would let a Dekker pair fail that cannot. Here the
//! first SeqCst load after a SeqCst store is preceded by a SeqCst fence, which loom does know. So
//! store-then-load is ordered if both are SeqCst, and not if either is weaker. That is a little
//! more than the language promises (the fence orders what lies around it, too), and what each
//! machine does that has sequentially consistent loads and stores.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::atomic::Ordering::{self, SeqCst};

use loom::sync::atomic::AtomicU64 as Model;
use loom::sync::{Condvar, Mutex};

pub(crate) use loom::sync::atomic::fence;

loom::thread_local! {
    /// Whether this thread has made a SeqCst store since its last SeqCst fence.
    static STORED: std::cell::Cell<bool> = std::cell::Cell::new(false);
}

/// One control word, of 32 or 64 bits, and who sleeps on it.
#[derive(Debug)]
struct Cell {
    value: Model,
    futex: OnceCell<Rc<Queue>>,
}

impl Cell {
    fn load(&self, order: Ordering) -> u64 {
        if order == SeqCst && STORED.with(|stored| stored.replace(false)) {
            fence(SeqCst);
        }
        self.value.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        if order == SeqCst {
            STORED.with(|stored| stored.set(true));
        }
        self.value.store(value, order);
    }
}

/// A word of 32 bits: the low half of the wide one at the same offset.
#[derive(Debug)]
pub(crate) struct AtomicU32(Rc<Cell>);

impl AtomicU32 {
    pub(crate) fn load(&self, order: Ordering) -> u32 {
        self.0.load(order) as u32
    }

    /// Clears the high half: a wide word is only ever stored to as a whole.
    pub(crate) fn store(&self, value: u32, order: Ordering) {
        self.0.store(value.into(), order);
    }

    /// A read-modify-write is a store as well. No model counts so far that the high half would change.
    pub(crate) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
        if order == SeqCst {
            STORED.with(|stored| stored.set(true));
        }
        self.0.value.fetch_add(value.into(), order) as u32
    }

    pub(crate) fn queue(&self) -> Rc<Queue> {
        Rc::clone(self.0.futex.get_or_init(Rc::default))
    }
}

/// A word of 64 bits.
#[derive(Debug)]
pub(crate) struct AtomicU64(Rc<Cell>);

impl AtomicU64 {
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }
}

/// Both views of a word that holds zero.
pub(crate) fn word() -> (AtomicU32, AtomicU64) {
    let cell = Rc::new(Cell {
        value: Model::new(0),
        futex: OnceCell::new(),
    });
    (AtomicU32(Rc::clone(&cell)), AtomicU64(cell))
}

/// Who sleeps on a word, as the kernel's hash bucket has it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) sleepers: Mutex<Sleepers>,
    pub(crate) changed: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    pub(crate) asleep: u32,
    /// How many of them have been woken and not yet noticed.
    pub(crate) woken: u32,
}
