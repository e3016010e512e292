//! Processors that are set aside for workers that want one of their own.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processor numbers as the kernel writes them: `2,4-7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number = text.trim().parse::<usize>().ok();
            number
                .filter(|n| *n < CpuSet::MAX_CPU)
                .ok_or_else(|| format!("{text:?} is no processor number; write them as in 2,4-7"))
        };
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            if from > to {
                return Err(format!("{part:?} ends before it begins"));
            }
            cpus.extend(from..=to);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

/// The processors that are set aside, and which of them are free.
#[derive(Debug, Default)]
pub(crate) struct Processors {
    free: Arc<Mutex<Vec<usize>>>,
}

impl Processors {
    /// Sets processors aside: every thread of this process, and all that they start from now on,
    /// keep off them.
    pub(crate) fn reserve(list: &CpuList) -> Result<Self, String> {
        if list.0.is_empty() {
            return Ok(Self::default());
        }
        let allowed = sched_getaffinity(None).map_err(|error| error.to_string())?;
        let mut ours = allowed;
        for cpu in &list.0 {
            if !allowed.is_set(*cpu) {
                return Err(format!("processor {cpu} is not this daemon's to use"));
            }
            ours.unset(*cpu);
        }
        if ours.count() == 0 {
            return Err("no processor would be left for everything else".to_owned());
        }
        keep_to(&ours).map_err(|error| error.to_string())?;
        Ok(Self {
            free: Arc::new(Mutex::new(list.0.clone())),
        })
    }

    /// A free one, until the lease is dropped.
    pub(crate) fn lease(&self) -> Option<Lease> {
        let cpu = lock(&self.free).pop()?;
        Some(Lease {
            cpu,
            free: Arc::clone(&self.free),
        })
    }
}

/// A processor for one worker.
#[derive(Debug)]
pub(crate) struct Lease {
    cpu: usize,
    free: Arc<Mutex<Vec<usize>>>,
}

impl Lease {
    /// Puts a process with one thread there; what it starts stays there.
    pub(crate) fn place(&self, pid: i32) -> rustix::io::Result<()> {
        let mut set = CpuSet::new();
        set.set(self.cpu);
        sched_setaffinity(Pid::from_raw(pid), &set)
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processor {}", self.cpu)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.free).push(self.cpu);
    }
}

fn keep_to(set: &CpuSet) -> io::Result<()> {
    for thread in std::fs::read_dir("/proc/self/task")? {
        let name = thread?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let thread = Pid::from_raw(number.unwrap_or(0));
        match sched_setaffinity(thread, set) {
            // It has ended since.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn lock(free: &Mutex<Vec<usize>>) -> std::sync::MutexGuard<'_, Vec<usize>> {
    // A list of numbers is whole whatever happened to who held it.
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        let list = |text: &str| text.parse::<CpuList>().map(|list| list.to_string());
        assert_eq!(list("3"), Ok("3".to_owned()));
        assert_eq!(list("4-6,2, 5"), Ok("2,4,5,6".to_owned()));
        for (text, why) in [
            ("", "no processor number"),
            ("1,", "no processor number"),
            ("a", "no processor number"),
            ("-1", "no processor number"),
            ("99999999", "no processor number"),
            ("0-99999999", "no processor number"),
            ("5-4", "ends before it begins"),
        ] {
            assert!(list(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn each_is_leased_once_at_a_time() {
        let processors = Processors {
            free: Arc::new(Mutex::new(vec![3, 7])),
        };
        let (one, two) = (processors.lease().unwrap(), processors.lease().unwrap());
        assert_ne!(one.cpu, two.cpu);
        assert!(processors.lease().is_none());
        drop(one);
        assert!(processors.lease().is_some());
    }

    #[test]
    fn what_is_not_there_is_not_set_aside() {
        let reserve = |text: &str| Processors::reserve(&text.parse().unwrap());
        assert!(reserve("1000").unwrap_err().contains("processor 1000"));
        let allowed = sched_getaffinity(None).unwrap();
        let all: Vec<String> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| allowed.is_set(*cpu))
            .map(|cpu| cpu.to_string())
            .collect();
        assert!(
            reserve(&all.join(","))
                .unwrap_err()
                .contains("would be left")
        );
    }
}
