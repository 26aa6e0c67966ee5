//! The instructions of AMX, which `core::arch` does not have on stable Rust, and a product of panels by them.
//!
//! A tile has 16 rows of 64 bytes. `tdpbf16ps` multiplies a tile of bfloat16 numbers \[16, 32\] by one of \[32, 16\],
//! whose rows are pairs of rows, and adds the product to a tile of float32 numbers \[16, 16\]. It reads and writes
//! denormal numbers as zero, and rounds to nearest.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::marker::PhantomData;
use std::sync::LazyLock;

/// Rows of a tile, and its columns of float32 numbers.
pub(super) const ROWS: usize = 16;
/// Inner elements of one step of a product.
pub(super) const STEP: usize = 32;
/// Bytes of a tile.
pub(super) const TILE: usize = 1024;
/// Bfloat16 numbers that a float32 is split into.
pub(super) const PARTS: usize = 3;

/// Whether this process may use AMX on bfloat16 numbers, and AVX-512 to prepare them.
static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
    const BFLOAT16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    const FEATURES: u32 = BFLOAT16 | TILES;
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && __cpuid(0).eax >= 7
        && __cpuid_count(7, 0).edx & FEATURES == FEATURES
        && request()
});

pub(in crate::kernels::gemm) fn are_available() -> bool {
    *AVAILABLE
}

/// Asks Linux for the tiles' registers, which a process has to do once (Documentation/arch/x86/xstate.rst), and
/// returns whether it may use them.
fn request() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: this system call only changes which registers the process may use.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// All eight tiles with all rows and columns: the operand of `ldtilecfg`.
#[repr(align(64))]
struct Configuration(#[allow(dead_code)] [u8; 64]);

static WHOLE_TILES: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1; // the palette
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64; // bytes per row, as 16 bits
        bytes[48 + tile] = ROWS as u8;
        tile += 1;
    }
    Configuration(bytes)
};

/// The tiles of this thread, configured until they are dropped, so that the system has none to save otherwise.
#[derive(Debug)]
pub(super) struct Tiles {
    of_this_thread: PhantomData<*const ()>,
}

impl Tiles {
    /// Configures the tiles.
    ///
    /// # Safety
    ///
    /// Tiles [`are_available`], and the thread has no others.
    pub(super) unsafe fn configure() -> Self {
        // SAFETY: the processor has AMX, and the configuration is valid.
        unsafe {
            asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const WHOLE_TILES,
                options(nostack, readonly),
            );
        }
        Self {
            of_this_thread: PhantomData,
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the processor has AMX, since there are tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Loads both tiles of a part of a and b.
macro_rules! load {
    (a $part:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {row} + 2048*",
            $part,
            "]\n",
            "tileloadd tmm5, [{a} + {row} + 2048*",
            $part,
            " + 1024]\n",
        )
    };
    (b $part:literal) => {
        concat!(
            "tileloadd tmm6, [{b} + {row} + 2048*",
            $part,
            "]\n",
            "tileloadd tmm7, [{b} + {row} + 2048*",
            $part,
            " + 1024]\n",
        )
    };
}

/// Adds the products of the loaded tiles.
macro_rules! multiply {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6\n\
         tdpbf16ps tmm1, tmm4, tmm7\n\
         tdpbf16ps tmm2, tmm5, tmm6\n\
         tdpbf16ps tmm3, tmm5, tmm7\n"
    };
}

/// Defines a method that multiplies panels of a by panels of b with that many parts. After the first load, each one is
/// followed by the products of what is loaded: of all parts whose numbers, counted from 0, add up to less than
/// [`PARTS`], the smallest first.
macro_rules! kernel {
    ($name:ident, $parts:literal, $first:ident $first_part:literal, $($factor:ident $part:literal),*) => {
        unsafe fn $name(&self, steps: usize, a: *const u8, b: *const u8, c: *mut f32, row: usize) {
            // SAFETY: as promised by the caller; the tiles are configured.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "2:",
                    load!($first $first_part),
                    $(load!($factor $part), multiply!(),)*
                    "add {a}, 2048*3",
                    concat!("add {b}, 2048*", $parts),
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{c} + {c_row}], tmm0",
                    "tilestored [{c} + {c_row} + 64], tmm1",
                    "tilestored [{lower} + {c_row}], tmm2",
                    "tilestored [{lower} + {c_row} + 64], tmm3",
                    a = inout(reg) a => _,
                    b = inout(reg) b => _,
                    steps = inout(reg) steps => _,
                    row = in(reg) 64_usize,
                    c = in(reg) c,
                    lower = in(reg) c.add(ROWS * row),
                    c_row = in(reg) row * size_of::<f32>(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

impl Tiles {
    kernel!(three_parts, "3", a "0", b "2", b "1", a "1", b "0", a "2", a "0");
    kernel!(two_parts, "2", a "0", b "1", a "1", b "0", a "2", a "0");
    kernel!(one_part, "1", b "0", a "2", a "1", a "0");

    /// Writes the product of a panel of a, in [`PARTS`] parts, and one of b in `parts` to c \[32, 32\], whose rows are
    /// `row` elements apart.
    ///
    /// # Safety
    ///
    /// The panels have that many steps, one at least, and c is memory that nothing else refers to.
    pub(super) unsafe fn multiply(
        &self,
        parts: usize,
        steps: usize,
        [a, b]: [*const u8; 2],
        c: *mut f32,
        row: usize,
    ) {
        debug_assert!(steps > 0 && (1..=PARTS).contains(&parts));
        // SAFETY: as promised by the caller.
        unsafe {
            match parts {
                1 => self.one_part(steps, a, b, c, row),
                2 => self.two_parts(steps, a, b, c, row),
                _ => self.three_parts(steps, a, b, c, row),
            }
        }
    }
}
