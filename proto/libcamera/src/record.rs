//! What a new worker must be told so that it stands where the last one stood.

use crate::message::Message;

/// Messages about buffers that are kept. Pipelines map their buffers once, and unmap all of them.
const MAX_BUFFERS: usize = 64;

/// A call of the host as the worker was told it, and the maps that it learnt by that.
#[derive(Debug)]
pub(crate) struct Said<F> {
    pub(crate) message: Message<F>,
    pub(crate) announced: Vec<u32>,
}

impl<F> Clone for Said<F> {
    fn clone(&self) -> Self {
        Self {
            message: self.message.clone(),
            announced: self.announced.clone(),
        }
    }
}

/// Calls about buffers, and the buffers that they name.
#[derive(Debug)]
struct Buffers<F> {
    said: Said<F>,
    ids: Vec<Vec<u8>>,
}

/// The calls that made the worker what it is.
#[derive(Debug)]
pub(crate) struct Record<F> {
    init: Option<Said<F>>,
    configure: Option<Said<F>>,
    buffers: Vec<Buffers<F>>,
    start: Option<Said<F>>,
    complete: bool,
}

impl<F> Default for Record<F> {
    fn default() -> Self {
        Self {
            init: None,
            configure: None,
            buffers: Vec::new(),
            start: None,
            complete: true,
        }
    }
}

impl<F> Record<F> {
    /// A call has been answered well.
    pub(crate) fn keep(&mut self, name: &str, said: Said<F>, ids: Vec<Vec<u8>>) {
        match name {
            "init" => self.init = Some(said),
            "configure" => self.configure = Some(said),
            "start" => self.start = Some(said),
            "stop" => self.start = None,
            "mapBuffers" if self.buffers.len() < MAX_BUFFERS => {
                self.buffers.push(Buffers { said, ids });
            }
            "mapBuffers" => self.complete = false,
            "unmapBuffers" => self.unmap(&ids),
            _ => {}
        }
    }

    /// Forgets the calls that mapped these. One that mapped others, too, stays: a worker maps more than
    /// it needs then.
    fn unmap(&mut self, ids: &[Vec<u8>]) {
        for buffers in &mut self.buffers {
            buffers.ids.retain(|id| !ids.contains(id));
        }
        self.buffers.retain(|buffers| !buffers.ids.is_empty());
    }

    /// Whether there was no more than can be kept.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// All of it, in order. `None`: there was more than can be kept.
    pub(crate) fn all(&self) -> Option<Vec<Said<F>>> {
        let before = self.init.iter().chain(&self.configure);
        let buffers = self.buffers.iter().map(|buffers| &buffers.said);
        let all = before.chain(buffers).chain(&self.start);
        self.complete.then(|| all.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(number: u8) -> Said<u8> {
        Said {
            message: Message {
                bytes: vec![number],
                fds: Vec::new().into(),
            },
            announced: Vec::new(),
        }
    }

    fn numbers(record: &Record<u8>) -> Vec<u8> {
        let all = record.all().unwrap();
        all.iter().map(|said| said.message.bytes[0]).collect()
    }

    #[test]
    fn the_order_is_that_of_a_cameras_life() {
        let mut record = Record::default();
        for (name, number) in [
            ("init", 1),
            ("configure", 2),
            ("mapBuffers", 3),
            ("start", 4),
            ("stop", 5),
            ("configure", 6),
            ("start", 7),
        ] {
            record.keep(name, said(number), vec![vec![number]]);
        }
        assert_eq!(numbers(&record), [1, 6, 3, 7]);
    }

    #[test]
    fn buffers_that_are_gone_are_not_mapped_again() {
        let mut record = Record::default();
        record.keep("mapBuffers", said(1), vec![vec![1], vec![2]]);
        record.keep("mapBuffers", said(2), vec![vec![3]]);
        record.keep("unmapBuffers", said(3), vec![vec![1]]);
        assert_eq!(numbers(&record), [1, 2]);
        record.keep("unmapBuffers", said(4), vec![vec![2], vec![3]]);
        assert_eq!(numbers(&record), []);
    }

    #[test]
    fn more_than_can_be_kept_is_not_passed_off_as_all() {
        let mut record = Record::default();
        for _ in 0..=MAX_BUFFERS {
            record.keep("mapBuffers", said(1), vec![vec![1]]);
        }
        assert!(record.all().is_none());
    }
}
