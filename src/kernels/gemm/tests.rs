//! Products by every implementation that this machine has, against sums in float64.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;

use super::*;

/// How a matrix is laid out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// By columns instead of rows.
    transposed: bool,
    /// Elements between the end of a line and the next one.
    gap: usize,
}

const ROWS: Layout = Layout {
    transposed: false,
    gap: 0,
};

/// A matrix and its values.
struct Values {
    values: Vec<f32>,
    size: [usize; 2],
    layout: Layout,
}

impl Values {
    fn new(size: [usize; 2], layout: Layout, mut value: impl FnMut() -> f32) -> Self {
        let (lines, length) = match layout.transposed {
            false => (size[0], size[1]),
            true => (size[1], size[0]),
        };
        let mut values = vec![f32::NAN; lines * (length + layout.gap)];
        for line in values.chunks_mut(length + layout.gap) {
            line[..length].fill_with(&mut value);
        }
        Self {
            values,
            size,
            layout,
        }
    }

    fn matrix(&self) -> Matrix {
        match self.layout.transposed {
            false => Matrix::rows(&self.values, 0, self.size[1] + self.layout.gap),
            true => Matrix::rows(&self.values, 0, self.size[0] + self.layout.gap).transpose(),
        }
    }

    fn index(&self, row: usize, column: usize) -> usize {
        let (line, element, length) = match self.layout.transposed {
            false => (row, column, self.size[1]),
            true => (column, row, self.size[0]),
        };
        line * (length + self.layout.gap) + element
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[self.index(row, column)])
    }

    fn set(&mut self, row: usize, column: usize, value: f32) {
        let index = self.index(row, column);
        self.values[index] = value;
    }
}

fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move || random.random_range(-1.0_f32..1.0) * 2.0_f32.powi(random.random_range(-6..6))
}

/// Returns random numbers with that many significant bits.
fn rounded(seed: u64, bits: usize) -> impl FnMut() -> f32 {
    let mut random = random(seed);
    move || f32::from_bits(random().to_bits() & (!0 << (24 - bits)))
}

/// An implementation.
type Multiply = fn([usize; 3], Out, Update, [Matrix; 2], Threads);

/// Returns the implementations of this machine: what [`multiply`] chooses, `gemm`, and tiles if there are any.
fn implementations() -> Vec<(&'static str, Multiply)> {
    // SAFETY: the tests multiply matrices within their memory.
    let mut found: Vec<(&str, Multiply)> = vec![
        ("multiply", |size, out, update, [a, b], threads| unsafe {
            multiply(size, out, update, a, b, threads);
        }),
        ("gemm", |size, out, update, factors, _| unsafe {
            float32::multiply(size, out, update, factors, Parallelism::None);
        }),
    ];
    match tiles::are_available() {
        true => found.push(("tiles", |size, out, update, factors, threads| unsafe {
            tiles::multiply(size, out, update, factors, threads);
        })),
        false => println!("This machine has no tiles: only products without them are tested."),
    }
    found
}

/// Returns a product that updates ones, with a gap between rows that stays as it is.
fn product(by: Multiply, a: &Values, b: &Values, update: Update, threads: Threads) -> Vec<f32> {
    const GAP: usize = 3;
    let [m, k, n] = [a.size[0], a.size[1], b.size[1]];
    let row = n + GAP;
    let mut values = vec![1.0; m * row];
    let out = Out::new(values.as_mut_ptr(), row);
    by([m, n, k], out, update, [a.matrix(), b.matrix()], threads);
    let rows = values.chunks(row);
    rows.flat_map(|row| {
        assert_eq!(row[n..], [1.0; GAP], "between rows");
        row[..n].to_vec()
    })
    .collect()
}

/// Asserts that errors are within a multiple of float32's precision of the sum of the terms' magnitudes.
fn assert_near(found: &[f32], a: &Values, b: &Values, update: Update, most: f64, what: &str) {
    let [m, k, n] = [a.size[0], a.size[1], b.size[1]];
    for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
        let terms = || (0..k).map(|i| f64::from(update.factor) * a.at(row, i) * b.at(i, column));
        let before = f64::from(u8::from(update.adds));
        let expected = before + terms().sum::<f64>();
        let magnitude = before + terms().map(f64::abs).sum::<f64>();
        let found = f64::from(found[row * n + column]);
        let limit = most * f64::from(f32::EPSILON) / 2.0 * magnitude;
        assert!(
            (found - expected).abs() <= limit,
            "{what}: {found}, not {expected}, at {row}, {column}"
        );
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    (any::<bool>(), 0_usize..5).prop_map(|(transposed, gap)| Layout { transposed, gap })
}

fn update() -> impl Strategy<Value = Update> {
    (any::<bool>(), prop::sample::select(vec![1.0, -0.75]))
        .prop_map(|(adds, factor)| Update { adds, factor })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_are_those_of_float64(
        m in 1_usize..200,
        n in 1_usize..200,
        k in prop_oneof![1_usize..100, 700_usize..900],
        layouts in [layout(), layout()],
        update in update(),
        seed in any::<u64>(),
    ) {
        let a = Values::new([m, k], layouts[0], random(seed));
        let b = Values::new([k, n], layouts[1], random(!seed));
        for (name, by) in implementations() {
            for threads in [Threads::One, Threads::All] {
                let found = product(by, &a, &b, update, threads);
                let what = format!("{name}, {m} × {n} × {k}, {layouts:?}, {threads:?}");
                assert_near(&found, &a, &b, update, (k as f64).sqrt() + 8.0, &what);
            }
        }
    }
}

/// With one term per sum, errors do not cancel out: each part of each number counts.
#[test]
fn single_terms_are_as_exact_as_in_float32() {
    let [m, n, k] = [70, 90, 130];
    for transposed in [[false, false], [false, true], [true, false], [true, true]] {
        let [a_layout, b_layout] = transposed.map(|transposed| Layout { transposed, gap: 0 });
        let mut a = Values::new([m, k], a_layout, || 0.0);
        let mut value = random(1);
        for row in 0..m {
            a.set(row, (row * 37 + 5) % k, value());
        }
        let b = Values::new([k, n], b_layout, random(2));
        for (name, by) in implementations() {
            let found = product(by, &a, &b, Update::REPLACE, Threads::One);
            assert_near(&found, &a, &b, Update::REPLACE, 4.0, name);
        }
    }
}

#[test]
fn factors_with_few_bits_and_ranges_of_columns() {
    let [m, n, k] = [192, 200, 32 * 60 + 7];
    for bits in [8, 11, 14, 18, 24] {
        let a = Values::new([m, k], ROWS, random(3));
        for transposed in [false, true] {
            let b = Values::new([k, n], Layout { transposed, gap: 0 }, rounded(4, bits));
            let mut found = vec![0.0; m * n];
            let out = Out::new(found.as_mut_ptr(), n);
            // SAFETY: the matrices have these sizes.
            unsafe {
                let factor = LeftFactor::new([m, n, k], a.matrix(), bits);
                assert_eq!(factor.has_tiles(), tiles::are_available());
                for (columns, update) in [
                    (0..64, Update::REPLACE),
                    (64..1792, Update::ADD),
                    (1792..k, Update::ADD),
                ] {
                    let rows = b.matrix().at(columns.start, 0);
                    factor.multiply(columns, rows, n, out, update);
                }
            }
            let what = format!("{bits} bits, transposed: {transposed}");
            assert_near(&found, &a, &b, Update::REPLACE, (k as f64).sqrt(), &what);
        }
    }
}

/// Single terms with a factor of few bits: a part too few would be seen.
#[test]
fn factors_with_few_bits_are_exact() {
    let [m, n, k] = [96, 640, 160];
    for bits in [8, 11, 14, 18] {
        let mut a = Values::new([m, k], ROWS, || 0.0);
        let mut value = random(5);
        for row in 0..m {
            a.set(row, (row * 37 + 5) % k, value());
        }
        let b = Values::new([k, n], ROWS, rounded(6, bits));
        let mut found = vec![0.0; m * n];
        let out = Out::new(found.as_mut_ptr(), n);
        // SAFETY: the matrices have these sizes.
        unsafe {
            let factor = LeftFactor::new([m, n, k], a.matrix(), bits);
            factor.multiply(0..k, b.matrix(), n, out, Update::REPLACE);
        }
        assert_near(
            &found,
            &a,
            &b,
            Update::REPLACE,
            2.0,
            &format!("{bits} bits"),
        );
    }
}

#[test]
fn numbers_that_are_not_finite_stay_so() {
    let [m, n, k] = [160, 320, 800];
    for special in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::from_bits(0x7f80_0001),
    ] {
        for (in_a, at) in [
            (true, [3, 790]),
            (true, [159, 0]),
            (false, [700, 5]),
            (false, [0, 319]),
        ] {
            let mut a = Values::new([m, k], ROWS, random(7));
            let mut b = Values::new([k, n], ROWS, random(8));
            let changed = if in_a { &mut a } else { &mut b };
            changed.set(at[0], at[1], special);
            for (name, by) in implementations() {
                let found = product(by, &a, &b, Update::REPLACE, Threads::All);
                for (index, found) in found.iter().enumerate() {
                    let (row, column) = (index / n, index % n);
                    let same = if [row, column][usize::from(!in_a)] != at[usize::from(!in_a)] {
                        found.is_finite()
                    } else {
                        let terms = (0..k).map(|i| a.at(row, i) * b.at(i, column));
                        terms.sum::<f64>().to_string() == found.to_string()
                    };
                    assert!(
                        same,
                        "{name}, {special} at {at:?}: {found} at {row}, {column}"
                    );
                }
            }
        }
    }
}

#[test]
fn extreme_numbers() {
    let [m, n, k] = [96, 512, 128];
    let extremes = [
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-42,
        0.0,
        -0.0,
        1e-30,
    ];
    let mut index = 0;
    let a = Values::new([m, k], ROWS, || {
        index += 1;
        extremes[index % extremes.len()]
    });
    let mut random = random(9);
    let b = Values::new([k, n], ROWS, || 1e-3 * random());
    for (name, by) in implementations() {
        let found = product(by, &a, &b, Update::REPLACE, Threads::One);
        assert_near(&found, &a, &b, Update::REPLACE, 20.0, name);
    }
    // Denormal numbers count as zero or as themselves.
    let a = Values::new([m, k], ROWS, || 1e-40);
    for (name, by) in implementations() {
        let found = product(by, &a, &b, Update::REPLACE, Threads::One);
        assert!(found.iter().all(|x| x.abs() < 1e-36), "{name}");
    }
}

#[test]
fn bits_are_the_same_for_any_number_of_threads() {
    for [m, n, k] in [
        [257, 300, 1000],
        [700, 90, 300],
        [64, 64, 64],
        [4, 3000, 200],
    ] {
        let a = Values::new([m, k], ROWS, random(10));
        let b = Values::new(
            [k, n],
            Layout {
                transposed: true,
                gap: 0,
            },
            random(11),
        );
        for (name, by) in implementations() {
            let results = [1, 2, 3, 1].map(|threads| {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                let product = || product(by, &a, &b, Update::REPLACE, Threads::All);
                pool.install(product)
                    .iter()
                    .map(|x| x.to_bits())
                    .collect::<Vec<_>>()
            });
            assert!(
                results.iter().all(|bits| *bits == results[0]),
                "{name}, {m} × {n} × {k}"
            );
        }
    }
}
