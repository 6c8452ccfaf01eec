//! How long messages took.

const SUB: u32 = 6;

/// Counts of durations, each known to 1.6 %.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn record(&mut self, nanoseconds: u64, count: u64) {
        let value = nanoseconds.max(1 << SUB);
        let shift = value.ilog2() - SUB;
        let slot = ((u64::from(shift) << SUB) + (value >> shift) - (1 << SUB)) as usize;
        if self.counts.len() <= slot {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += count;
        self.total += count;
    }

    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Microseconds within which this share of the messages came back.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut left = (self.total as f64 * share).ceil() as u64;
        for (slot, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                let (shift, place) = (slot >> SUB, slot & ((1 << SUB) - 1));
                return ((place + (1 << SUB)) << shift) as f64 / 1000.0;
            }
        }
        f64::NAN
    }
}
