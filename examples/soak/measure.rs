//! What a process has: memory, descriptors, connections. And how it is judged.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unsync_websocket_test_alloc::live_in_process;

/// A number that is another one every time.
pub(crate) fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Asks for as many descriptors as this process may have, and tells how many those are.
pub(crate) fn raise_descriptor_limit() -> usize {
    // Elsewhere than on Unix there is none; 8,192 is what the C library of Windows could count.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(8192);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What this process has just now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Bytes that were allocated and not freed: every live object there is.
    pub(crate) heap: i64,
    /// Resident memory in KiB; `None` without a `/proc`, as for descriptors.
    pub(crate) resident: Option<i64>,
    /// The most that was ever resident.
    peak: Option<i64>,
    pub(crate) descriptors: Option<i64>,
}

impl Sample {
    pub(crate) fn take() -> Self {
        // The directory that is being read is a descriptor too.
        let descriptors =
            fs::read_dir("/proc/self/fd").map(|names| i64::try_from(names.count()).unwrap_or(i64::MAX) - 1);
        Self {
            heap: i64::try_from(live_in_process()).unwrap_or(i64::MAX),
            resident: resident("VmRSS:"),
            peak: resident("VmHWM:"),
            descriptors: descriptors.ok(),
        }
    }
}

fn resident(which: &str) -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(which))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// How many of something there are: each holds a [`Counted`].
#[derive(Debug, Default)]
pub(crate) struct Count {
    now: Cell<usize>,
    ever: Cell<u64>,
}

/// One of those that a [`Count`] counts.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Count);

impl Count {
    pub(crate) fn enter(&self) -> Counted<'_> {
        self.now.update(|now| now + 1);
        self.ever.update(|ever| ever + 1);
        Counted(self)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.get()
    }

    pub(crate) fn ever(&self) -> u64 {
        self.ever.get()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.update(|now| now - 1);
    }
}

/// A judgement: what it came to, and what it may.
#[derive(Debug)]
pub(crate) struct Verdict {
    what: &'static str,
    was: String,
    may: String,
    is_good: bool,
}

impl Verdict {
    /// There must be none of these.
    pub(crate) fn none(what: &'static str, count: u64) -> Self {
        Self { what, was: count.to_string(), may: String::from("0"), is_good: count == 0 }
    }

    /// At most so much more than before. Nothing to compare is good.
    pub(crate) fn growth(what: &'static str, before: Option<i64>, after: Option<i64>, most: i64) -> Self {
        match before.zip(after) {
            Some((before, after)) => Self {
                what,
                was: format!("{before} before, {after} after"),
                may: format!("{most} more"),
                is_good: after - before <= most,
            },
            None => {
                Self { what, was: String::from("cannot be told here"), may: String::new(), is_good: true }
            }
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.is_good
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_good { "good" } else { "BAD " };
        write!(f, "{word}  {:<48} {:<32} (may: {})", self.what, self.was, self.may)
    }
}

/// Judges what a process has after a whole round against what it had after the one before: each object that stays behind shows.
///
/// The first round has grown the tables that never shrink: the executor's, the reactor's, the allocator's.
pub(crate) fn back_to_the_start(before: Sample, after: Sample) -> [Verdict; 3] {
    // A few small buffers come and go, a few hundred bytes were seen; a single connection that stayed behind is a thousand.
    let heap = Verdict::growth("heap after the round, bytes", Some(before.heap), Some(after.heap), 2 << 10);
    // Pages are given back as the allocator likes: between the rounds 5 MiB were seen to be left, or 37. So it is held against the
    // most that the round before took; what is alive is counted above, to the byte.
    let slack = |kib: i64| kib / 5 + (2 << 10);
    let resident = Verdict::growth(
        "resident after the round, against the peak, KiB",
        before.peak,
        after.resident,
        slack(before.peak.unwrap_or(0)),
    );
    [heap, Verdict::growth("descriptors after the round", before.descriptors, after.descriptors, 0), resident]
}

/// The slope of resident memory over a time, by least squares, and the judgement of it.
#[derive(Debug, Default)]
pub(crate) struct Slope {
    points: Vec<(f64, f64)>,
}

impl Slope {
    pub(crate) fn add(&mut self, at: Duration, sample: Sample) {
        if let Some(Ok(resident)) = sample.resident.map(i32::try_from) {
            self.points.push((at.as_secs_f64(), f64::from(resident)));
        }
    }

    /// KiB in ten minutes, and the mean in KiB.
    fn fit(&self) -> Option<(f64, f64)> {
        let count = f64::from(u32::try_from(self.points.len()).ok()?);
        if count < 3.0 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| self.points.iter().map(of).sum::<f64>() / count;
        let (middle, level) = (mean(|point| point.0), mean(|point| point.1));
        let rise: f64 = self.points.iter().map(|(at, kib)| (at - middle) * (kib - level)).sum();
        let run: f64 = self.points.iter().map(|(at, _)| (at - middle).powi(2)).sum();
        Some((rise / run * 600.0, level))
    }

    /// Whether it rises by no more than 1 % in ten minutes. It is judged when it was looked at for three minutes: in less, what the
    /// allocator takes and gives is all that is seen.
    pub(crate) fn verdict(&self) -> Verdict {
        let what = "resident during the churn, KiB in 10 minutes";
        let time =
            self.points.last().map_or(0.0, |last| last.0) - self.points.first().map_or(0.0, |first| first.0);
        let Some((rise, level)) = self.fit().filter(|_| time >= 180.0) else {
            return Verdict {
                what,
                was: String::from("too short to tell"),
                may: String::new(),
                is_good: true,
            };
        };
        let most = level / 100.0;
        Verdict {
            what,
            was: format!("{rise:+.0}, of {level:.0}"),
            may: format!("{most:+.0}"),
            is_good: rise <= most,
        }
    }
}
