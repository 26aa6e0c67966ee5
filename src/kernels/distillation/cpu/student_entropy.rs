//! The entropy of the student's most likely tokens; see `shaders/distillation/student_entropy.wgsl`.

/// Number of most likely tokens (arXiv:2601.02151, section 3.3).
pub(in crate::kernels::distillation) const TOP: usize = 20;

/// Returns H / ln [`TOP`] from 0 to 1, where H is the entropy of the row's most likely tokens among
/// themselves. The row holds exp(x − maximum).
pub(super) fn entropy_of_student(row: &[f32]) -> f64 {
    // The largest values, in descending order.
    let mut largest = [0.0_f32; TOP];
    for &value in row {
        if value <= largest[TOP - 1] {
            continue;
        }
        let place = largest.partition_point(|&other| other >= value);
        largest[place..].rotate_right(1);
        largest[place] = value;
    }
    let (mut sum, mut weighted) = (0.0, 0.0);
    for value in largest.into_iter().filter(|&value| value > 0.0) {
        let value = f64::from(value);
        sum += value;
        weighted += value * value.ln();
    }
    let entropy = sum.ln() - weighted / sum;
    let most = TOP.min(row.len().max(2)) as f64;
    (entropy / most.ln()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entropy_is_that_of_the_largest_values() {
        assert!((entropy_of_student(&[1.0; 50]) - 1.0).abs() < 1e-12);
        assert!((entropy_of_student(&[1.0, 1.0, 1.0]) - 1.0).abs() < 1e-12);
        let mut certain = [0.0; 50];
        certain[7] = 1.0;
        assert_eq!(entropy_of_student(&certain), 0.0);
        assert_eq!(entropy_of_student(&[1.0]), 0.0);
        // The 30 smaller values do not count, in whatever order.
        let mut half = vec![0.5; 30];
        half.extend([1.0; 20]);
        half.rotate_left(11);
        assert!((entropy_of_student(&half) - 1.0).abs() < 1e-12);
        let three_to_one = [0.25_f64, 0.75].iter().map(|p| -p * p.ln()).sum::<f64>();
        let expected = three_to_one / 2.0_f64.ln();
        assert!((entropy_of_student(&[1.0, 1.0 / 3.0]) - expected).abs() < 1e-7);
    }
}
