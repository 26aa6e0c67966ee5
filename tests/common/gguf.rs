//! Writes GGUF files for tests, valid and invalid ones.
#![allow(dead_code)]

/// A GGUF file to write.
#[derive(Clone)]
pub struct GgufFile {
    pub version: u32,
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Stored>,
}

/// A metadata value.
#[derive(Clone)]
pub enum Value {
    U32(u32),
    U64(u64),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
    /// A type's number and the bytes of the value.
    Raw(u32, Vec<u8>),
}

/// A tensor: its name, its shape with the rows' length first, as in the file, its type's number, its bytes.
#[derive(Clone)]
pub struct Stored {
    pub name: String,
    pub shape: Vec<u64>,
    pub kind: u32,
    pub bytes: Vec<u8>,
}

const ALIGNMENT: usize = 32;

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

impl Value {
    fn write(&self, bytes: &mut Vec<u8>) {
        let array = |bytes: &mut Vec<u8>, kind: u32, count: usize| {
            bytes.extend(9_u32.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend((count as u64).to_le_bytes());
        };
        let number = |bytes: &mut Vec<u8>, kind: u32, number: &[u8]| {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(number);
        };
        match self {
            Self::U32(value) => number(bytes, 4, &value.to_le_bytes()),
            Self::F32(value) => number(bytes, 6, &value.to_le_bytes()),
            Self::Bool(value) => number(bytes, 7, &[u8::from(*value)]),
            Self::U64(value) => number(bytes, 10, &value.to_le_bytes()),
            Self::Raw(kind, value) => number(bytes, *kind, value),
            Self::Text(value) => {
                bytes.extend(8_u32.to_le_bytes());
                text(bytes, value);
            }
            Self::Texts(values) => {
                array(bytes, 8, values.len());
                values.iter().for_each(|value| text(bytes, value));
            }
            Self::I32s(values) => {
                array(bytes, 5, values.len());
                values
                    .iter()
                    .for_each(|value| bytes.extend(value.to_le_bytes()));
            }
            Self::F32s(values) => {
                array(bytes, 6, values.len());
                values
                    .iter()
                    .for_each(|value| bytes.extend(value.to_le_bytes()));
            }
        }
    }
}

impl GgufFile {
    /// Sets a value, or adds it.
    pub fn set(&mut self, key: &str, value: Value) -> &mut Self {
        match self.metadata.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key.to_string(), value)),
        }
        self
    }

    /// Removes a value.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.metadata.retain(|(known, _)| known != key);
        self
    }

    /// Adds a float32 tensor; `shape` is that of PyTorch.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) -> &mut Self {
        self.tensors.push(Stored {
            name: name.to_string(),
            shape: shape.iter().rev().map(|&size| size as u64).collect(),
            kind: 0,
            bytes: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        });
        self
    }

    /// Returns the bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut bytes, key);
            value.write(&mut bytes);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            text(&mut bytes, &tensor.name);
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            for size in &tensor.shape {
                bytes.extend(size.to_le_bytes());
            }
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += tensor.bytes.len().next_multiple_of(ALIGNMENT) as u64;
        }
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend(&tensor.bytes);
        }
        bytes
    }

    /// A llama of one layer with a byte-level tokenizer.
    pub fn small() -> Self {
        let texts = |list: &[&str]| Value::Texts(list.iter().map(ToString::to_string).collect());
        let mut file = Self {
            version: 3,
            metadata: Vec::new(),
            tensors: Vec::new(),
        };
        file.set("general.architecture", Value::Text("llama".to_string()))
            .set("llama.block_count", Value::U32(1))
            .set("llama.context_length", Value::U32(16))
            .set("llama.embedding_length", Value::U32(4))
            .set("llama.feed_forward_length", Value::U32(8))
            .set("llama.attention.head_count", Value::U32(2))
            .set("llama.attention.head_count_kv", Value::U32(1))
            .set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))
            .set("tokenizer.ggml.model", Value::Text("gpt2".to_string()))
            .set("tokenizer.ggml.pre", Value::Text("smollm".to_string()))
            .set(
                "tokenizer.ggml.tokens",
                texts(&["<s>", "</s>", "Ġ", "a", "b", "ab", "Ġa", "c"]),
            )
            .set(
                "tokenizer.ggml.token_type",
                Value::I32s(vec![3, 3, 1, 1, 1, 1, 1, 1]),
            )
            .set("tokenizer.ggml.merges", texts(&["a b", "Ġ a"]))
            .set("tokenizer.ggml.bos_token_id", Value::U32(0))
            .set("tokenizer.ggml.eos_token_id", Value::U32(1))
            .set("tokenizer.ggml.add_bos_token", Value::Bool(true))
            .set(
                "tokenizer.chat_template",
                Value::Text("{{ messages[0].content }}".to_string()),
            );
        let shapes: [(&str, &[usize]); 11] = [
            ("token_embd.weight", &[8, 4]),
            ("output_norm.weight", &[4]),
            ("blk.0.attn_norm.weight", &[4]),
            ("blk.0.attn_q.weight", &[4, 4]),
            ("blk.0.attn_k.weight", &[2, 4]),
            ("blk.0.attn_v.weight", &[2, 4]),
            ("blk.0.attn_output.weight", &[4, 4]),
            ("blk.0.ffn_norm.weight", &[4]),
            ("blk.0.ffn_gate.weight", &[8, 4]),
            ("blk.0.ffn_up.weight", &[8, 4]),
            ("blk.0.ffn_down.weight", &[4, 8]),
        ];
        for (salt, (name, shape)) in shapes.into_iter().enumerate() {
            let count: usize = shape.iter().product();
            let number = |index: usize| ((index * 37 + salt * 101) % 113) as f32 / 113.0 - 0.5;
            let values: Vec<f32> = (0..count).map(number).collect();
            file.tensor(name, shape, &values);
        }
        file
    }

    /// The same model with a SentencePiece tokenizer.
    pub fn sentence_piece() -> Self {
        let texts = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab"];
        let mut file = Self::small();
        file.metadata
            .retain(|(key, _)| !key.starts_with("tokenizer."));
        file.set("tokenizer.ggml.model", Value::Text("llama".to_string()))
            .set(
                "tokenizer.ggml.tokens",
                Value::Texts(texts.map(str::to_string).into()),
            )
            .set(
                "tokenizer.ggml.token_type",
                Value::I32s(vec![2, 3, 3, 1, 1, 1, 1, 1]),
            )
            .set(
                "tokenizer.ggml.scores",
                Value::F32s(vec![0.0, 0.0, 0.0, -3.0, -4.0, -5.0, -1.0, -2.0]),
            );
        file
    }
}
