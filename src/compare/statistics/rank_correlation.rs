//! Spearman's rank correlation.

/// Returns Spearman's ρ of pairs, from −1 to 1: Pearson's correlation of their ranks, where equal values share the
/// mean of theirs. `None` for less than three pairs, and where all values of one side are equal.
pub(super) fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 3 {
        return None;
    }
    let (left, right): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (left, right) = (ranks(&left), ranks(&right));
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        let terms = a.iter().zip(b);
        terms.map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let scale = (product(&left, &left) * product(&right, &right)).sqrt();
    (scale > 0.0).then(|| product(&left, &right) / scale)
}

/// Returns the rank of each value, from 0.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_the_ranks() {
        let of = |left: [f64; 5], right: [f64; 5]| {
            let pairs: Vec<_> = left.into_iter().zip(right).collect();
            rank_correlation(&pairs)
        };
        let up = [0.1, 0.2, 0.3, 5.0, 9.0];
        assert_eq!(of(up, up.map(f64::exp)), Some(1.0));
        assert_eq!(of(up, up.map(|x| -x)), Some(-1.0));
        // By scipy.stats.spearmanr.
        let found = of([1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 6.0, 7.0, 8.0, 7.0]);
        assert!((found.unwrap() - 0.820_782_681_668_123_3).abs() < 1e-12);
        assert_eq!(of(up, [1.0; 5]), None);
        assert_eq!(rank_correlation(&[(0.0, 0.0), (1.0, 1.0)]), None);
    }
}
