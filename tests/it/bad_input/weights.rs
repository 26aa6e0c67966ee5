//! Invalid model weights.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::{Case, Scratch, no_faults};

pub(super) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Changes the tensors of the copy of the model; the file remains valid safetensors.
pub(super) fn change_tensors(scratch: &Scratch, change: impl FnOnce(&mut Tensors)) {
    let bytes = scratch.read("model/model.safetensors");
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| {
            (
                name.to_string(),
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    scratch.write(
        "model/model.safetensors",
        safetensors::serialize(views, None).unwrap(),
    );
}

/// Sets an element of a float16 tensor by its bits.
pub(super) fn set(tensors: &mut Tensors, name: &str, index: usize, bits: u16) {
    let (dtype, _, bytes) = tensors.get_mut(name).unwrap();
    assert_eq!(*dtype, Dtype::F16);
    bytes[2 * index..2 * index + 2].copy_from_slice(&bits.to_le_bytes());
}

pub(super) const UP: &str = "model.layers.3.mlp.up_proj.weight";

#[test]
fn tensors_that_do_not_fit_the_model_are_named() {
    let cases: &[Case<'_, fn(&mut Tensors)>] = &[
        (
            "missing",
            |tensors| drop(tensors.remove(UP)),
            &["missing 1 tensor", UP],
        ),
        (
            "extra",
            |tensors| {
                let norm = tensors["model.norm.weight"].clone();
                tensors.insert("model.layers.6.input_layernorm.weight".to_string(), norm);
            },
            &[
                "not part of the model",
                "model.layers.6.input_layernorm.weight",
            ],
        ),
        (
            "wrong shape",
            |tensors| tensors.get_mut(UP).unwrap().1.reverse(),
            &[UP, "[64, 192]", "[192, 64]"],
        ),
        (
            "integers",
            |tensors| {
                let norm = (Dtype::I64, vec![64], vec![1; 64 * 8]);
                tensors.insert("model.norm.weight".to_string(), norm);
            },
            &["model.norm.weight", "I64", "F16"],
        ),
        (
            "NaN",
            |tensors| set(tensors, UP, 77, 0x7e00),
            &[UP, "NaN", "element 77"],
        ),
        (
            "infinite",
            |tensors| set(tensors, UP, 5, 0xfc00),
            &[UP, "-inf", "element 5"],
        ),
    ];
    no_faults(cases.iter().map(|(name, change, fragments)| {
        let scratch = Scratch::with_model();
        change_tensors(&scratch, change);
        let fragments = [&["model.safetensors"], *fragments].concat();
        (name.to_string(), scratch.model_fault(&fragments))
    }));
}

/// Changes the header of a safetensors file.
fn change_header(bytes: &mut Vec<u8>, change: impl FnOnce(&mut Value)) {
    let (length, rest) = bytes.split_at(8);
    let (header, tensors) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    *bytes = [&length, header.as_bytes(), tensors].concat();
}

#[test]
fn damaged_weight_files_are_rejected() {
    type Damage = fn(&mut Vec<u8>);
    let cases: &[(&str, Damage)] = &[
        ("empty", |bytes| bytes.clear()),
        ("truncated in the header's length", |bytes| {
            bytes.truncate(5)
        }),
        ("truncated in the header", |bytes| bytes.truncate(500)),
        ("truncated in the tensors", |bytes| bytes.truncate(400_000)),
        ("one byte too short", |bytes| {
            bytes.truncate(bytes.len() - 1)
        }),
        ("one byte too long", |bytes| bytes.push(0)),
        ("a header length far beyond the file", |bytes| {
            bytes[..8].fill(0xff)
        }),
        ("a header length just beyond the file", |bytes| {
            let length = bytes.len() as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }),
        ("a header that is not JSON", |bytes| bytes[8..40].fill(b'#')),
        ("overlapping ranges", |bytes| {
            change_header(bytes, |header| {
                let first = header["model.layers.0.input_layernorm.weight"]["data_offsets"].clone();
                header["model.layers.1.input_layernorm.weight"]["data_offsets"] = first;
            });
        }),
        ("a reversed range", |bytes| {
            change_header(bytes, |header| {
                header["model.norm.weight"]["data_offsets"]
                    .as_array_mut()
                    .unwrap()
                    .reverse();
            });
        }),
        ("a shape whose product overflows", |bytes| {
            change_header(bytes, |header| {
                header["model.norm.weight"]["shape"] = json!([1_u64 << 40, 1_u64 << 40]);
            });
        }),
    ];
    no_faults(cases.iter().map(|(name, change)| {
        let scratch = Scratch::with_model();
        let mut bytes = scratch.read("model/model.safetensors");
        change(&mut bytes);
        scratch.write("model/model.safetensors", bytes);
        (
            name.to_string(),
            scratch.model_fault(&["model.safetensors"]),
        )
    }));
}
