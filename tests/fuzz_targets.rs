//! The targets of `cargo fuzz`, run shortly: on all of their seeds, and on changes of them that are the
//! same every time. See `fuzz/README.md`.
#![allow(clippy::unwrap_used)]

#[path = "common/counting.rs"]
mod counting;
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Mutex;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use targets::{EACH, TARGETS, Target};

/// What means something in one kind of file or another.
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

/// The peak of memory is the whole program's: one target at a time.
static ALONE: Mutex<()> = Mutex::new(());

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

/// Changes bytes in one way.
fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
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
        // The numbers of binary formats.
        6 | 7 => {
            let number = *[u64::MAX, 1 << 63, u64::from(u32::MAX), 1 << 31, 0, 1]
                .choose(random)
                .unwrap();
            let size = *[1, 2, 4, 8].choose(random).unwrap();
            for (byte, new) in bytes[a..].iter_mut().zip(&number.to_le_bytes()[..size]) {
                *byte = *new;
            }
        }
        // The numbers of texts.
        8 | 9 => {
            let is_digit = |&place: &usize| bytes[place].is_ascii_digit();
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

/// Runs a target on bytes; whether they were accepted. Fails where it panics or takes too much memory.
fn try_one(target: &Target, bytes: &[u8], what: &str) -> bool {
    let (found, memory) = counting::peak_bytes(|| catch_unwind(|| (target.run)(bytes)));
    let fault = match found {
        Ok(accepted) => {
            let most = target.memory + EACH * bytes.len();
            if memory <= most {
                return accepted;
            }
            format!("takes {memory} bytes of memory at once, of {most}")
        }
        Err(_) => "panics, see above".to_string(),
    };
    let kept = std::env::temp_dir().join(format!("minift-{}.input", target.name));
    fs::write(&kept, bytes).unwrap();
    panic!(
        "{} of {what} {fault}; its {} bytes are in {}",
        target.name,
        bytes.len(),
        kept.display()
    );
}

fn run(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(|error| error.into_inner());
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(target);
    // What is made once and kept is not the input's.
    (target.run)(&seeds[0]);
    let tried = seeds.iter().enumerate();
    let valid = tried.filter(|(number, seed)| try_one(target, seed, &format!("seed {number}")));
    let valid: Vec<Vec<u8>> = valid.map(|(_, seed)| seed.clone()).collect();
    assert!(
        !valid.is_empty(),
        "{name}: no seed is accepted, write them again: see fuzz/README.md"
    );
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut accepted = 0;
    for number in 0..target.changed {
        // What is refused at once leads no further.
        let from = if random.random_bool(0.9) {
            &valid
        } else {
            &seeds
        };
        let mut bytes = from.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(1..4) {
            change(&mut bytes, &seeds, &mut random);
        }
        accepted += usize::from(try_one(target, &bytes, &format!("change {number}")));
    }
    assert!(
        accepted < target.changed,
        "{name}: every change is accepted"
    );
    let (valid, seeds, changed) = (valid.len(), seeds.len(), target.changed);
    println!("{name}: accepted {valid} of {seeds} seeds and {accepted} of {changed} changes");
}

macro_rules! short_runs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_runs_here_and_under_cargo_fuzz() {
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
    model_config weights weights_index tokenizer chat_template adapter records checkpoint teacher_states
    recipe results page
}

/// Writes the seeds that are made rather than kept: after a change of what they are seeds of.
#[test]
#[ignore = "writes into fuzz/seeds"]
fn write_seeds() {
    for target in &TARGETS {
        for (number, seed) in (target.made)().iter().enumerate() {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(folder(target).join(format!("made-{number}")), seed).unwrap();
        }
    }
}
