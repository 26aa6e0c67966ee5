//! Reads which layers use sliding-window attention.

use crate::error::Result;
use crate::model::config::LayerConfig;
use crate::model::fields::Fields;

/// Values of `layer_types`.
pub(super) const SLIDING: &str = "sliding_attention";
pub(super) const FULL: &str = "full_attention";

/// Returns which layers have a window: by `layer_types` if the file has it, else by `default` of their
/// number.
pub(super) fn sliding(
    fields: &Fields<'_>,
    layers: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = fields.optional::<Vec<String>>("layer_types")? else {
        return Ok((0..layers).map(default).collect());
    };
    let types = fields.for_layers("layer_types", types, layers)?;
    let sliding = types.iter().map(|kind| match kind.as_str() {
        SLIDING => Ok(true),
        FULL => Ok(false),
        other => Err(fields.fault(format!(
            "layer_types has {other}: expected {FULL} or {SLIDING}"
        ))),
    });
    sliding.collect()
}

/// Sets the window of the sliding layers.
pub(super) fn set(layers: &mut [LayerConfig], sliding: &[bool], window: usize) {
    for (layer, &sliding) in layers.iter_mut().zip(sliding) {
        if sliding && let Some(attention) = layer.mixer.attention_mut() {
            attention.window = window;
        }
    }
}
