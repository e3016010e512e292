//! How far a white point is off: the angles of the colour constancy literature.

/// Recovery angle in degrees between an estimate and the true RGB of a neutral surface. Lengths do
/// not matter; a vector without length or with NaN is 90° off.
#[must_use]
pub fn recovery(estimate: [f64; 3], truth: [f64; 3]) -> f64 {
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(estimate, truth) / (dot(estimate, estimate) * dot(truth, truth)).sqrt();
    if cosine.is_nan() {
        90.0
    } else {
        cosine.clamp(-1.0, 1.0).acos().to_degrees()
    }
}

/// Reproduction angle in degrees (Finlayson and Zakizadeh, 2014): how far from grey a neutral
/// surface comes out once the estimate is divided away.
#[must_use]
pub fn reproduction(estimate: [f64; 3], truth: [f64; 3]) -> f64 {
    let mut corrected = truth;
    for (channel, estimate) in corrected.iter_mut().zip(estimate) {
        *channel /= estimate;
    }
    recovery(corrected, [1.0; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_estimate_is_off_by_nothing_whatever_its_length() {
        assert!(recovery([0.3, 0.6, 0.2], [3.0, 6.0, 2.0]) < 1e-5);
        assert!(reproduction([0.3, 0.6, 0.2], [3.0, 6.0, 2.0]) < 1e-5);
    }

    #[test]
    fn angles_match_a_hand_calculation() {
        assert!((recovery([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]) - 45.0).abs() < 1e-9);
        let off = (4.0 / (6.0_f64 * 3.0).sqrt()).acos().to_degrees();
        assert!((reproduction([0.5, 1.0, 1.0], [1.0, 1.0, 1.0]) - off).abs() < 1e-9);
    }

    #[test]
    fn an_estimate_that_is_none_is_90_degrees_off() {
        assert_eq!(recovery([0.0; 3], [1.0; 3]), 90.0);
        assert_eq!(recovery([f64::NAN; 3], [1.0; 3]), 90.0);
        assert_eq!(reproduction([0.0; 3], [1.0; 3]), 90.0);
    }
}
