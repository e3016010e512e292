//! A gate, and what is drawn beside it.

/// A bound, and what was measured.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What it is about.
    pub name: String,
    /// Of both numbers.
    pub unit: &'static str,
    /// The bound.
    pub bound: f64,
    /// The worst that was measured, unless the name says otherwise.
    pub measured: f64,
    /// Whether the measurement has to be at least the bound, and not at most.
    pub at_least: bool,
    /// Runs behind it.
    pub runs: usize,
    /// Where the worst was, and more.
    pub note: String,
}

impl Gate {
    /// A bound from above.
    #[must_use]
    pub fn at_most(
        name: &str,
        unit: &'static str,
        bound: f64,
        measured: f64,
        runs: usize,
        note: String,
    ) -> Self {
        Self {
            name: name.into(),
            unit,
            bound,
            measured,
            at_least: false,
            runs,
            note,
        }
    }

    /// A bound from below.
    #[must_use]
    pub fn at_least(
        name: &str,
        unit: &'static str,
        bound: f64,
        measured: f64,
        runs: usize,
        note: String,
    ) -> Self {
        Self {
            at_least: true,
            ..Self::at_most(name, unit, bound, measured, runs, note)
        }
    }

    /// Whether it is met; a measurement that is none meets nothing.
    #[must_use]
    pub fn met(&self) -> bool {
        if self.at_least {
            self.measured >= self.bound
        } else {
            self.measured <= self.bound
        }
    }
}

/// Curves over frames.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Beside its vertical axis.
    pub y: String,
    /// Values worth being in.
    pub band: Option<(f64, f64)>,
    /// The curves.
    pub series: Vec<Series>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Curves of a group have one colour.
    pub group: String,
    /// One a frame.
    pub values: Vec<f64>,
}

/// Numbers in a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Above it.
    pub title: String,
    /// Of its columns.
    pub head: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_from_its_side_and_what_is_no_number_meets_none() {
        let most = |measured| Gate::at_most("", "", 5.0, measured, 1, String::new()).met();
        assert!(most(5.0) && !most(5.1) && !most(f64::NAN));
        let least = |measured| Gate::at_least("", "", 5.0, measured, 1, String::new()).met();
        assert!(least(5.0) && !least(4.9) && !least(f64::NAN));
    }
}
