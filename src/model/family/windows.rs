//! Which layers see only a window of positions.

use crate::error::Result;
use crate::model::config::LayerConfig;
use crate::model::fields::Fields;

/// What a configuration calls the layers that do.
const SLIDING: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// Which layers have windows: those that `layer_types` names where the file has it, else those that
/// `usual` says by their number.
pub(super) fn sliding(
    fields: &Fields<'_>,
    layers: usize,
    usual: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let Some(types) = fields.optional::<Vec<String>>("layer_types")? else {
        return Ok((0..layers).map(usual).collect());
    };
    let types = fields.for_layers("layer_types", types, layers)?;
    let sliding = types.iter().map(|kind| match kind.as_str() {
        SLIDING => Ok(true),
        FULL => Ok(false),
        other => Err(fields.fault(format!(
            "layer_types has {other}: supported are {FULL} and {SLIDING}"
        ))),
    });
    sliding.collect()
}

/// Gives those layers a window.
pub(super) fn set(layers: &mut [LayerConfig], sliding: &[bool], window: usize) {
    for (layer, &sliding) in layers.iter_mut().zip(sliding) {
        if sliding {
            layer.window = window;
        }
    }
}
