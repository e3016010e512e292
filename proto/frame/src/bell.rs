//! Hearing of replies in an event loop.
//!
//! A worker that is asked to rings an eventfd. It is the worker's as much as the pipeline's: its
//! flags are shared, so that a worker can make a plain read of it block for ever, and it can be
//! rung without end. So the pipeline watches it through an epoll instance of its own, where it is
//! heard once and then not again until the pipeline asks; and empties it by reads that are told
//! not to wait, each for itself.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::{ReadWriteFlags, preadv2};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

const RUNG: u64 = 0;
const DEADLINE: u64 = 1;
const OTHER: u64 = 2;
/// Heard once: then not before it is asked for again.
const ONCE: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::ET)
    .union(epoll::EventFlags::ONESHOT);

/// Makes a bell: the worker gets one end, the pipeline the other.
pub fn create_bell() -> rustix::io::Result<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}

/// What has been heard of since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The worker has rung.
    pub rung: bool,
    /// There was something to read elsewhere. It is told again as long as it is not read.
    pub other: bool,
}

/// A descriptor that becomes readable when there may be a reply, when a deadline has passed, or
/// when there is something to read elsewhere.
#[derive(Debug)]
pub struct Bell {
    epoll: OwnedFd,
    bell: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to; CLOCK_MONOTONIC.
    alarm_ns: Option<u64>,
    /// The worker has been heard, and is not listened to.
    deaf: bool,
    /// The timer has been heard, and is not listened to.
    expired: bool,
}

impl Bell {
    /// Watches `bell`, and `other` beside it, for example the socket that brings the daemon's
    /// words.
    pub fn watch(bell: OwnedFd, other: Option<BorrowedFd<'_>>) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let data = epoll::EventData::new_u64;
        epoll::add(&epoll, &bell, data(RUNG), ONCE)?;
        epoll::add(&epoll, &timer, data(DEADLINE), ONCE)?;
        if let Some(other) = other {
            epoll::add(&epoll, other, data(OTHER), ONCE)?;
        }
        Ok(Self {
            epoll,
            bell,
            timer,
            alarm_ns: None,
            deaf: false,
            expired: false,
        })
    }

    /// Watches another worker's bell from now on.
    pub fn change(&mut self, bell: OwnedFd) -> rustix::io::Result<()> {
        // One that was closed elsewhere is gone from the instance already.
        let _ = epoll::delete(&self.epoll, &self.bell);
        epoll::add(&self.epoll, &bell, epoll::EventData::new_u64(RUNG), ONCE)?;
        self.bell = bell;
        self.deaf = false;
        Ok(())
    }

    /// Watches something else beside it, from now on.
    pub fn add_other(&mut self, other: BorrowedFd<'_>) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, other, epoll::EventData::new_u64(OTHER), ONCE)
    }

    /// Does not watch it any more. Before it is closed: a duplicate elsewhere would be heard of.
    pub fn remove_other(&mut self, other: BorrowedFd<'_>) {
        // One that was closed is gone from the instance already.
        let _ = epoll::delete(&self.epoll, other);
    }

    /// Takes note of what has been heard: until something else happens, or more is asked for, the
    /// descriptor is not readable any more. What there is to read from `other` is heard of again
    /// as long as it is there; `None`: not any more.
    pub fn hear(&mut self, other: Option<BorrowedFd<'_>>) -> rustix::io::Result<Heard> {
        let mut events = [const { MaybeUninit::uninit() }; 4];
        let (found, _) = epoll::wait(&self.epoll, &mut events, Some(&Timespec::default()))?;
        let mut heard = Heard::default();
        for event in found {
            match event.data.u64() {
                RUNG => heard.rung = true,
                DEADLINE => self.expired = true,
                _ => heard.other = true,
            }
        }
        self.deaf |= heard.rung;
        if let Some(other) = other.filter(|_| heard.other) {
            epoll::modify(&self.epoll, other, epoll::EventData::new_u64(OTHER), ONCE)?;
        }
        Ok(heard)
    }

    /// Asks to hear of the next ring.
    ///
    /// A reply that came before is not told again: look for it after this.
    pub fn listen(&mut self) -> rustix::io::Result<()> {
        if self.deaf {
            self.empty();
            epoll::modify(
                &self.epoll,
                &self.bell,
                epoll::EventData::new_u64(RUNG),
                ONCE,
            )?;
            self.deaf = false;
        }
        Ok(())
    }

    /// Whether rings are not heard of.
    pub fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Asks to hear of a moment on CLOCK_MONOTONIC, and of no other.
    pub fn alarm(&mut self, moment_ns: Option<u64>) -> rustix::io::Result<()> {
        if self.alarm_ns != moment_ns {
            self.set_timer(moment_ns)?;
        }
        if self.expired {
            let data = epoll::EventData::new_u64(DEADLINE);
            epoll::modify(&self.epoll, &self.timer, data, ONCE)?;
            self.expired = false;
        }
        Ok(())
    }

    fn set_timer(&mut self, moment_ns: Option<u64>) -> rustix::io::Result<()> {
        // Zero means never.
        let ns = moment_ns.map_or(0, |ns| ns.max(1));
        let when = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: (ns / 1_000_000_000).try_into().unwrap_or(i64::MAX),
                tv_nsec: (ns % 1_000_000_000) as _,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &when)?;
        self.alarm_ns = moment_ns;
        Ok(())
    }

    /// Empties the counter, or the last ring would be heard of again.
    fn empty(&self) {
        let mut count = [0; 8];
        let buffer = &mut [IoSliceMut::new(&mut count)];
        // From the current position; an eventfd has no other.
        let _ = preadv2(&self.bell, buffer, u64::MAX, ReadWriteFlags::NOWAIT);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

// The kernel's part in it is what is tested, and Miri has none.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    use rustix::pipe::pipe;

    fn ready(fd: impl AsFd) -> bool {
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    }

    fn ring(worker: &OwnedFd) {
        rustix::io::write(worker, &1_u64.to_ne_bytes()).unwrap();
    }

    fn arm(bell: &mut Bell, moment_ns: u64, listen: bool, other: &OwnedFd) -> Heard {
        let heard = bell.hear(Some(other.as_fd())).unwrap();
        bell.alarm(Some(moment_ns)).unwrap();
        if listen {
            bell.listen().unwrap();
        }
        heard
    }

    const FAR: u64 = i64::MAX as u64;

    fn bell() -> (Bell, OwnedFd, OwnedFd, OwnedFd) {
        let ours = create_bell().unwrap();
        let worker = ours.try_clone().unwrap();
        let (other, writer) = pipe().unwrap();
        let bell = Bell::watch(ours, Some(other.as_fd())).unwrap();
        (bell, worker, other, writer)
    }

    #[test]
    fn what_was_taken_note_of_is_quiet_until_it_is_asked_for() {
        let (mut bell, worker, other, writer) = bell();
        arm(&mut bell, 1, true, &other);
        ring(&worker);
        assert!(ready(&bell), "ring and deadline");
        bell.hear(Some(other.as_fd())).unwrap();
        ring(&worker);
        assert!(!ready(&bell), "neither is listened to");
        drop(writer);
        assert!(ready(&bell), "others always are");
        assert!(bell.hear(Some(other.as_fd())).unwrap().other);
        arm(&mut bell, 1, false, &other);
        assert!(ready(&bell), "the deadline is still in the past");
    }

    #[test]
    fn a_ring_is_heard_once_each_time_it_is_asked_for() {
        let (mut bell, worker, other, _writer) = bell();
        arm(&mut bell, FAR, true, &other);
        assert!(!ready(&bell));
        for _ in 0..3 {
            ring(&worker);
            assert!(ready(&bell));
            arm(&mut bell, FAR, true, &other);
            assert!(!ready(&bell), "the ring is not told twice");
        }
    }

    #[test]
    fn a_flood_is_one_event_and_none_while_nobody_listens() {
        let (mut bell, worker, other, _writer) = bell();
        for _ in 0..1000 {
            ring(&worker);
        }
        assert!(ready(&bell));
        arm(&mut bell, FAR, false, &other);
        for _ in 0..1000 {
            ring(&worker);
        }
        assert!(!ready(&bell));
        arm(&mut bell, FAR, true, &other);
        assert!(!ready(&bell), "what was rung before is forgotten");
        ring(&worker);
        assert!(ready(&bell));
    }

    #[test]
    fn a_worker_that_makes_the_bell_block_holds_nobody_up() {
        let (mut bell, worker, other, _writer) = bell();
        let flags = fcntl_getfl(&worker).unwrap();
        fcntl_setfl(&worker, flags - OFlags::NONBLOCK).unwrap();
        ring(&worker);
        assert!(ready(&bell));
        // The worker takes the count away in between: a plain read would wait for ever now.
        rustix::io::read(&worker, &mut [0; 8]).unwrap();
        arm(&mut bell, FAR, true, &other);
        assert!(!ready(&bell));
        // Full to the brim: only the worker's own next ring would wait.
        rustix::io::write(&worker, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        assert!(ready(&bell));
        arm(&mut bell, FAR, true, &other);
        ring(&worker);
        assert!(ready(&bell));
    }

    #[test]
    fn a_deadline_is_heard_and_a_later_one_again() {
        let (mut bell, _worker, other, _writer) = bell();
        for _ in 0..3 {
            arm(&mut bell, 1, true, &other);
            assert!(ready(&bell));
            arm(&mut bell, FAR, true, &other);
            assert!(!ready(&bell));
        }
    }

    #[test]
    fn something_to_read_elsewhere_is_heard() {
        let (mut bell, _worker, other, writer) = bell();
        arm(&mut bell, FAR, true, &other);
        assert!(!ready(&bell));
        rustix::io::write(&writer, &[1]).unwrap();
        assert!(ready(&bell));
        let heard = arm(&mut bell, FAR, true, &other);
        assert!(heard.other && ready(&bell), "it has not been read");
        rustix::io::read(&other, &mut [0; 8]).unwrap();
        assert!(!ready(&bell));
    }
}
