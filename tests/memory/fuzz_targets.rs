//! Short runs of the `cargo fuzz` targets: on all seeds, and on deterministic mutations of them.
//! See `fuzz/README.md`.
#![allow(clippy::unwrap_used)]

use crate::{counting, targets};

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use targets::{MEMORY_PER_BYTE, TARGETS, Target};

/// Meaningful tokens of the file formats.
const TOKENS: [&[u8]; 36] = [
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[",
    b"{\"a\":",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"../",
    b"..\\",
    b"/etc/passwd",
    b".safetensors",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1f\x8b",
    b"nan",
    b"{{",
    b"{%",
    b"%}",
    b"{% for m in messages %}",
    b"{% endfor %}",
    b"[[method]]\n",
    b"F32",
    b"BF16",
    b"shape",
    b"data_offsets",
    b"text",
    b"role",
    b"(a+)+",
    b"content",
];
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "255",
    "65536",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "-9223372036854775808",
    "1e308",
    "1e-320",
    "0.5",
];

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn folder(target: &Target) -> PathBuf {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    seeds.join(target.name)
}

/// Applies one random mutation.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(random.random());
    }
    let [a, b] = [0; 2].map(|_| random.random_range(0..bytes.len()));
    let (start, end) = (a.min(b), a.max(b));
    match random.random_range(0..11) {
        0 => bytes[a] ^= 1 << random.random_range(0..8),
        1 => bytes[a] = random.random(),
        2 => bytes.truncate(a),
        3 => drop(bytes.drain(start..end.min(start + 64))),
        4 => {
            let part = bytes[start..end].to_vec();
            bytes.splice(start..start, part);
        }
        5 => {
            let other = others.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            bytes.truncate(a);
            bytes.extend_from_slice(&other[from..]);
        }
        // Numbers in binary formats.
        6 | 7 => {
            let number = *[u64::MAX, 1 << 63, u64::from(u32::MAX), 1 << 31, 0, 1]
                .choose(random)
                .unwrap();
            let size = *[1, 2, 4, 8].choose(random).unwrap();
            for (byte, new) in bytes[a..].iter_mut().zip(&number.to_le_bytes()[..size]) {
                *byte = *new;
            }
        }
        // Numbers in text formats.
        8 | 9 => {
            let is_digit = |&index: &usize| bytes[index].is_ascii_digit();
            let Some(begin) = (a..bytes.len()).find(is_digit) else {
                return;
            };
            let digits = bytes[begin..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let number = NUMBERS.choose(random).unwrap();
            bytes.splice(begin..begin + digits, number.bytes());
        }
        _ => {
            let token = TOKENS.choose(random).unwrap();
            bytes.splice(a..a, token.iter().copied());
        }
    }
}

/// Runs a target on an input and returns whether it was accepted. Fails if it panics or exceeds its
/// memory limit.
fn try_one(target: &Target, bytes: &[u8], what: &str) -> bool {
    let (found, memory) = counting::peak_bytes(|| catch_unwind(|| (target.run)(bytes)));
    let fault = match found {
        Ok(accepted) => {
            let limit = target.memory + MEMORY_PER_BYTE * bytes.len();
            if memory <= limit {
                return accepted;
            }
            format!("used {memory} bytes of memory at its peak, limit {limit}")
        }
        Err(_) => "panicked, see above".to_string(),
    };
    let saved = std::env::temp_dir().join(format!("minift-{}.input", target.name));
    fs::write(&saved, bytes).unwrap();
    panic!(
        "{} on {what} {fault}; the input of {} bytes is in {}",
        target.name,
        bytes.len(),
        saved.display()
    );
}

fn run(name: &str) {
    let _turn = crate::turn();
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(target);
    // Warm-up: one-time allocations do not count towards the input.
    (target.run)(&seeds[0]);
    let tried = seeds.iter().enumerate();
    let valid = tried.filter(|(number, seed)| try_one(target, seed, &format!("seed {number}")));
    let valid: Vec<Vec<u8>> = valid.map(|(_, seed)| seed.clone()).collect();
    assert!(
        !valid.is_empty(),
        "{name}: no seed is accepted; regenerate them, see fuzz/README.md"
    );
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut accepted = 0;
    for number in 0..target.mutations {
        // Mutations of rejected inputs rarely get far.
        let from = if random.random_bool(0.9) {
            &valid
        } else {
            &seeds
        };
        let mut bytes = from.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(1..4) {
            mutate(&mut bytes, &seeds, &mut random);
        }
        accepted += usize::from(try_one(target, &bytes, &format!("mutation {number}")));
    }
    assert!(
        accepted < target.mutations,
        "{name}: every mutation is accepted"
    );
    let (valid, seeds, mutations) = (valid.len(), seeds.len(), target.mutations);
    println!("{name}: accepted {valid} of {seeds} seeds and {accepted} of {mutations} mutations");
}

macro_rules! short_runs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test_and_a_cargo_fuzz_binary() {
            let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!([$(stringify!($name)),*].as_slice(), names);
            let binaries = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut found: Vec<String> = fs::read_dir(binaries)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            found.sort();
            names.sort();
            assert_eq!(found, names);
        }
    };
}

short_runs! {
    model_config weights weights_index gguf tokenizer tokenizer_files chat_template adapter records checkpoint teacher_states
    expected_logits recipe results page
}

/// Regenerates the generated seeds, for changes of the formats.
#[test]
#[ignore = "writes into fuzz/seeds"]
fn write_seeds() {
    for target in &TARGETS {
        for (number, seed) in (target.generated)().iter().enumerate() {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(folder(target).join(format!("made-{number}")), seed).unwrap();
        }
    }
}
