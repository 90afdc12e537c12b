//! The normal distribution.

/// Probability that a standard normal variable is at most `x`: the error function by its series near zero and by its continued fraction
/// further out (Abramowitz and Stegun 7.1.6 and 7.1.14), good to 1e-12.
pub(super) fn cumulative(x: f64) -> f64 {
    let (z, tail) = (x.abs() / std::f64::consts::SQRT_2, x < 0.0);
    let upper = if z < 3.0 { 0.5 * (1.0 - error_function(z)) } else { 0.5 * complement(z) };
    if tail { upper } else { 1.0 - upper }
}

fn error_function(z: f64) -> f64 {
    let (mut term, mut sum) = (z, z);
    for n in 1..200_u32 {
        term *= 2.0 * z * z / f64::from(2 * n + 1);
        sum += term;
        if term < 1e-18 {
            break;
        }
    }
    2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp() * sum
}

fn complement(z: f64) -> f64 {
    let fraction = (1..=200_u32).rev().fold(z, |below, n| z + f64::from(n) / 2.0 / below);
    (-z * z).exp() / std::f64::consts::PI.sqrt() / fraction
}

/// The value that a standard normal variable stays below with this probability, by bisection of [`cumulative`]: slow, and as exact as it.
pub(super) fn quantile(probability: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0) {
        return None;
    }
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if cumulative(middle) < probability { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn known_values_to_twelve_digits() {
        for (x, wanted) in [(0.0, 0.5), (1.0, 0.841_344_746_068_542_9), (-1.96, 0.024_997_895_148_220_435), (5.0, 0.999_999_713_348_428_1)]
        {
            assert!((cumulative(x) - wanted).abs() < 1e-12, "{x}: {}", cumulative(x));
        }
        for (probability, wanted) in [(0.5, 0.0), (0.975, 1.959_963_984_540_054), (0.001, -3.090_232_306_167_813)] {
            assert!((quantile(probability).unwrap() - wanted).abs() < 1e-10, "{probability}");
        }
        assert_eq!((quantile(0.0), quantile(1.0), quantile(f64::NAN)), (None, None, None));
    }
}
