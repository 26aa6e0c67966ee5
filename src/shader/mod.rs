//! The WGSL kernels by name, each joined with the shared pieces that it asks for, and how they are
//! launched.

mod launch;

pub(crate) use launch::{empty, launch, launch_rows, over_elements};

/// A kernel: its name, which is its file's, and its complete WGSL text. The entry point is `main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// Name of the file in `shaders/` without its ending.
    pub name: &'static str,
    /// The text, ready for any WGSL compiler.
    pub source: String,
}

/// Rows in the first dimension of a dispatch of one workgroup a row; the value of `WORKGROUPS_X` in
/// the shaders.
pub(crate) const WORKGROUPS_X: u32 = 32_768;
/// Invocations in a workgroup of those; the value of `WORKGROUP_SIZE` in the shaders.
pub(crate) const WORKGROUP_SIZE: u32 = 256;

macro_rules! shader_file {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $name,
                ".wgsl"
            )),
        )
    };
}

const SHARED: [(&str, &str); 10] = [
    shader_file!("attention_shape"),
    shader_file!("correction"),
    shader_file!("elements"),
    shader_file!("first_seen"),
    shader_file!("lanes_of_row"),
    shader_file!("online_softmax"),
    shader_file!("product_of_tiles"),
    shader_file!("row_of_workgroup"),
    shader_file!("sigmoid"),
    shader_file!("teacher_row"),
];

const KERNELS: [(&str, &str); 11] = [
    shader_file!("adamw"),
    shader_file!("corrected_target"),
    shader_file!("distillation_loss"),
    shader_file!("matrix_product"),
    shader_file!("narrow_matrix_product"),
    shader_file!("rms_norm"),
    shader_file!("rms_norm_backward"),
    shader_file!("rotate"),
    shader_file!("silu_multiply"),
    shader_file!("silu_multiply_backward"),
    shader_file!("sums_of_squares"),
];

/// Kernels that are made for one size of an attention head.
const KERNELS_OF_HEADS: [(&str, &str); 3] = [
    shader_file!("attention"),
    shader_file!("attention_key_gradient"),
    shader_file!("attention_query_gradient"),
];

/// Elements of the largest head that those are made for.
pub(crate) const LARGEST_HEAD: usize = 128;

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    /// The name of its file.
    pub name: &'static str,
    /// For how large a head it is made, in groups of four elements, if it is about heads.
    pub head_quads: Option<usize>,
}

impl Kernel {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            head_quads: None,
        }
    }

    /// A kernel for heads of that size, which [`has_head`] holds of.
    pub fn of_heads(name: &'static str, head_size: usize) -> Self {
        Self {
            name,
            head_quads: Some(head_size / 4),
        }
    }

    /// Its complete WGSL text.
    pub fn source(self) -> String {
        let mut files = KERNELS.iter().chain(&KERNELS_OF_HEADS);
        let (_, text) = files
            .find(|(kernel, _)| *kernel == self.name)
            .unwrap_or_else(|| unreachable!("no shader named {}", self.name));
        let text = join(self.name, text);
        match self.head_quads {
            None => text,
            Some(quads) => format!("const HEAD_QUADS: u32 = {quads}u;\n\n{text}"),
        }
    }
}

/// Whether there are kernels for heads of that size.
pub(crate) fn has_head(size: usize) -> bool {
    size.is_multiple_of(4) && (1..=LARGEST_HEAD).contains(&size)
}

/// Every kernel, complete; those for one size of a head for the smallest, a usual and the largest one.
pub fn shaders() -> Vec<Shader> {
    let shader = |kernel: Kernel| Shader {
        name: kernel.name,
        source: kernel.source(),
    };
    let whole = KERNELS.iter().map(|&(name, _)| Kernel::new(name));
    let of_heads = KERNELS_OF_HEADS
        .iter()
        .flat_map(|&(name, _)| [4, 64, LARGEST_HEAD].map(|size| Kernel::of_heads(name, size)));
    whole.chain(of_heads).map(shader).collect()
}

/// Replaces each line `// join NAME` by the shared piece of that name.
fn join(name: &'static str, text: &str) -> String {
    let mut source = String::new();
    for line in text.lines() {
        match line.strip_prefix("// join ") {
            Some(piece) => {
                let (_, shared) = SHARED
                    .iter()
                    .find(|(shared, _)| *shared == piece)
                    .unwrap_or_else(|| unreachable!("{name}.wgsl joins {piece}: no such file"));
                source.push_str(shared);
            }
            None => source.push_str(line),
        }
        source.push('\n');
    }
    source
}
