//! Colour correction: from the white-balanced camera RGB to linear sRGB, by temperature.

use serde::Deserialize;

use crate::tuning::Fault;

/// A new matrix is made when the temperature has moved this far, K.
const STEP_K: f64 = 100.0;
const MAX_MATRICES: usize = 16;
/// Rec. 709 luma, the axis that saturation turns on.
const LUMA: [f64; 3] = [0.2126, 0.7152, 0.0722];

/// A matrix of rows: `out[i] = Σ m[i][j]·in[j]`.
pub type Matrix = [[f64; 3]; 3];

/// Leaves colours as they are.
pub const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// The matrix measured at a temperature.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CcmAt {
    /// K.
    pub temperature: f64,
    /// Each row sums to 1.
    pub matrix: Matrix,
}

/// The `[ccm]` table.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct CcmTuning {
    /// Matrices by rising temperature; empty: colours stay as they are.
    pub matrices: Vec<CcmAt>,
    /// 1 is as measured, 0 is grey.
    pub saturation: f64,
}

impl Default for CcmTuning {
    fn default() -> Self {
        Self {
            matrices: Vec::new(),
            saturation: 1.0,
        }
    }
}

impl CcmTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("ccm.saturation", self.saturation, 0.0..=4.0)?;
        if self.matrices.len() > MAX_MATRICES {
            return Err(Fault::new(
                "ccm.matrices",
                format!(
                    "has {} matrices; keep at most {MAX_MATRICES}",
                    self.matrices.len()
                ),
            ));
        }
        let mut before = 1000.0;
        for (i, entry) in self.matrices.iter().enumerate() {
            let key = format!("ccm.matrices.{i}");
            Fault::unless_in(
                format!("{key}.temperature"),
                entry.temperature,
                before..=25_000.0,
            )?;
            // Two at one temperature would leave nothing to interpolate between.
            before = entry.temperature + 1.0;
            for (j, row) in entry.matrix.iter().enumerate() {
                let key = format!("{key}.matrix.{j}");
                for (k, &value) in row.iter().enumerate() {
                    Fault::unless_in(format!("{key}.{k}"), value, -7.9..=7.9)?;
                }
                let sum: f64 = row.iter().sum();
                if (sum - 1.0).abs() > 0.005 {
                    return Err(Fault::new(
                        key,
                        format!(
                            "sums to {sum:.4}; scale the row to a sum of 1 so that grey stays grey"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The matrix at a temperature: linear in T, beyond the ends that of the end.
    pub fn at(&self, kelvin: f64) -> Matrix {
        let Some(first) = self.matrices.first() else {
            return IDENTITY;
        };
        let mut before = first;
        for entry in &self.matrices {
            if kelvin <= entry.temperature {
                let span = (entry.temperature - before.temperature).max(1.0);
                let part = ((kelvin - before.temperature) / span).clamp(0.0, 1.0);
                return combine(|i, j| {
                    let (a, b) = (before.matrix[i][j], entry.matrix[i][j]);
                    a + (b - a) * part
                });
            }
            before = entry;
        }
        before.matrix
    }
}

/// Colour correction of one camera.
#[derive(Clone, Debug)]
pub struct Ccm {
    tuning: CcmTuning,
    /// Temperature of the matrix in use, and the matrix.
    used: Option<(f64, Matrix)>,
}

impl Ccm {
    /// Colour correction at its start.
    pub fn new(tuning: &CcmTuning) -> Self {
        Self {
            tuning: tuning.clone(),
            used: None,
        }
    }

    /// Temperature of the matrix in use, K.
    pub(crate) fn used(&self) -> Option<f64> {
        self.used.map(|(kelvin, _)| kelvin)
    }

    /// Goes on from the matrix that another one used.
    pub(crate) fn resume(&mut self, used: Option<f64>) {
        self.used = used.map(|kelvin| (kelvin, self.tuning.at(kelvin)));
    }

    /// The matrix for a temperature, K, and a saturation relative to the tuning's. It moves in
    /// steps of 100 K: its noise would be seen before its error.
    pub fn process(&mut self, kelvin: f64, saturation: f64) -> Matrix {
        let matrix = match self.used {
            Some((at, matrix)) if (kelvin - at).abs() < STEP_K => matrix,
            _ => {
                let matrix = self.tuning.at(kelvin);
                self.used = Some((kelvin, matrix));
                matrix
            }
        };
        saturated(
            &matrix,
            (self.tuning.saturation * saturation).clamp(0.0, 4.0),
        )
    }
}

/// Mixes a matrix's output with its luma; rows keep their sums.
fn saturated(matrix: &Matrix, saturation: f64) -> Matrix {
    let luma = |j: usize| -> f64 { (0..3).map(|k| LUMA[k] * matrix[k][j]).sum() };
    combine(|i, j| luma(j) + saturation * (matrix[i][j] - luma(j)))
}

fn combine(element: impl Fn(usize, usize) -> f64) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| element(i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM: Matrix = [[2.0, -0.8, -0.2], [-0.5, 1.5, 0.0], [0.0, -1.0, 2.0]];
    const COLD: Matrix = [[1.6, -0.4, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.6, 1.6]];

    fn tuning() -> CcmTuning {
        let at = |temperature, matrix| CcmAt {
            temperature,
            matrix,
        };
        CcmTuning {
            matrices: vec![at(3000.0, WARM), at(6000.0, COLD)],
            saturation: 1.0,
        }
    }

    fn close(a: &Matrix, b: &Matrix) -> bool {
        a.iter()
            .flatten()
            .zip(b.iter().flatten())
            .all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn matrices_are_linear_in_temperature_and_constant_beyond() {
        let middle = combine(|i, j| f64::midpoint(WARM[i][j], COLD[i][j]));
        assert!(close(&tuning().at(4500.0), &middle));
        assert_eq!(tuning().at(1000.0), WARM);
        assert_eq!(tuning().at(20_000.0), COLD);
        assert_eq!(CcmTuning::default().at(4500.0), IDENTITY);
    }

    #[test]
    fn less_than_100_kelvin_change_nothing() {
        let mut ccm = Ccm::new(&tuning());
        let first = ccm.process(4000.0, 1.0);
        assert_eq!(ccm.process(4099.0, 1.0), first);
        assert_eq!(ccm.process(3901.0, 1.0), first);
        assert_ne!(ccm.process(4100.0, 1.0), first);
    }

    #[test]
    fn small_steps_add_up() {
        let mut ccm = Ccm::new(&tuning());
        let first = ccm.process(4000.0, 1.0);
        assert_eq!(ccm.process(4060.0, 1.0), first);
        assert_ne!(ccm.process(4120.0, 1.0), first);
    }

    #[test]
    fn grey_stays_grey_at_any_saturation() {
        for saturation in [0.0, 0.5, 1.0, 2.0] {
            for row in Ccm::new(&tuning()).process(4500.0, saturation) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn without_saturation_all_rows_are_luma() {
        let matrix = Ccm::new(&CcmTuning::default()).process(5000.0, 0.0);
        assert!(close(&matrix, &[LUMA; 3]));
        assert!(close(&Ccm::new(&tuning()).process(3000.0, 1.0), &WARM));
    }

    #[test]
    fn a_temperature_that_is_none_gives_a_matrix_of_the_tuning() {
        assert_eq!(tuning().at(f64::NAN), COLD);
    }

    #[test]
    fn rows_that_tint_grey_and_temperatures_out_of_order_are_refused() {
        let mut bad = tuning();
        bad.matrices[1].matrix[2][0] = 0.1;
        assert!(
            bad.check()
                .unwrap_err()
                .to_string()
                .contains("ccm.matrices.1.matrix.2")
        );
        let mut bad = tuning();
        bad.matrices[1].temperature = 3000.0;
        assert!(
            bad.check()
                .unwrap_err()
                .to_string()
                .contains("ccm.matrices.1.temperature")
        );
        let mut bad = tuning();
        bad.matrices[0].matrix[0][1] = f64::NAN;
        assert!(
            bad.check()
                .unwrap_err()
                .to_string()
                .contains("ccm.matrices.0.matrix.0.1")
        );
    }
}
