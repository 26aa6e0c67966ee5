//! Where an exported model comes from.

use crate::gguf::write::MetadataList;

/// Where an exported model comes from, as its metadata says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// Name of the model.
    pub name: String,
    /// Name of its license, as on the Hub.
    pub license: Option<String>,
    /// Name or folder of the model that it was trained from.
    pub base: Option<String>,
    /// Origin of its training data.
    pub data: Option<String>,
    /// Training method, such as `mft`.
    pub method: Option<String>,
}

const HUB: &str = "https://huggingface.co";

impl Provenance {
    /// Adds it to metadata, with the number of parameters of a model.
    pub(super) fn add(&self, list: &mut MetadataList, parameters: Option<usize>) {
        list.add("general.name", &*self.name);
        let version = env!("CARGO_PKG_VERSION");
        list.add("general.description", self.description(version));
        list.add_some("general.size_label", parameters.map(size_label));
        list.add_some("general.license", self.license.as_deref());
        if let Some(base) = &self.base {
            list.add("general.base_model.count", 1_u32);
            list.add("general.base_model.0.name", last_part(base));
            if let Some((owner, _)) = hub_name(base) {
                list.add("general.base_model.0.organization", owner);
                list.add("general.base_model.0.repo_url", format!("{HUB}/{base}"));
            }
        }
        if let Some(data) = &self.data {
            list.add("general.dataset.count", 1_u32);
            list.add("general.dataset.0.name", last_part(data));
            if let Some((owner, _)) = hub_name(data) {
                list.add("general.dataset.0.organization", owner);
                list.add(
                    "general.dataset.0.repo_url",
                    format!("{HUB}/datasets/{data}"),
                );
            }
        }
        let tags = ["text-generation", "minift"].map(str::to_string);
        list.add("general.tags", tags.to_vec());
        list.add("minift.version", version);
        list.add_some("minift.method", self.method.as_deref());
    }

    fn description(&self, version: &str) -> String {
        let mut text = match self.method {
            Some(_) => "Finetuned".to_string(),
            None => "Exported".to_string(),
        };
        if let Some(base) = &self.base {
            text += &format!(" from {}", last_part(base));
        }
        if let Some(method) = &self.method {
            text += &format!(" by {method}");
        }
        format!("{text} with minift {version}")
    }
}

/// Returns owner and name, if that is what a text looks like.
fn hub_name(text: &str) -> Option<(&str, &str)> {
    let is_part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        part.bytes().all(allowed) && part.bytes().any(|byte| byte.is_ascii_alphanumeric())
    };
    let (owner, name) = text.split_once('/')?;
    let exists = std::path::Path::new(text).exists();
    (is_part(owner) && is_part(name) && !exists).then_some((owner, name))
}

/// Returns the last part of a path or name.
fn last_part(text: &str) -> &str {
    let text = text.trim_end_matches(['/', '\\']);
    text.rsplit(['/', '\\']).next().unwrap_or(text)
}

/// Returns a number of parameters as the Hub writes it: 135M, 1.2B.
fn size_label(parameters: usize) -> String {
    /// Digits at least.
    const DIGITS: usize = 2;
    let count = parameters as f64;
    let (scaled, suffix) = match count {
        count if count > 1e12 => (count * 1e-12, "T"),
        count if count > 1e9 => (count * 1e-9, "B"),
        count if count > 1e6 => (count * 1e-6, "M"),
        _ => (count * 1e-3, "K"),
    };
    let whole = format!("{scaled:.0}");
    let digits = whole.trim_start_matches('0').len();
    format!("{scaled:.*}{suffix}", DIGITS.saturating_sub(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_labels_as_on_the_hub() {
        for (parameters, label) in [
            (134_515_008, "135M"),
            (1_235_814_400, "1.2B"),
            (362_000, "362K"),
            (7_241_732_096, "7.2B"),
            (12_000_000_000, "12B"),
        ] {
            assert_eq!(size_label(parameters), label);
        }
    }

    #[test]
    fn origins_on_the_hub_have_a_url() {
        let provenance = Provenance {
            name: "tickets".to_string(),
            license: Some("apache-2.0".to_string()),
            base: Some("HuggingFaceTB/SmolLM2-135M".to_string()),
            data: Some("data/tickets.jsonl".to_string()),
            method: Some("mft".to_string()),
        };
        let mut list = MetadataList::default();
        provenance.add(&mut list, None);
        for (key, text) in [
            ("general.base_model.0.organization", "HuggingFaceTB"),
            ("general.base_model.0.name", "SmolLM2-135M"),
            (
                "general.base_model.0.repo_url",
                "https://huggingface.co/HuggingFaceTB/SmolLM2-135M",
            ),
            ("general.dataset.0.name", "tickets.jsonl"),
            ("minift.method", "mft"),
        ] {
            assert_eq!(list.get(key), Some(&text.into()), "{key}");
        }
        assert_eq!(list.get("general.size_label"), None);
    }
}
