//! Storage types of weights against the blocks and values of gguf-py.

use minift::internals::WeightType;
use proptest::prelude::*;
use safetensors::SafeTensors;

const BLOCKS: &[u8] = include_bytes!("../data/gguf/blocks.safetensors");

/// Every block of `blocks.safetensors`, with its values.
#[test]
fn blocks_unpack_to_the_values_of_gguf_py() {
    let file = SafeTensors::deserialize(BLOCKS).unwrap();
    let names = file.names();
    let kinds = names.iter().filter_map(|name| name.strip_suffix(".bytes"));
    let mut checked = 0;
    for name in kinds {
        let kind: WeightType = name.parse().unwrap();
        let bytes = file.tensor(&format!("{name}.bytes")).unwrap();
        let expected = file.tensor(&format!("{name}.values")).unwrap();
        let expected: Vec<f32> = expected
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        let mut values = vec![f32::NAN; expected.len()];
        kind.unpack(bytes.data(), &mut values);
        assert_eq!(values, expected, "{name}");
        assert_eq!(WeightType::from_ggml(kind.ggml()), Some(kind));
        checked += 1;
    }
    assert_eq!(checked, 15);
}

fn written() -> impl Strategy<Value = WeightType> {
    let kinds = ["float32", "float16", "bfloat16", "q8_0", "q4_0"];
    proptest::sample::select(
        kinds
            .map(|name| name.parse::<WeightType>().unwrap())
            .to_vec(),
    )
}

proptest! {
    /// What is stored is unpacked to within half a step of the type.
    #[test]
    fn packed_values_are_near(kind in written(), values in prop::collection::vec(-4.0_f32..4.0, 64)) {
        let mut bytes = Vec::new();
        kind.pack(&values, &mut bytes);
        prop_assert_eq!(Some(bytes.len()), kind.row_bytes(values.len()));
        let mut unpacked = vec![f32::NAN; values.len()];
        kind.unpack(&bytes, &mut unpacked);
        for (block, unpacked) in values.chunks(32).zip(unpacked.chunks(32)) {
            let largest = block.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
            let limit = match kind.name() {
                "float32" => 0.0,
                "float16" => largest / 2048.0,
                "bfloat16" => largest / 256.0,
                "q8_0" => largest / 254.0 + largest / 1024.0,
                // Fifteen steps on one side of zero, sixteen on the other.
                _ => largest / 8.0 + largest / 1024.0,
            };
            for (value, unpacked) in block.iter().zip(unpacked) {
                prop_assert!((value - unpacked).abs() <= limit, "{} {} {}", kind, value, unpacked);
            }
        }
    }
}

/// The bytes that gguf-py 0.19 packs these values into.
#[test]
fn packing_equals_gguf_py() {
    let values: Vec<f32> = (0..64)
        .map(|i| ((i * i % 37) as f32 - 17.3) * 0.031)
        .collect();
    for (name, expected) in [("q8_0", Q8_0), ("q4_0", Q4_0)] {
        let kind: WeightType = name.parse().unwrap();
        let mut bytes = Vec::new();
        kind.pack(&values, &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected, "{name}");
    }
}

const Q8_0: &str = "ad1c8b91a6c8f7347fdc42ba3bce6b19d59f7156494956719fd5196bce3bba42dc7fad1c34f7c8a6918b91a6c8f7347fdc42ba3bce6b19d59f7156494956719fd5196bce";

const Q4_0: &str = "a3ac1f3f3e3c3915e0ba641cb44bc146ab0ea3acb5196cbeef1f3f3e3c3915e0ba641cb4";
