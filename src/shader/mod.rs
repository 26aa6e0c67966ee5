//! The WGSL kernels by name, each joined with the shared pieces that it asks for, and how they are
//! launched.

mod launch;

pub(crate) use launch::{empty, launch};

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

const SHARED: [(&str, &str); 5] = [
    shader_file!("correction"),
    shader_file!("online_softmax"),
    shader_file!("product_of_tiles"),
    shader_file!("row_of_workgroup"),
    shader_file!("teacher_row"),
];

const KERNELS: [(&str, &str); 4] = [
    shader_file!("corrected_target"),
    shader_file!("distillation_loss"),
    shader_file!("matrix_product"),
    shader_file!("narrow_matrix_product"),
];

/// Every kernel, complete.
pub fn shaders() -> Vec<Shader> {
    KERNELS
        .iter()
        .map(|&(name, text)| join(name, text))
        .collect()
}

/// The kernel of that name, complete.
pub(crate) fn shader(name: &str) -> Shader {
    let (name, text) = KERNELS
        .iter()
        .find(|(kernel, _)| *kernel == name)
        .unwrap_or_else(|| unreachable!("no shader named {name}"));
    join(name, text)
}

/// Replaces each line `// join NAME` by the shared piece of that name.
fn join(name: &'static str, text: &str) -> Shader {
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
    Shader { name, source }
}
