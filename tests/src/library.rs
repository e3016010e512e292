//! The daemon as a library, in this process.

use std::fs;
use std::ops::Deref;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};

use coldshoed::{Config, Server};
use tokio::sync::oneshot;

use crate::{PATIENCE, Place, built, children};

/// A daemon in a thread of this process, for tests that need other timeouts or limits.
#[derive(Debug)]
pub struct Library {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Nothing comes through here: it breaks when the thread ends.
    alive: Receiver<()>,
    place: Place,
}

impl Library {
    /// Starts one in a new place. `change` adapts its configuration.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        let place = Place::new();
        let mut config = Config::discover().expect("the path of this test");
        config.runtime_dir = Some(place.runtime_dir());
        config.state_dir = Some(place.state_dir());
        config.module_dirs = vec![place.modules()];
        config.tuning_dirs = vec![place.tuning()];
        // A copy, so that its workers can be told from those of other tests.
        config.worker = place.worker();
        fs::copy(built("coldshoe-worker"), &config.worker).expect("a copy of the worker");
        change(&mut config);
        let (ready, bound) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (living, alive) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _living = living;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let server = Server::bind(config, Vec::new()).expect("a free place");
                ready.send(()).expect("somebody waits");
                server.serve(async { drop(stopped.await) }).await;
            });
        });
        bound.recv().expect("the daemon is ready");
        Self {
            stop: Some(stop),
            thread: Some(thread),
            alive,
            place,
        }
    }

    /// Its workers, by their process numbers.
    pub fn workers(&self) -> Vec<u32> {
        let worker = self.place.worker();
        let mut workers = children(std::process::id());
        workers.retain(|pid| {
            fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == worker)
        });
        workers
    }
}

impl Deref for Library {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        drop(self.stop.take());
        if thread::panicking() {
            return;
        }
        let end = self.alive.recv_timeout(PATIENCE);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected), "it does not end");
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the daemon panicked");
    }
}
