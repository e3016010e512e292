//! Maps of controls are said once, and called by a handle from then on: odd ones are the host's, even
//! ones the worker's. Both sides forget them at every configure().
//!
//! A host ignores a map under a handle that it knows, and a new worker knows none of the host's, and
//! counts its own from the start. So what a worker's handle means goes by the map's content, and a map
//! that the other side has missed is put in front of the list that needs it.

use std::collections::{BTreeMap, BTreeSet};

use crate::Wrong;
use crate::controls::{HANDLE, InfoMap, Vocabulary};
use crate::message::number;

/// Maps that a side may have at a time: the largest interface has three.
const MAX_MAPS: usize = 64;
/// Bytes of them.
const MAX_BYTES: usize = 2 << 20;
/// Handles have steps of two: bit 0 tells whose they are.
const STEP: u32 = 2;

/// A map, and its bytes with handle 0.
#[derive(Clone, Debug)]
struct Known {
    map: InfoMap,
    content: Vec<u8>,
}

/// A list of a worker's, as the host may see it.
pub(crate) struct Listed {
    /// The map that must be in front of it.
    pub(crate) missed: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
    /// Its controls are libcamera's own.
    pub(crate) global: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Handles {
    /// The host's, and its bytes as it said them.
    host: BTreeMap<u32, (InfoMap, Vec<u8>)>,
    /// Those of them that the worker has seen.
    seen: BTreeSet<u32>,
    /// The worker's.
    worker: BTreeMap<u32, Known>,
    /// Under which handle the host knows which content of a worker.
    told: BTreeMap<Vec<u8>, u32>,
    /// The last of these. None is given twice: the host may have had it after its configure(), and
    /// the firewall not yet.
    last: u32,
    /// What of that is in a message that may not reach it.
    telling: Vec<Vec<u8>>,
}

impl Handles {
    /// The host has said configure().
    pub(crate) fn forget(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// The worker starts over: it is another one, or it is told configure() once more.
    pub(crate) fn another_worker(&mut self) {
        self.seen.clear();
        self.worker.clear();
    }

    /// Whether the host gets the message that was looked at.
    pub(crate) fn hears(&mut self, passed: bool) {
        for content in self.telling.drain(..) {
            if !passed {
                self.told.remove(&content);
            }
        }
    }

    /// The worker is told these once more.
    pub(crate) fn seen(&mut self, handles: &[u32]) {
        self.seen.extend(handles);
    }

    /// Those that the worker has been told.
    pub(crate) fn all_seen(&self) -> Vec<u32> {
        self.seen.iter().copied().collect()
    }

    /// A map of the host's passes.
    pub(crate) fn host_map(&mut self, words: &Vocabulary, body: &[u8]) -> Result<(), Wrong> {
        if let Some(map) = words.map(body)? {
            let handle = map.handle;
            self.seen.insert(handle);
            if self.host.len() < MAX_MAPS {
                self.host
                    .entry(handle)
                    .or_insert_with(|| (map, body.to_vec()));
            }
        }
        Ok(())
    }

    /// A list of the host's passes: what the worker must be told in front of it.
    pub(crate) fn host_list(&mut self, list: &[u8]) -> Option<&[u8]> {
        let handle = number(list, HANDLE.start);
        let (_, body) = self.host.get(&handle)?;
        let missed = self.seen.insert(handle);
        missed.then_some(body.as_slice())
    }

    /// A map of the worker's, as the host may see it. With `heard` the host does not: it is only kept.
    pub(crate) fn worker_map(
        &mut self,
        words: &Vocabulary,
        body: &[u8],
        heard: bool,
    ) -> Result<Vec<u8>, Wrong> {
        let Some(map) = words.map(body)? else {
            return Ok(body.to_vec());
        };
        let handle = map.handle;
        if handle % STEP != 0 {
            return Err(Wrong::new(format!(
                "a map has the handle {handle}, which would be the host's"
            )));
        }
        if self.host.values().any(|(known, _)| map.contradicts(known)) {
            return Err(Wrong::new(
                "a map has a control that is another one with the host",
            ));
        }
        let content = with_handle(body, 0);
        match self.worker.get(&handle) {
            Some(known) if known.content == content => {}
            Some(_) => {
                return Err(Wrong::new(format!("two maps have the handle {handle}")));
            }
            None => self.worker_knows(handle, map, content.clone())?,
        }
        if !heard {
            return Ok(body.to_vec());
        }
        let theirs = self.tell(content)?;
        Ok(with_handle(body, theirs))
    }

    /// A list of the worker's.
    pub(crate) fn worker_list(
        &mut self,
        words: &Vocabulary,
        body: &[u8],
        heard: bool,
    ) -> Result<Listed, Wrong> {
        let global = words.list(body, |handle| self.map(handle))?;
        let handle = number(body, HANDLE.start);
        let Some(known) = self.worker.get(&handle).filter(|_| heard) else {
            return Ok(Listed {
                missed: None,
                body: body.to_vec(),
                global,
            });
        };
        let content = known.content.clone();
        let missing = !self.told.contains_key(&content);
        let theirs = self.tell(content.clone())?;
        Ok(Listed {
            missed: missing.then(|| with_handle(&content, theirs)),
            body: with_handle(body, theirs),
            global,
        })
    }

    fn map(&self, handle: u32) -> Option<&InfoMap> {
        let own = self.worker.get(&handle).map(|known| &known.map);
        own.or_else(|| self.host.get(&handle).map(|(map, _)| map))
    }

    fn worker_knows(&mut self, handle: u32, map: InfoMap, content: Vec<u8>) -> Result<(), Wrong> {
        let bytes = |known: &Known| known.content.len();
        let used: usize = self.worker.values().map(bytes).sum();
        if self.worker.len() >= MAX_MAPS || used.saturating_add(content.len()) > MAX_BYTES {
            return Err(Wrong::new(format!(
                "it has more than {MAX_MAPS} maps of controls, or {MAX_BYTES} bytes of them"
            )));
        }
        self.worker.insert(handle, Known { map, content });
        Ok(())
    }

    /// The handle under which the host knows this content, from now on at the latest.
    fn tell(&mut self, content: Vec<u8>) -> Result<u32, Wrong> {
        if let Some(handle) = self.told.get(&content) {
            return Ok(*handle);
        }
        // More than one worker may have: every new one can bring maps of its own.
        if self.told.len() >= MAX_MAPS * 4 {
            return Err(Wrong::new("the host has been told too many maps"));
        }
        let next = self.last.checked_add(STEP);
        let handle = next.ok_or_else(|| Wrong::new("there are no handles left"))?;
        self.last = handle;
        self.telling.push(content.clone());
        self.told.insert(content, handle);
        Ok(handle)
    }
}

fn with_handle(body: &[u8], handle: u32) -> Vec<u8> {
    let mut body = body.to_vec();
    if let Some(place) = body.get_mut(HANDLE) {
        place.copy_from_slice(&handle.to_ne_bytes());
    }
    body
}
