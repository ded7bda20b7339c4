//! The corpus once more, and what a mutator makes of it in a few seconds.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Mutator, Target};

/// For how long each target gets inputs that are new.
const TIME: Duration = Duration::from_secs(2);
/// Larger records take their time and hold nothing that smaller ones do not.
const MAX_SEED: usize = 8 << 10;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Files of a folder, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    files
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.as_ref().display()))
}

/// What lies in the corpus, and records and files that have other uses too.
fn corpus(target: Target) -> Vec<Vec<u8>> {
    let (fixtures, endings): (&[&str], &[&str]) = match target.name {
        "msgpack" => (&["fixtures/tyk"], &["msgpack", "bin"]),
        "protobuf" => (&["fixtures/tyk"], &["pb", "bin"]),
        "pipeline" => (&["tests/wrong", "configs"], &["yaml", "json"]),
        _ => (&[], &[]),
    };
    let mut inputs: Vec<_> = files(&format!("fuzz/corpus/{}", target.name)).iter().map(read).collect();
    assert!(!inputs.is_empty(), "fuzz/corpus/{} is empty", target.name);
    for path in fixtures.iter().flat_map(|folder| files(folder)) {
        if path.extension().is_some_and(|ending| endings.iter().any(|own| ending == *own)) {
            inputs.push(read(path));
        }
    }
    let real: &[&str] = match target.name {
        "msgpack" => &["transactions.msgpack.lp", "uptime.msgpack.lp"],
        "protobuf" => &["transactions.protobuf.lp"],
        _ => &[],
    };
    for name in real {
        inputs.extend(entries(&read(root().join("fixtures/real").join(name))));
    }
    inputs
}

/// Entries of a file in which each is preceded by its length; every tenth, since they are much alike.
fn entries(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (entry, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        entries.push(entry.to_vec());
        rest = after;
    }
    entries.into_iter().step_by(10).collect()
}

/// Every input of the corpus, and then new ones until the time is over. An input that fails is kept.
fn fuzz(target: Target) {
    let mut corpus = corpus(target);
    corpus.iter().for_each(|input| run(target, input));
    corpus.retain(|input| input.len() <= MAX_SEED);
    let seed = seed();
    println!("{}: PUMP_FUZZ_SEED={seed}", target.name);
    let mut mutator = Mutator::new(seed);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < TIME {
        run(target, &mutator.next_input(&corpus));
        count += 1;
    }
    println!("{}: {} inputs of the corpus, {count} new ones", target.name, corpus.len());
}

/// Another one each time, unless one is asked for.
fn seed() -> u64 {
    match std::env::var("PUMP_FUZZ_SEED") {
        Ok(seed) => seed.parse().expect("PUMP_FUZZ_SEED is a number"),
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
            now.as_nanos() as u64
        }
    }
}

fn run(target: Target, input: &[u8]) {
    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| target.run(input))) {
        let path = kept_at(target, input);
        let folder = path.parent().expect("it lies in a folder");
        match fs::create_dir_all(folder).and_then(|()| fs::write(&path, input)) {
            Ok(()) => eprintln!("the input that failed is in {}", path.display()),
            Err(err) => eprintln!("the input that failed could not be kept: {err}"),
        }
        panic::resume_unwind(cause);
    }
}

fn kept_at(target: Target, input: &[u8]) -> PathBuf {
    root().join("target/fuzz").join(target.name).join(format!("{:08x}", crc32c::crc32c(input)))
}

#[test]
fn msgpack_from_anybody_is_read_or_refused() {
    fuzz(Target::MSGPACK);
}

#[test]
fn protobuf_from_anybody_is_read_or_refused() {
    fuzz(Target::PROTOBUF);
}

#[test]
fn any_pipeline_file_is_read_or_refused_and_shows_no_secret() {
    fuzz(Target::PIPELINE);
}

#[test]
fn any_frame_is_read_or_refused_and_ours_are_read_back() {
    fuzz(Target::FRAMES);
}

#[test]
fn every_target_has_a_fuzzer_and_the_corpus_stays_small() {
    let makefile = String::from_utf8(read(root().join("Makefile"))).expect("it is text");
    let mut size = 0;
    for target in Target::ALL {
        assert!(root().join(format!("fuzz/fuzz_targets/{}.rs", target.name)).is_file(), "{}", target.name);
        assert!(makefile.contains(target.name), "`make fuzz` leaves {} out", target.name);
        size += files(&format!("fuzz/corpus/{}", target.name))
            .iter()
            .map(read)
            .map(|input| input.len())
            .sum::<usize>();
    }
    assert!(size <= 1 << 20, "{size} bytes; keep only what reaches something");
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let corpus = vec![b"one input".to_vec(), b"and another one".to_vec()];
    let inputs = |seed: u64| {
        let mut mutator = Mutator::new(seed);
        (0..100).map(|_| mutator.next_input(&corpus)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(5), inputs(5));
    assert_ne!(inputs(5), inputs(6));
}

#[test]
fn an_input_that_fails_is_kept() {
    let target = Target { name: "planted", run: |input| assert!(!input.contains(&7), "planted") };
    let input = [1, 7, 3];
    let path = kept_at(target, &input);
    drop(fs::remove_file(&path));
    run(target, &[1, 2, 3]);
    assert!(!path.exists());
    panic::catch_unwind(|| run(target, &input)).expect_err("the bug is planted");
    assert_eq!(read(&path), input);
}
