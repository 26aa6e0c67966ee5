//! Packing of several texts into one sample.

use super::sample::Sample;

/// Packs samples together into sequences of at most `max_length` tokens.
pub fn packed(samples: &[Sample], max_length: usize) -> Vec<Sample> {
    let mut order: Vec<&Sample> = samples.iter().collect();
    // Best-fit decreasing.
    order.sort_by_key(|sample| std::cmp::Reverse(sample.len()));
    let mut packs: Vec<(usize, Vec<Sample>)> = Vec::new();
    for sample in order {
        let fits = packs
            .iter_mut()
            .filter(|(length, _)| length + sample.len() <= max_length)
            .max_by_key(|(length, _)| *length);
        match fits {
            Some((length, pack)) => {
                *length += sample.len();
                pack.push(sample.clone());
            }
            None => packs.push((sample.len(), vec![sample.clone()])),
        }
    }
    packs
        .into_iter()
        .map(|(_, pack)| Sample::packed(pack))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_contain_every_sample_once_with_little_unused_space() {
        let texts: Vec<Sample> = (0..40)
            .map(|i| (i * 100..i * 100 + 2 + i % 5).collect())
            .collect();
        let packs = packed(&texts, 8);
        let tokens = |samples: &[Sample]| {
            let mut tokens: Vec<u32> = samples
                .iter()
                .flat_map(|sample| sample.tokens().to_vec())
                .collect();
            tokens.sort_unstable();
            tokens
        };
        assert_eq!(tokens(&texts), tokens(&packs));
        let predicted = crate::text::predicted_tokens;
        assert_eq!(predicted(&texts), predicted(&packs));
        assert!(packs.iter().all(|pack| pack.len() <= 8));
        // 160 tokens in all.
        assert!(packs.len() <= 23, "{}", packs.len());
        let pack = packs.iter().find(|pack| pack.segment_starts().len() > 1);
        assert!(pack.is_some_and(|pack| pack.segment_starts()[1] > 1));
    }
}
