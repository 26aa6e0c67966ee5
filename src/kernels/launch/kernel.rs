//! Kernels as constants: a file of `shaders/`, the pieces it is joined with, and the structs it shares
//! with Rust.

use std::hash::{Hash, Hasher};

/// A file of `shaders/`: a kernel, or a piece that kernels are joined with.
#[derive(Clone, Copy)]
pub(crate) struct Wgsl {
    /// Path in `shaders/` without the extension.
    pub path: &'static str,
    /// The file's text.
    pub text: &'static str,
}

/// Reads a file of `shaders/` at compile time.
macro_rules! wgsl {
    ($path:literal) => {
        $crate::kernels::launch::Wgsl {
            path: $path,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/shaders/",
                $path,
                ".wgsl"
            )),
        }
    };
}
pub(crate) use wgsl;

/// The layout of a struct that is defined both in WGSL and in Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The struct's name in WGSL.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Name and offset of each member.
    pub members: &'static [(&'static str, usize)],
}

/// Defines a struct of 32-bit members that is also defined in WGSL, under the given name. A test compares
/// its [`Layout`] with naga's.
macro_rules! shared_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident as $wgsl:literal {
            $($(#[$member_meta:meta])* $member_vis:vis $member:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$member_meta])* $member_vis $member: $type,)*
        }

        impl $name {
            pub(crate) const LAYOUT: $crate::kernels::launch::Layout =
                $crate::kernels::launch::Layout {
                    name: $wgsl,
                    size: size_of::<Self>(),
                    members: &[$((stringify!($member), std::mem::offset_of!(Self, $member)),)*],
                };
        }
    };
}
pub(crate) use shared_struct;

/// A compute kernel. Its entry point is `main`.
pub(crate) struct Kernel {
    /// The kernel's own file.
    pub file: Wgsl,
    /// The pieces it is always joined with.
    pub pieces: &'static [&'static Wgsl],
    /// Layouts of the structs it shares with Rust, which a test compares with naga's.
    #[cfg_attr(not(test), allow(dead_code))]
    pub layouts: &'static [Layout],
}

impl Kernel {
    /// Returns the kernel without specialization.
    pub(crate) const fn plain(&'static self) -> Specialized {
        Specialized {
            kernel: self,
            constant: None,
            pieces: &[],
        }
    }

    /// Returns the kernel joined with further pieces.
    pub(crate) const fn joined(&'static self, pieces: &'static [&'static Wgsl]) -> Specialized {
        Specialized {
            kernel: self,
            constant: None,
            pieces,
        }
    }

    /// Returns the kernel specialized by a `u32` constant that its text uses, and by further pieces.
    pub(crate) const fn specialized(
        &'static self,
        constant: (&'static str, u32),
        pieces: &'static [&'static Wgsl],
    ) -> Specialized {
        Specialized {
            kernel: self,
            constant: Some(constant),
            pieces,
        }
    }
}

/// A kernel with everything that its source depends on.
#[derive(Clone, Copy)]
pub(crate) struct Specialized {
    kernel: &'static Kernel,
    constant: Option<(&'static str, u32)>,
    pieces: &'static [&'static Wgsl],
}

impl Specialized {
    /// Returns the kernel's name: its path in `shaders/`.
    pub(crate) fn name(self) -> &'static str {
        self.kernel.file.path
    }

    /// Returns the complete WGSL source: pieces first, since the order of declarations does not matter.
    pub(crate) fn source(self) -> String {
        let constant = self
            .constant
            .map(|(name, value)| format!("const {name}: u32 = {value}u;\n"));
        let pieces = self.kernel.pieces.iter().chain(self.pieces);
        let texts = pieces
            .map(|piece| piece.text)
            .chain([self.kernel.file.text]);
        let texts = constant.as_deref().into_iter().chain(texts);
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Returns everything by which two texts differ.
    fn identity(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let pieces = self.pieces.iter().map(|piece| (piece.path, 0));
        [(self.name(), 0)]
            .into_iter()
            .chain(self.constant)
            .chain(pieces)
    }
}

impl std::fmt::Debug for Specialized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name(), self.constant)
    }
}

impl PartialEq for Specialized {
    fn eq(&self, other: &Self) -> bool {
        self.identity().eq(other.identity())
    }
}

impl Eq for Specialized {}

impl Hash for Specialized {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().for_each(|part| part.hash(state));
    }
}

/// A complete WGSL kernel, for validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// Path in `shaders/` without the extension.
    pub name: &'static str,
    /// The WGSL source, ready to compile.
    pub source: String,
    /// Whether it requires subgroup operations.
    pub needs_subgroups: bool,
}

impl From<Specialized> for Shader {
    fn from(kernel: Specialized) -> Self {
        let source = kernel.source();
        Self {
            name: kernel.name(),
            needs_subgroups: source.contains("@builtin(subgroup_"),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::kernels::kernels;

    /// Returns naga's layout of a struct: its size, and the name and offset of each member.
    fn layout_in_wgsl(source: &str, name: &str) -> Option<(u32, Vec<(String, u32)>)> {
        let module = naga::front::wgsl::parse_str(source).unwrap();
        let (_, found) = module
            .types
            .iter()
            .find(|(_, found)| found.name.as_deref() == Some(name))?;
        let naga::TypeInner::Struct { members, span } = &found.inner else {
            return None;
        };
        let members = members
            .iter()
            .map(|member| (member.name.clone().unwrap_or_default(), member.offset));
        Some((*span, members.collect()))
    }

    #[test]
    fn structs_have_equal_layouts_in_wgsl_and_rust() {
        for specialized in kernels() {
            let Kernel { file, layouts, .. } = specialized.kernel;
            assert!(!layouts.is_empty(), "{}: no layout is declared", file.path);
            for layout in *layouts {
                let (size, members) = layout_in_wgsl(&specialized.source(), layout.name)
                    .unwrap_or_else(|| panic!("{}: no struct {}", file.path, layout.name));
                let expected: Vec<(String, u32)> = layout
                    .members
                    .iter()
                    .map(|&(name, offset)| (name.to_string(), offset as u32))
                    .collect();
                assert_eq!(members, expected, "{}: struct {}", file.path, layout.name);
                assert_eq!(size as usize, layout.size, "{}: {}", file.path, layout.name);
            }
        }
    }

    #[test]
    fn every_file_lists_its_pieces() {
        for specialized in kernels() {
            let Kernel { file, pieces, .. } = specialized.kernel;
            let header: String = file
                .text
                .lines()
                .take_while(|line| line.starts_with("//"))
                .map(|line| format!("{} ", line.trim_start_matches("//").trim()))
                .collect();
            for piece in pieces.iter().chain(specialized.pieces) {
                let name = piece.path.rsplit('/').next().unwrap_or_default();
                assert!(
                    header.contains(piece.path) || header.contains(name),
                    "{}.wgsl does not name its piece {}",
                    file.path,
                    piece.path
                );
                assert!(
                    piece.text.starts_with("// Piece: "),
                    "{}.wgsl does not start with \"// Piece: \"",
                    piece.path
                );
            }
        }
    }

    #[test]
    fn every_shader_file_is_used() {
        let mut used = HashSet::new();
        for kernel in kernels() {
            used.insert(kernel.name());
            let pieces = kernel.kernel.pieces.iter().chain(kernel.pieces);
            used.extend(pieces.map(|piece| piece.path));
        }
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders"));
        for file in walkdir::WalkDir::new(root) {
            let file = file.unwrap();
            let path = file.path().strip_prefix(root).unwrap().with_extension("");
            let path = path.to_str().unwrap().replace('\\', "/");
            if file.file_type().is_file() {
                assert!(used.contains(&*path), "shaders/{path}.wgsl is not used");
            }
        }
    }
}
