//! Hostile files and numbers. Nothing may panic, hang, use disproportionate memory or write outside
//! its folder, and every error is one sentence. `fuzz/` runs the same checks on more input:
//! docs/testing.md.

mod files;
mod folders;
#[expect(unreachable_pub, reason = "the fuzz targets export the same module")]
pub mod formats;
mod numbers;

use std::hash::{BuildHasher, Hasher, RandomState};

use chainrule_tests_macros::test;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use formats::Format;

/// A change to a file.
#[derive(Clone, Debug)]
enum Mutation {
    /// Flips a bit.
    Flip(Index, u8),
    /// Cuts the file off.
    Truncate(Index),
    /// Overwrites bytes with extreme numbers, which may land in a length field.
    Overwrite(Index, &'static [u8]),
    /// Inserts bytes.
    Insert(Index, Vec<u8>),
    /// Replaces the text of a number, in a text file.
    Number(Index, &'static str),
    /// Replaces the end by the end of another valid file.
    Splice(Index, Index, Index),
}

const EXTREMES: [&[u8]; 10] = [
    &[0xff; 4],
    &[0xff; 8],
    &[0; 4],
    &[0; 8],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0xc0, 0x7f], // NaN
    &[0, 0, 0x80, 0x7f], // infinity
];

const NUMBERS: [&str; 14] = [
    "0",
    "-0.0",
    "-1",
    "1e308",
    "1e309",
    "5e-324",
    "nan",
    "inf",
    "-inf",
    "null",
    "[]",
    "{}",
    "18446744073709551616",
    "9223372036854775807",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(place, bit)| Mutation::Flip(place, bit)),
        any::<Index>().prop_map(Mutation::Truncate),
        (any::<Index>(), select(&EXTREMES[..])).prop_map(|(place, bytes)| Mutation::Overwrite(place, bytes)),
        (any::<Index>(), vec(any::<u8>(), 1..20)).prop_map(|(place, bytes)| Mutation::Insert(place, bytes)),
        (any::<Index>(), select(&NUMBERS[..])).prop_map(|(which, number)| Mutation::Number(which, number)),
        (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(a, b, c)| Mutation::Splice(a, b, c)),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation, others: &[Vec<u8>]) {
    // The position after the last byte is valid, too.
    let place = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
    match mutation {
        Mutation::Flip(index, bit) if !bytes.is_empty() => {
            let place = index.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        Mutation::Flip(..) => {}
        Mutation::Truncate(index) => bytes.truncate(place(index, bytes)),
        Mutation::Overwrite(index, extreme) => {
            let place = place(index, bytes);
            let buffer = extreme.len().min(bytes.len() - place);
            bytes[place..place + buffer].copy_from_slice(&extreme[..buffer]);
        }
        Mutation::Insert(index, more) => {
            let place = place(index, bytes);
            bytes.splice(place..place, more.iter().copied());
        }
        Mutation::Number(index, number) => {
            let starts: Vec<usize> = (0..bytes.len())
                .filter(|&i| bytes[i].is_ascii_digit() && (i == 0 || !bytes[i - 1].is_ascii_alphanumeric()))
                .collect();
            if !starts.is_empty() {
                let start = starts[index.index(starts.len())];
                let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(start..start + length, number.bytes());
            }
        }
        Mutation::Splice(index, other, from) => {
            let other = &others[other.index(others.len())];
            bytes.truncate(place(index, bytes));
            bytes.extend_from_slice(&other[place(from, other)..]);
        }
    }
}

/// Runs a format's check on `cases` mutated valid files, or on `PROPTEST_CASES` of them. Each file
/// gets a few mutations.
fn survives(format: Format, cases: u32) {
    let seeds = (format.seeds)();
    seeds.iter().for_each(|seed| (format.check)(seed));
    let requested = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: requested.unwrap_or(cases), ..Config::default() };
    // The mutations differ in each run. The random state of a hash map replaces the system's
    // generator. proptest offers that one only with features that would compile Burn a second time
    // for the tests.
    let seed = [(); 4].map(|()| RandomState::new().build_hasher().finish().to_le_bytes()).concat();
    let generator = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let strategy = (any::<Index>(), vec(mutation(), 1..5));
    let result = TestRunner::new_with_rng(config, generator).run(&strategy, |(seed, mutations)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        mutations.iter().for_each(|mutation| apply(&mut bytes, mutation, &seeds));
        let outcome = std::panic::catch_unwind(|| (format.check)(&bytes));
        outcome.map_err(|_| TestCaseError::fail(format!("{}", bytes.escape_ascii())))
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(bytes, _)) => panic!("{} is not safe from {bytes}", format.name),
        Err(TestError::Abort(why)) => panic!("{}: {why}", format.name),
    }
}

#[test]
fn mutated_idx_files_are_read_or_refused() {
    survives(formats::format("idx"), 4000);
}

#[test]
fn mutated_gzips_are_read_or_refused() {
    survives(formats::format("gzip"), 4000);
}

#[test]
fn mutated_compressed_files_are_read_or_refused() {
    survives(formats::format("compressed"), 4000);
}

#[test]
fn mutated_pictures_are_read_or_refused() {
    survives(formats::format("picture"), 1000);
}

#[test]
fn mutated_tables_are_read_or_refused() {
    survives(formats::format("table"), 4000);
}

#[test]
fn mutated_configs_are_read_or_refused() {
    survives(formats::format("config"), 2000);
}

#[test]
fn mutated_derivations_are_read_or_refused() {
    survives(formats::format("derivation"), 1000);
}

#[test]
fn mutated_models_are_read_or_refused() {
    survives(formats::format("safetensors"), 4000);
}

#[test]
fn mutated_weights_are_read_or_refused() {
    survives(formats::format("weights"), 4000);
}

#[test]
fn mutated_records_are_read_or_refused() {
    survives(formats::format("records"), 2000);
}

#[test]
fn mutated_run_folders_are_read_or_refused() {
    survives(formats::format("run_folder"), 500);
}

#[test]
fn every_format_has_a_fuzz_target() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for format in formats::FORMATS {
        let target = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{}.rs", format.name))).unwrap();
        assert!(
            target.contains(&format!("format(\"{}\")", format.name))
                && manifest.contains(&format!("\"{}\"", format.name))
        );
    }
}
