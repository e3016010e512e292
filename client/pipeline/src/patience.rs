//! For how long it is worth while to stay awake for an answer.

/// At least, beside twice the usual time.
const MARGIN_NS: u64 = 20_000;
/// An answer that usually takes longer is slept for.
const MOST_NS: u64 = 200_000;
/// How fast the usual time follows: one part in so many of each difference.
const SMOOTHING: u64 = 8;

/// Learns how long answers take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    usual_ns: u64,
}

impl Patience {
    /// How long to stay awake; `None`: sleep at once.
    pub(crate) fn awake_ns(&self) -> Option<u64> {
        let awake = 2 * self.usual_ns + MARGIN_NS;
        (awake <= MOST_NS).then_some(awake)
    }

    /// An answer has taken this long.
    pub(crate) fn took(&mut self, ns: u64) {
        // Far longer tells no more than longer, and is forgotten sooner.
        let ns = ns.min(MOST_NS);
        self.usual_ns = self.usual_ns - self.usual_ns / SMOOTHING + ns / SMOOTHING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_answers_are_waited_for_and_long_ones_slept_for() {
        let mut patience = Patience::default();
        assert_eq!(patience.awake_ns(), Some(MARGIN_NS));
        for _ in 0..100 {
            patience.took(8_000);
        }
        let awake = patience.awake_ns().unwrap();
        assert!(
            (MARGIN_NS + 14_000..=MARGIN_NS + 16_000).contains(&awake),
            "{awake}"
        );
        for _ in 0..100 {
            patience.took(10_000_000);
        }
        assert_eq!(patience.awake_ns(), None);
        for _ in 0..100 {
            patience.took(8_000);
        }
        assert!(patience.awake_ns().is_some(), "it recovers");
    }
}
