//! How long a module is put up with.

/// When a module is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// So many frames with something refused are one too many.
    pub violations: u32,
    /// So many good frames in a row make up for one of them.
    pub forgiven_after: u32,
}

/// How a session stands with its contract.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    quarantine: Quarantine,
    held: u32,
    good: u32,
    over: bool,
}

impl Standing {
    /// That of a new session.
    #[must_use]
    pub const fn new(quarantine: Quarantine) -> Self {
        Self {
            quarantine,
            held: 0,
            good: 0,
            over: false,
        }
    }

    /// Takes note of a frame, and tells whether the module is to be given up: for good.
    pub const fn frame(&mut self, violated: bool) -> bool {
        if violated {
            self.good = 0;
            self.held = self.held.saturating_add(1);
            self.over |= self.held >= self.quarantine.violations;
        } else {
            self.good += 1;
            if self.good >= self.quarantine.forgiven_after {
                self.good = 0;
                self.held = self.held.saturating_sub(1);
            }
        }
        self.over
    }

    /// Frames that are held against it.
    #[must_use]
    pub const fn held(&self) -> u32 {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Quarantine = Quarantine {
        violations: 3,
        forgiven_after: 2,
    };

    #[test]
    fn as_many_violations_as_the_contract_says_are_too_many_for_good() {
        let mut standing = Standing::new(RULE);
        assert!(!standing.frame(true));
        assert!(!standing.frame(true));
        assert!(standing.frame(true));
        assert!((0..100).all(|_| standing.frame(false)));
    }

    #[test]
    fn good_frames_in_a_row_make_up_for_a_violation() {
        let mut standing = Standing::new(RULE);
        for _ in 0..100 {
            assert!(!standing.frame(true));
            assert!(!standing.frame(false));
            assert!(!standing.frame(false));
            assert_eq!(standing.held(), 0);
        }
        // Not in a row.
        for _ in 0..2 {
            assert!(!standing.frame(true));
            assert!(!standing.frame(false));
        }
        assert!(standing.frame(true));
    }
}
