//! Splits weights into files of a limited size, as the Hub does.

use std::collections::BTreeMap;

use serde_json::json;

use super::file_names::WEIGHTS;

/// Maximum size of a weights file in bytes; a larger tensor has a file of its own.
pub(super) const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Splits tensors of these sizes in bytes into files of at most `limit` bytes, by the rule of
/// huggingface_hub's `split_torch_state_dict_into_shards`. Returns the tensors of each file.
pub(super) fn split(sizes: &[u64], limit: u64) -> Vec<Vec<usize>> {
    let mut shards = Vec::new();
    let mut current = Vec::new();
    let mut filled = 0;
    for (index, &size) in sizes.iter().enumerate() {
        if size > limit {
            shards.push(vec![index]);
            continue;
        }
        if filled + size > limit {
            shards.push(std::mem::take(&mut current));
            filled = 0;
        }
        current.push(index);
        filled += size;
    }
    if !current.is_empty() {
        shards.push(current);
    }
    shards
}

/// Returns the name of a file among `count`, such as `model-00001-of-00003.safetensors`.
pub(super) fn name(index: usize, count: usize) -> String {
    if count == 1 {
        return WEIGHTS.to_string();
    }
    let (stem, ending) = WEIGHTS.rsplit_once('.').unwrap_or((WEIGHTS, ""));
    format!("{stem}-{:05}-of-{count:05}.{ending}", index + 1)
}

/// Returns the bytes of `model.safetensors.index.json`, which names the file of each tensor.
pub(super) fn index(files: &BTreeMap<&str, String>, total_bytes: u64) -> Vec<u8> {
    let index = json!({
        "metadata": { "total_size": total_bytes },
        "weight_map": files,
    });
    format!("{index:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_split_as_by_huggingface_hub() {
        // Checked with huggingface_hub 1.x: a tensor above the limit has a file of its own, and the file
        // that is being filled continues after it.
        assert_eq!(split(&[4, 4, 4], 8), [vec![0, 1], vec![2]]);
        assert_eq!(split(&[4, 9, 4, 1], 8), [vec![1], vec![0, 2], vec![3]]);
        assert_eq!(split(&[8, 1], 8), [vec![0], vec![1]]);
        assert_eq!(split(&[3, 3], 100), [vec![0, 1]]);
        assert_eq!(split(&[9], 8), [vec![0]]);
        assert_eq!(name(0, 1), "model.safetensors");
        assert_eq!(name(11, 12), "model-00012-of-00012.safetensors");
    }
}
