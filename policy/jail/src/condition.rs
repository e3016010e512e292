//! One condition on one argument of a system call.

/// How much of the argument the kernel looks at, hence how much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The low 32 bits: the call takes an `int`.
    Int,
    /// All 64 bits: the call takes a `long`, a size or a pointer.
    Long,
}

impl Width {
    /// The bits that count.
    pub const fn bits(self) -> u64 {
        match self {
            Width::Int => 0xFFFF_FFFF,
            Width::Long => u64::MAX,
        }
    }
}

/// What the argument is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The argument's bits under `mask` equal one of `values`.
    OneOf {
        /// The bits that count, within the condition's width.
        mask: u64,
        /// Never empty; each lies within `mask`.
        values: Vec<u64>,
    },
    /// The argument, taken as an unsigned number of its width, is no larger.
    AtMost(u64),
}

/// A condition on one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub arg: u8,
    /// How much of it counts.
    pub width: Width,
    /// What it must be.
    pub test: Test,
}

impl Condition {
    /// Whether `value` in the argument's place passes.
    pub fn admits(&self, value: u64) -> bool {
        let value = value & self.width.bits();
        match &self.test {
            Test::OneOf { mask, values } => values.contains(&(value & mask)),
            Test::AtMost(most) => value <= *most,
        }
    }

    /// Whether some value with all of `bits` set passes.
    pub(crate) fn admits_some_with(&self, bits: u64) -> bool {
        match &self.test {
            Test::OneOf { mask, values } => values.iter().any(|v| v & bits == mask & bits),
            Test::AtMost(most) => bits <= *most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of(mask: u64, values: &[u64]) -> Condition {
        Condition {
            arg: 0,
            width: Width::Long,
            test: Test::OneOf {
                mask,
                values: values.to_vec(),
            },
        }
    }

    #[test]
    fn an_int_is_compared_by_its_low_half() {
        let fd = Condition {
            arg: 0,
            width: Width::Int,
            test: Test::OneOf {
                mask: 0xFFFF_FFFF,
                values: vec![3],
            },
        };
        assert!(fd.admits(0xDEAD_BEEF_0000_0003));
        assert!(!fd.admits(0xDEAD_BEEF_0000_0004));
    }

    #[test]
    fn bits_outside_the_mask_can_be_anything() {
        assert!(one_of(!3, &[0]).admits_some_with(2));
        assert!(!one_of(!3, &[0]).admits_some_with(6));
        assert!(one_of(!6, &[0]).admits_some_with(6));
        assert!(!one_of(u64::MAX, &[0, 1, 2, 3, 4, 5]).admits_some_with(6));
        assert!(one_of(u64::MAX, &[7]).admits_some_with(6));
    }
}
