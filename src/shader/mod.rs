//! The WGSL kernels by name, each joined with the shared pieces that it asks for, and how they are
//! launched.

mod launch;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod slices;
pub(crate) mod traffic;

pub(crate) use launch::{empty, has_subgroups, launch, launch_rows, over_elements, uploaded};
pub(crate) use traffic::{Bound, reads, updates, writes};

/// A kernel: its name, which is its file's, and its complete WGSL text. The entry point is `main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// Name of the file in `shaders/` without its ending.
    pub name: &'static str,
    /// The text, ready for any WGSL compiler.
    pub source: String,
    /// Whether it is only for devices whose subgroups can add and compare.
    pub needs_subgroups: bool,
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

const SHARED: [(&str, &str); 15] = [
    shader_file!("attention_keys"),
    shader_file!("attention_shape"),
    shader_file!("correction"),
    shader_file!("elements"),
    shader_file!("finite"),
    shader_file!("lanes_of_row"),
    shader_file!("logits_in_quads"),
    shader_file!("logits_one_by_one"),
    shader_file!("online_softmax"),
    shader_file!("product_of_tiles"),
    shader_file!("row_of_workgroup"),
    shader_file!("rows_by_barriers"),
    shader_file!("rows_by_subgroups"),
    shader_file!("sigmoid"),
    shader_file!("teacher_row"),
];

/// Kernels that are what they are.
const KERNELS: [(&str, &str); 13] = [
    shader_file!("adamw"),
    shader_file!("from_halves"),
    shader_file!("matrix_product"),
    shader_file!("narrow_matrix_product"),
    shader_file!("rms_norm"),
    shader_file!("rms_norm_backward"),
    shader_file!("rotate"),
    shader_file!("silu_multiply"),
    shader_file!("silu_multiply_backward"),
    shader_file!("step_figures"),
    shader_file!("sum_of_parts"),
    shader_file!("sums_of_squares"),
    shader_file!("to_halves"),
];

/// Kernels that are made for one size of an attention head.
const KERNELS_OF_HEADS: [(&str, &str); 3] = [
    shader_file!("attention"),
    shader_file!("attention_key_gradient"),
    shader_file!("attention_query_gradient"),
];

/// Kernels that are made for a way to work on rows.
const KERNELS_OF_ROWS: [(&str, &str); 2] = [
    shader_file!("corrected_target"),
    shader_file!("distillation_loss"),
];

/// Elements of the largest head that those are made for.
pub(crate) const LARGEST_HEAD: usize = 128;

/// How a workgroup works on a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rows {
    /// Invocations in it.
    pub workgroup_size: u32,
    /// Whether subgroups can add and compare.
    pub subgroups: bool,
    /// Whether rows are of a length that can be read four columns at a time.
    pub quads: bool,
}

impl Rows {
    /// What every device can.
    pub const BASELINE: Self = Self {
        workgroup_size: WORKGROUP_SIZE,
        subgroups: false,
        quads: false,
    };
    /// What graphics cards can.
    pub const SUBGROUPS: Self = Self {
        subgroups: true,
        ..Self::BASELINE
    };
    /// The same with few rows at once, so that a row is still in the card's caches when it is read again:
    /// for rows that are enough work for so many invocations.
    pub const LARGE: Self = Self {
        workgroup_size: 1024,
        ..Self::SUBGROUPS
    };
}

/// What a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum MadeFor {
    Everything,
    /// Heads of so many groups of four elements.
    HeadQuads(usize),
    Rows(Rows),
}

/// Which kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    /// The name of its file.
    pub name: &'static str,
    made_for: MadeFor,
}

impl Kernel {
    pub fn new(name: &'static str) -> Self {
        let made_for = MadeFor::Everything;
        Self { name, made_for }
    }

    /// A kernel for heads of that size, which [`has_head`] holds of.
    pub fn of_heads(name: &'static str, head_size: usize) -> Self {
        let made_for = MadeFor::HeadQuads(head_size / 4);
        Self { name, made_for }
    }

    /// A kernel for rows.
    pub fn of_rows(name: &'static str, rows: Rows) -> Self {
        let made_for = MadeFor::Rows(rows);
        Self { name, made_for }
    }

    /// Its complete WGSL text.
    pub fn source(self) -> String {
        let mut files = KERNELS
            .iter()
            .chain(&KERNELS_OF_HEADS)
            .chain(&KERNELS_OF_ROWS);
        let (_, text) = files
            .find(|(kernel, _)| *kernel == self.name)
            .unwrap_or_else(|| unreachable!("no shader named {}", self.name));
        match self.made_for {
            MadeFor::Everything => join(self.name, text),
            MadeFor::HeadQuads(quads) => {
                let text = join(self.name, text);
                format!("const HEAD_QUADS: u32 = {quads}u;\n\n{text}")
            }
            MadeFor::Rows(rows) => {
                let reduction = match rows.subgroups {
                    true => "// join rows_by_subgroups\n",
                    false => "// join rows_by_barriers\n",
                };
                let logits = match rows.quads {
                    true => "// join logits_in_quads\n",
                    false => "// join logits_one_by_one\n",
                };
                let text = text
                    .replace("// join rows\n", reduction)
                    .replace("// join logits\n", logits);
                let text = join(self.name, &text);
                let size = rows.workgroup_size;
                format!("const WORKGROUP_SIZE: u32 = {size}u;\n\n{text}")
            }
        }
    }
}

/// Whether there are kernels for heads of that size.
pub(crate) fn has_head(size: usize) -> bool {
    size.is_multiple_of(4) && (1..=LARGEST_HEAD).contains(&size)
}

/// Every kernel, complete; those for one size of a head for the smallest, a usual and the largest one,
/// those for rows in every way.
pub fn shaders() -> Vec<Shader> {
    let shader = |kernel: Kernel| Shader {
        name: kernel.name,
        source: kernel.source(),
        needs_subgroups: matches!(kernel.made_for, MadeFor::Rows(rows) if rows.subgroups),
    };
    let whole = KERNELS.iter().map(|&(name, _)| Kernel::new(name));
    let of_heads = KERNELS_OF_HEADS
        .iter()
        .flat_map(|&(name, _)| [4, 64, LARGEST_HEAD].map(|size| Kernel::of_heads(name, size)));
    let of_rows = KERNELS_OF_ROWS.iter().flat_map(|&(name, _)| {
        [Rows::BASELINE, Rows::SUBGROUPS, Rows::LARGE]
            .into_iter()
            .flat_map(move |rows| [false, true].map(|quads| Rows { quads, ..rows }))
            .map(move |rows| Kernel::of_rows(name, rows))
    });
    whole.chain(of_heads).chain(of_rows).map(shader).collect()
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
