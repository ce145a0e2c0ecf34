//! What a section found: for machines, for people; and the little statistics that it takes.

use serde_json::{Map, Value};

/// A section's result.
#[derive(Debug)]
pub(crate) struct Report {
    /// Keys of the JSON object that all sections share.
    pub(crate) json: Map<String, Value>,
    /// Lines for people.
    pub(crate) table: String,
}

/// Tells whoever waits how far it is.
pub(crate) fn progress(line: &str) {
    eprintln!("bench: {line}");
}

/// The value below which a part `q` (0 to 1) of all values lies, by the nearest rank; 0 of none.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among values that fit into memory"
    )]
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> f64 {
    let upper: Vec<f64> = values.iter().map(|value| -value).collect();
    f64::midpoint(quantile(values, 0.5), -quantile(&upper, 0.5))
}

/// A number with two decimals, which is more than any of them deserves.
pub(crate) fn rounded(value: f64) -> Value {
    Value::from((value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        for (q, expected) in [(0.0, 1.0), (0.2, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)] {
            assert!((quantile(&values, q) - expected).abs() < f64::EPSILON, "{q}");
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
