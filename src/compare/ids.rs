//! Names of the trainings of a comparison, by which schedulers select them.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use super::cells::{Cell, Plan};
use crate::train::TrainSettings;

/// A name as in file names: lowercase letters, digits and dots, with single hyphens between them.
fn slug(text: &str) -> String {
    let kept = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    let words: String = text.chars().map(kept).collect();
    let words = words.split('-').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

impl Plan {
    /// Returns a name for each training, such as `tickets-mft-0.25-n500-s0`: domain, method, strength, budget
    /// and seed. It does not depend on the other trainings of the recipe, except that trainings whose names
    /// would be equal get a checksum.
    pub fn ids(&self) -> Vec<String> {
        let plain: Vec<String> = self.cells.iter().map(|cell| self.id(cell)).collect();
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for id in &plain {
            *uses.entry(id).or_default() += 1;
        }
        let ids = plain.iter().zip(&self.cells).map(|(id, cell)| {
            if uses[id.as_str()] == 1 {
                return id.clone();
            }
            let exact = (&self.domains[cell.domain], &self.methods[cell.method].name);
            let exact = format!("{exact:?} {:?}", cell.value);
            format!("{id}-{:08x}", crc32fast::hash(exact.as_bytes()))
        });
        ids.collect()
    }

    /// Returns the numbers of the trainings that do not repeat an earlier one: methods may have settings in
    /// common.
    pub fn distinct(&self) -> Vec<usize> {
        let mut planned = HashSet::new();
        let mut is_new = |number: &usize| {
            let cell = &self.cells[*number];
            let settings = TrainSettings {
                evaluate_every: 0,
                ..cell.settings.clone()
            };
            let settings = serde_json::to_string(&settings)
                .unwrap_or_else(|error| unreachable!("settings always serialize to JSON: {error}"));
            planned.insert((cell.domain, cell.budget, settings))
        };
        (0..self.cells.len())
            .filter(|number| is_new(number))
            .collect()
    }

    fn id(&self, cell: &Cell) -> String {
        let domain = slug(&self.domains[cell.domain]);
        let method = slug(&self.methods[cell.method].name);
        let (value, budget, seed) = (cell.value, cell.budget, cell.seed);
        format!("{domain}-{method}-{value}-n{budget}-s{seed}")
    }
}

/// A share of the trainings: every `count`-th, beginning with number `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `count`.
    index: usize,
    count: usize,
}

impl Shard {
    /// Returns whether the training with this number, from 0, is part of the share.
    pub fn contains(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Parses `I/N`.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("expected I/N with I from 1 to N, such as 3/8".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_slug_is_a_file_name() {
        assert_eq!(slug("MFT & replay"), "mft-replay");
        assert_eq!(slug("../τ = 0.25/"), "..-0.25");
        assert_eq!(slug("ελληνικά"), "");
    }

    #[test]
    fn shards_cover_every_training_once() {
        for count in 1..5 {
            for number in 0..20 {
                let shards = (1..=count).map(|index| Shard { index, count });
                assert_eq!(shards.filter(|shard| shard.contains(number)).count(), 1);
            }
        }
        for text in ["0/3", "4/3", "1", "1/0", "/", "-1/3", "1/3/3", "a/b", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
        assert_eq!("3/8".parse(), Ok(Shard { index: 3, count: 8 }));
    }
}
