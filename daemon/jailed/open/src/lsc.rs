//! Lens shading correction: a radial model or a measured grid, from the tuning.

use coldshoe_isp::soft::Lsc;
use serde::Deserialize;

use crate::tuning::Fault;

/// Coefficients of the radial model, by channel.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Radial {
    /// Optical centre in fractions of width and height.
    #[serde(default = "middle")]
    pub centre: [f64; 2],
    /// k of `1 + Σ kᵢ·r^(2i)`, from r²; r is 1 half a diagonal from the centre.
    pub red: Vec<f64>,
    /// The same for both greens.
    pub green: Vec<f64>,
    /// The same for blue.
    pub blue: Vec<f64>,
}

fn middle() -> [f64; 2] {
    [0.5, 0.5]
}

/// Gains at the nodes of an even grid, corners included, by channel.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Nodes in a row.
    pub columns: usize,
    /// Gains row by row from the top left.
    pub red: Vec<f64>,
    /// The same for both greens.
    pub green: Vec<f64>,
    /// The same for blue.
    pub blue: Vec<f64>,
}

/// The `[lsc]` table: one of its two.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LscTuning {
    /// The radial model.
    pub radial: Option<Radial>,
    /// The measured grid.
    pub grid: Option<Grid>,
}

impl LscTuning {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match (&self.radial, &self.grid) {
            (Some(radial), None) => radial.check(),
            (None, Some(grid)) => grid.check(),
            _ => Err(Fault::new(
                "lsc",
                "needs `radial` or `grid`; give one of them, or leave the table out",
            )),
        }
    }

    /// The correction for a frame of `width`:`height`.
    pub fn correction(&self, width: u32, height: u32) -> Lsc {
        Lsc::from_fn(|channel, x, y| self.gain(channel, x, y, width, height))
    }

    /// The gain of R, Gr, Gb or B (0 to 3) at (x, y), each 0..=1 from the top left.
    pub fn gain(&self, channel: usize, x: f64, y: f64, width: u32, height: u32) -> f64 {
        match (&self.radial, &self.grid) {
            (Some(radial), _) => {
                let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
                radial.gain(channel, x, y, width, height)
            }
            (None, Some(grid)) => grid.gain(channel, x, y),
            (None, None) => 1.0,
        }
    }
}

/// Of the channels R, Gr, Gb, B.
fn of_channel<'a>(channel: usize, red: &'a [f64], green: &'a [f64], blue: &'a [f64]) -> &'a [f64] {
    match channel {
        0 => red,
        3 => blue,
        _ => green,
    }
}

impl Radial {
    fn check(&self) -> Result<(), Fault> {
        for (i, &at) in self.centre.iter().enumerate() {
            Fault::unless_in(format!("lsc.radial.centre.{i}"), at, 0.0..=1.0)?;
        }
        for (name, list) in [
            ("red", &self.red),
            ("green", &self.green),
            ("blue", &self.blue),
        ] {
            if list.len() > 8 {
                let key = format!("lsc.radial.{name}");
                return Err(Fault::new(key, "has too many coefficients; keep at most 8"));
            }
            for (i, &k) in list.iter().enumerate() {
                Fault::unless_in(format!("lsc.radial.{name}.{i}"), k, -100.0..=100.0)?;
            }
        }
        Ok(())
    }

    fn gain(&self, channel: usize, x: f64, y: f64, width: f64, height: f64) -> f64 {
        let dx = (x - self.centre[0]) * width;
        let dy = (y - self.centre[1]) * height;
        let r2 = 4.0 * (dx * dx + dy * dy) / (width * width + height * height);
        let list = of_channel(channel, &self.red, &self.green, &self.blue);
        1.0 + list.iter().rev().fold(0.0, |sum, k| (sum + k) * r2)
    }
}

impl Grid {
    fn check(&self) -> Result<(), Fault> {
        Fault::unless_in("lsc.grid.columns", self.columns, 2..=64)?;
        for (name, list) in [
            ("red", &self.red),
            ("green", &self.green),
            ("blue", &self.blue),
        ] {
            let key = format!("lsc.grid.{name}");
            let rows = list.len() / self.columns;
            if list.len() % self.columns != 0 || !(2..=64).contains(&rows) {
                return Err(Fault::new(
                    key,
                    format!(
                        "has {} gains; give 2 to 64 rows of {}",
                        list.len(),
                        self.columns
                    ),
                ));
            }
            for (i, &gain) in list.iter().enumerate() {
                Fault::unless_in(format!("{key}.{i}"), gain, 0.5..=8.0)?;
            }
        }
        Ok(())
    }

    /// Bilinear between the nodes.
    fn gain(&self, channel: usize, x: f64, y: f64) -> f64 {
        let list = of_channel(channel, &self.red, &self.green, &self.blue);
        let rows = list.len().checked_div(self.columns).unwrap_or(0);
        let (x0, px) = place(x, self.columns);
        let (y0, py) = place(y, rows);
        let node = |x: usize, y: usize| list.get(y * self.columns + x).copied().unwrap_or(1.0);
        let row = |y| node(x0, y) * (1.0 - px) + node(x0 + 1, y) * px;
        row(y0) * (1.0 - py) + row(y0 + 1) * py
    }
}

/// The node before `at` and how far behind it, of `nodes` spread over 0..=1.
fn place(at: f64, nodes: usize) -> (usize, f64) {
    let scaled = at.clamp(0.0, 1.0) * nodes.saturating_sub(1) as f64;
    let node = (scaled as usize).min(nodes.saturating_sub(2));
    (node, scaled - node as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn radial(green: Vec<f64>) -> LscTuning {
        LscTuning {
            radial: Some(Radial {
                centre: middle(),
                red: vec![0.5, 0.25],
                green,
                blue: vec![],
            }),
            grid: None,
        }
    }

    #[test]
    fn the_radial_model_is_one_in_the_centre_and_the_sum_in_the_corner() {
        let lsc = radial(vec![0.25]).correction(640, 480);
        assert_eq!(lsc.node(0, 8, 6), 1.0);
        assert_eq!(lsc.node(0, 0, 0), 1.75);
        assert_eq!(lsc.node(1, 16, 12), 1.25);
        assert_eq!(lsc.node(2, 16, 0), 1.25);
        assert_eq!(lsc.node(3, 0, 0), 1.0);
        // The left edge's middle: r = 320/400.
        assert!((lsc.node(1, 0, 6) - (1.0 + 0.25 * 0.64)).abs() < 1e-3);
    }

    #[test]
    fn a_grid_is_bilinear_between_its_nodes() {
        let grid = Grid {
            columns: 2,
            red: vec![1.0, 2.0, 3.0, 4.0],
            green: vec![1.0; 6],
            blue: vec![2.0; 4],
        };
        let tuning = LscTuning {
            radial: None,
            grid: Some(grid),
        };
        tuning.check().unwrap();
        let lsc = tuning.correction(640, 480);
        assert_eq!(lsc.node(0, 0, 0), 1.0);
        assert_eq!(lsc.node(0, 16, 12), 4.0);
        assert_eq!(lsc.node(0, 8, 6), 2.5);
        assert_eq!(lsc.node(3, 3, 3), 2.0);
    }

    #[test]
    fn neither_or_both_is_refused() {
        let neither = LscTuning {
            radial: None,
            grid: None,
        };
        assert!(neither.check().is_err());
    }

    #[test]
    fn gains_and_coefficients_out_of_range_are_refused_by_place() {
        let fault = radial(vec![0.1, f64::NAN]).check().unwrap_err();
        assert!(fault.to_string().contains("lsc.radial.green.1"));
        let grid = |columns, red| LscTuning {
            radial: None,
            grid: Some(Grid {
                columns,
                red,
                green: vec![1.0; 4],
                blue: vec![1.0; 4],
            }),
        };
        for (columns, red, key) in [
            (2, vec![1.0; 5], "lsc.grid.red"),
            (2, vec![1.0, 1.0, 9.0, 1.0], "lsc.grid.red.2"),
            (0, vec![1.0; 4], "lsc.grid.columns"),
        ] {
            let fault = grid(columns, red).check().unwrap_err();
            assert!(fault.to_string().contains(key), "{fault:?}");
        }
    }
}
