//! The curve that a neutral surface follows in R/G and B/G as the light changes from warm to cold.

use crate::tuning::Fault;

const MAX_POINTS: usize = 64;

/// What a neutral surface reads, relative to green.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhitePoint {
    /// R/G.
    pub red: f64,
    /// B/G.
    pub blue: f64,
}

impl WhitePoint {
    /// Red = green = blue.
    pub const EQUAL: Self = Self {
        red: 1.0,
        blue: 1.0,
    };

    /// Gains of R, G and B that make it neutral; green is 1, none is above 16.
    pub fn gains(self) -> [f64; 3] {
        let gain = |ratio: f64| 1.0 / ratio.clamp(1.0 / 16.0, 16.0);
        [gain(self.red), 1.0, gain(self.blue)]
    }

    /// Angle to another one as vectors (R, G, B), degrees: the recovery angular error.
    pub fn angle(self, other: Self) -> f64 {
        let dot = self.red * other.red + 1.0 + self.blue * other.blue;
        let norm = |w: Self| (w.red * w.red + 1.0 + w.blue * w.blue).sqrt();
        (dot / (norm(self) * norm(other)))
            .clamp(-1.0, 1.0)
            .acos()
            .to_degrees()
    }

    /// Whether both ratios are positive numbers.
    pub fn is_sane(self) -> bool {
        let sane = |ratio: f64| ratio.is_finite() && ratio > 0.0;
        sane(self.red) && sane(self.blue)
    }

    fn mix(self, other: Self, part: f64) -> Self {
        Self {
            red: self.red + (other.red - self.red) * part,
            blue: self.blue + (other.blue - self.blue) * part,
        }
    }
}

/// r(T) and b(T), linear between the points of the tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct CtCurve(Vec<(f64, WhitePoint)>);

impl CtCurve {
    /// A curve of points (T in K, R/G, B/G).
    ///
    /// # Errors
    /// [`Fault`] of `key` unless T rises, R/G falls, B/G rises, and there are 2 to 64 points.
    pub fn new(key: &str, points: &[[f64; 3]]) -> Result<Self, Fault> {
        if !(2..=MAX_POINTS).contains(&points.len()) {
            return Err(Fault::new(
                key,
                format!("has {} points; give 2 to {MAX_POINTS}", points.len()),
            ));
        }
        for (i, &[kelvin, red, blue]) in points.iter().enumerate() {
            let key = format!("{key}.{i}");
            Fault::unless_in(format!("{key}.0"), kelvin, 1000.0..=25_000.0)?;
            Fault::unless_in(format!("{key}.1"), red, 0.01..=16.0)?;
            Fault::unless_in(format!("{key}.2"), blue, 0.01..=16.0)?;
        }
        for (i, pair) in points.windows(2).enumerate() {
            let [a, b] = [pair[0], pair[1]];
            if !(a[0] < b[0] && a[1] > b[1] && a[2] < b[2]) {
                return Err(Fault::new(
                    format!("{key}.{}", i + 1),
                    format!(
                        "is {b:?} after {a:?}; along the curve temperature rises, R/G falls and \
                         B/G rises: sort the points, measure this one again"
                    ),
                ));
            }
        }
        let point = |&[kelvin, red, blue]: &[f64; 3]| (kelvin, WhitePoint { red, blue });
        Ok(Self(points.iter().map(point).collect()))
    }

    /// Lowest and highest temperature, K.
    pub fn range(&self) -> (f64, f64) {
        let kelvin = |point: Option<&(f64, WhitePoint)>| point.map_or(5000.0, |p| p.0);
        (kelvin(self.0.first()), kelvin(self.0.last()))
    }

    /// The white point at a temperature; beyond the ends that of the end.
    pub fn at(&self, kelvin: f64) -> WhitePoint {
        let (low, high) = self.range();
        let kelvin = kelvin.min(high).max(low);
        for ((t0, a), (t1, b)) in self.segments() {
            if kelvin <= t1 {
                return a.mix(b, (kelvin - t0) / (t1 - t0));
            }
        }
        self.0.last().map_or(WhitePoint::EQUAL, |p| p.1)
    }

    /// Whether a white point is within a factor of three of what the curve goes through: no light of
    /// another kind takes a sensor farther.
    pub fn is_near(&self, white: WhitePoint) -> bool {
        let ends = self.0.first().zip(self.0.last());
        ends.is_some_and(|((_, low), (_, high))| {
            (high.red / 3.0..=low.red * 3.0).contains(&white.red)
                && (low.blue / 3.0..=high.blue * 3.0).contains(&white.blue)
        })
    }

    /// The temperature of the point on the curve that is nearest to `white`.
    pub fn temperature(&self, white: WhitePoint) -> f64 {
        let mut best = (f64::INFINITY, self.range().0);
        for ((t0, a), (t1, b)) in self.segments() {
            let (dr, db) = (b.red - a.red, b.blue - a.blue);
            let along = (white.red - a.red) * dr + (white.blue - a.blue) * db;
            let part = (along / (dr * dr + db * db)).clamp(0.0, 1.0);
            let foot = a.mix(b, part);
            let off = (white.red - foot.red).powi(2) + (white.blue - foot.blue).powi(2);
            if off < best.0 {
                best = (off, t0 + (t1 - t0) * part);
            }
        }
        best.1
    }

    /// How far a colour is from the nearest point of the curve, in natural logarithms of R/G and
    /// B/G: 0.1 is about 10 %.
    pub fn log_distance(&self, colour: WhitePoint) -> f64 {
        let off = |(_, on): &(f64, WhitePoint)| {
            (colour.red / on.red)
                .ln()
                .hypot((colour.blue / on.blue).ln())
        };
        self.0.iter().map(off).fold(f64::INFINITY, f64::min)
    }

    /// Unit vector across the curve at a temperature, in the plane of R/G and B/G.
    pub fn normal(&self, kelvin: f64) -> (f64, f64) {
        let (a, b) = (self.at(kelvin * 0.99), self.at(kelvin * 1.01));
        let (dr, db) = (b.red - a.red, b.blue - a.blue);
        let length = dr.hypot(db);
        if length > 0.0 {
            (-db / length, dr / length)
        } else {
            (0.0, 0.0)
        }
    }

    fn segments(&self) -> impl Iterator<Item = ((f64, WhitePoint), (f64, WhitePoint))> {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> CtCurve {
        CtCurve::new(
            "awb.curve",
            &[[2500.0, 1.0, 0.3], [4500.0, 0.6, 0.5], [9000.0, 0.4, 0.8]],
        )
        .unwrap()
    }

    #[test]
    fn the_curve_is_linear_between_its_points_and_constant_beyond() {
        let white = curve().at(3500.0);
        assert!((white.red - 0.8).abs() < 1e-12 && (white.blue - 0.4).abs() < 1e-12);
        assert_eq!(curve().at(100.0).red, 1.0);
        assert_eq!(curve().at(f64::INFINITY).blue, 0.8);
        assert_eq!(curve().at(f64::NAN).red, 0.4);
    }

    #[test]
    fn a_point_of_the_curve_gives_back_its_temperature() {
        for kelvin in [2500.0, 3000.0, 4500.0, 6500.0, 9000.0] {
            let back = curve().temperature(curve().at(kelvin));
            assert!((back - kelvin).abs() < 1e-6, "{kelvin} {back}");
        }
    }

    #[test]
    fn the_distance_is_in_logarithms_of_the_ratios() {
        let off = curve().log_distance(WhitePoint {
            red: 0.6 * 1.5,
            blue: 0.5 * 1.5,
        });
        assert!((off - 1.5_f64.ln() * 2.0_f64.sqrt()).abs() < 0.15, "{off}");
        assert_eq!(curve().log_distance(curve().at(4500.0)), 0.0);
    }

    #[test]
    fn the_normal_is_across() {
        let (r, b) = curve().normal(3500.0);
        let (dr, db): (f64, f64) = (-0.4, 0.2);
        assert!((r * dr + b * db).abs() < 1e-9);
        assert!((r.hypot(b) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_curve_that_turns_back_is_refused_at_the_turn() {
        for bad in [[3000.0, 0.6, 0.6], [5000.0, 0.7, 0.6], [5000.0, 0.5, 0.4]] {
            let points = [[2500.0, 1.0, 0.3], [4500.0, 0.6, 0.5], bad];
            let fault = CtCurve::new("awb.curve", &points).unwrap_err();
            assert!(fault.to_string().contains("awb.curve.2"), "{fault:?}");
        }
    }

    #[test]
    fn a_curve_of_one_point_or_of_nan_is_refused() {
        assert!(CtCurve::new("awb.curve", &[[2500.0, 1.0, 0.3]]).is_err());
        let points = [[2500.0, f64::NAN, 0.3], [4500.0, 0.6, 0.5]];
        let fault = CtCurve::new("awb.curve", &points).unwrap_err();
        assert!(fault.to_string().contains("awb.curve.0.1"), "{fault:?}");
    }

    #[test]
    fn the_angle_is_that_of_the_vectors() {
        let a = WhitePoint {
            red: 0.5,
            blue: 0.5,
        };
        assert_eq!(a.angle(a), 0.0);
        let b = WhitePoint {
            red: 1e9,
            blue: 1e-9,
        };
        assert!(
            (WhitePoint {
                red: 1e-9,
                blue: 1e-9
            }
            .angle(b)
                - 90.0)
                .abs()
                < 1e-6
        );
    }

    #[test]
    fn gains_stay_within_the_isp() {
        let gains = WhitePoint {
            red: 1e-9,
            blue: 0.5,
        }
        .gains();
        assert_eq!(gains, [16.0, 1.0, 2.0]);
    }
}
