//! Sample domains of the page, besides the tickets: short original texts of kinds that people have.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tsify::Tsify;

use crate::demo;
use crate::error::Result;
use crate::text::{ReadOptions, Record, parse_records};

/// An embedded set of texts to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "kebab-case")]
pub enum SampleDomain {
    /// Repair tickets of a bicycle workshop.
    #[default]
    Tickets,
    /// Questions to the support of a shop, with answers.
    SupportAnswers,
    /// Notes of meetings.
    MeetingNotes,
    /// Recipes.
    Recipes,
}

/// A sample domain, for a list of them.
#[derive(Clone, Debug, Serialize, Tsify)]
pub struct DomainInfo {
    domain: SampleDomain,
    /// Its name, such as `recipes`.
    name: &'static str,
}

/// The file of a domain, with its name.
macro_rules! asset {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/", $name)),
        )
    };
}

impl SampleDomain {
    pub(super) const ALL: [Self; 4] = [
        Self::Tickets,
        Self::SupportAnswers,
        Self::MeetingNotes,
        Self::Recipes,
    ];

    /// Returns a description for a list of domains.
    pub(super) fn info(self) -> DomainInfo {
        DomainInfo {
            domain: self,
            name: self.name(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tickets => "bicycle workshop tickets",
            Self::SupportAnswers => "support answers",
            Self::MeetingNotes => "meeting notes",
            Self::Recipes => "recipes",
        }
    }

    /// Returns where its texts come from, for reports.
    pub(super) fn origin(self) -> String {
        match self {
            Self::Tickets => demo::TICKETS_ORIGIN.to_string(),
            domain => format!("{} (embedded)", domain.name()),
        }
    }

    /// Returns a prompt of its kind.
    pub(super) fn prompt(self) -> &'static str {
        match self {
            Self::Tickets => demo::DOMAIN_PROMPT,
            Self::SupportAnswers => "Question: The lid of my kettle does not close.\nAnswer:",
            Self::MeetingNotes => "Meeting: weekly meeting of the bakery, new oven\nPresent:",
            Self::Recipes => "Recipe: Tomato tart, 4 portions\nYou need:",
        }
    }

    /// Returns its texts.
    ///
    /// # Errors
    ///
    /// [`crate::Error::DataFile`], which the embedded files do not cause.
    pub(super) fn records(self) -> Result<Vec<Record>> {
        let (name, bytes): (&str, &[u8]) = match self {
            Self::Tickets => {
                let tickets = demo::tickets()?.into_iter();
                return Ok(tickets.map(Record::Text).collect());
            }
            Self::SupportAnswers => asset!("support-answers.jsonl"),
            Self::MeetingNotes => asset!("meeting-notes.jsonl"),
            Self::Recipes => asset!("recipes.jsonl"),
        };
        Ok(parse_records(bytes, Path::new(name), &ReadOptions::default())?.records)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn domains_have_distinct_short_texts_of_the_kind_of_their_prompt() {
        for domain in &SampleDomain::ALL[1..] {
            let records = domain.records().expect("an embedded file is valid");
            let texts: BTreeSet<String> = records.iter().map(Record::to_string).collect();
            assert!((60..=150).contains(&texts.len()), "{domain:?}");
            assert_eq!(texts.len(), records.len(), "{domain:?}");
            let (key, _) = domain.prompt().split_once(':').expect("a prompt has a key");
            for text in &texts {
                assert!((100..800).contains(&text.len()), "{text}");
                assert!(text.starts_with(key), "{text}");
                assert!(!text.starts_with(domain.prompt()), "{text}");
            }
        }
    }
}
