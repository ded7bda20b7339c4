//! Sinks that write different files into one folder, of one stem even, while their process is killed
//! again and again: none loses a record, tears a file or takes another's for its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pump_core::encode::CSV_HEADER;
use pump_testing::RedisServer;
use tempfile::TempDir;

use crate::gateway::push;
use crate::process::PumpProcess;

/// Of a record, in bytes.
const SIZE: usize = 1_100;

#[test]
fn three_sinks_in_one_folder_survive_kills_with_every_record_in_whole_files() {
    const RECORDS: u64 = 60_000;
    let (redis, folder) = (RedisServer::start(), TempDir::new().expect("a folder"));
    let pipeline = pipeline(&redis);
    let mut pump = PumpProcess::start(folder.path(), "killed", &pipeline, &[]);
    pump.wait_until(Duration::from_secs(10), "started", |status| status["lanes"].is_array());
    let url = redis.url();
    let pushing = thread::spawn(move || push(&url, 0, RECORDS, SIZE));
    let begin = Instant::now();
    let mut kills = 0;
    while !pushing.is_finished() || kills < 5 {
        // Killed only once all three have written: a kill before that tears nothing.
        let limit = Duration::from_secs(30);
        pump.wait_until(limit, "something is delivered to each", |status| {
            let is_idle = status["sources"][0]["records"]["backlog"] == 0 && pushing.is_finished();
            let delivered = |lane: usize| status["lanes"][lane]["records"]["delivered"].as_u64();
            is_idle || (0..3).all(|lane| delivered(lane) > Some(0))
        });
        thread::sleep(Duration::from_millis(kills * 104_729 % 300));
        pump.kill();
        kills += 1;
        if kills % 2 == 0 {
            tear(&folder.path().join("out"));
        }
        pump = PumpProcess::start(folder.path(), "killed", &pipeline, &[]);
        assert!(begin.elapsed() < Duration::from_secs(120), "pushing takes too long");
    }
    pushing.join().expect("pushed");
    pump.wait_until(Duration::from_secs(60), "the backlog is gone", |status| {
        status["sources"][0]["records"]["backlog"] == 0
    });
    pump.stop();
    let mut last = PumpProcess::start(folder.path(), "drain", &pipeline, &["--drain"]);
    assert!(last.wait(Duration::from_secs(60)).success());
    assert_eq!(redis.keys(), Vec::<String>::new(), "nothing is left in Redis");

    let mut of_sink =
        BTreeMap::from([(".ndjson", Vec::new()), (".csv", Vec::new()), (".ndjson.gz", Vec::new())]);
    for path in files(&folder.path().join("out")) {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(!name.ends_with(".part"), "{name} was left behind");
        // What had nothing whole in it was answered to nobody.
        if !name.ends_with(".torn") {
            let ending = &name[name.find('.').expect("an ending")..];
            of_sink.get_mut(ending).unwrap_or_else(|| panic!("{name} is nobody's")).push(path);
        }
    }
    for (ending, paths) in of_sink {
        let mut seen = vec![0_u32; RECORDS as usize];
        for path in &paths {
            numbers(path).into_iter().for_each(|number| seen[number] += 1);
        }
        let lost = seen.iter().filter(|times| **times == 0).count();
        assert_eq!(lost, 0, "{lost} records are in none of {} files {ending}", paths.len());
        assert!(paths.len() > kills as usize, "too few files {ending} for {kills} kills");
    }
}

fn pipeline(redis: &RedisServer) -> String {
    let sink = |name: &str, lines: &str| {
        format!(
            "  {name}:\n    type: file\n    kinds: [transaction]\n    rotate: {{ max_size: 2MiB, max_age: 2s }}\n\
             {lines}"
        )
    };
    [
        &format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {}\n    lease: 2s\nsinks:\n",
            redis.url()
        ),
        &sink("json", "    path: out/records.ndjson\n"),
        &sink("table", "    path: out/records.csv\n    encoding: csv\n"),
        &sink("packed", "    path: out/records.ndjson.gz\n    compression: gzip\n"),
    ]
    .map(String::as_str)
    .concat()
}

/// Makes certain what a kill does seldom: each file that was being written ends within a frame.
fn tear(folder: &Path) {
    for path in files(folder) {
        let name = path.to_string_lossy();
        let is_empty = std::fs::metadata(&path).expect("the dead rename nothing").len() == 0;
        let torn: &[u8] = match () {
            () if !name.ends_with(".part") => continue,
            () if name.contains(".gz") => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1],
            // Killed before it wrote a byte: what comes first is the line of names.
            () if name.contains(".csv") && is_empty => &CSV_HEADER[..9],
            () if name.contains(".csv") => b"GET,\"a cell with\na line",
            () => b"{\"alias\":\"n",
        };
        let file = std::fs::OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(torn)).expect("the dead write nothing");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("it can be read").path()).collect()
}

/// The numbers of a file's records. A file that is not whole fails the test.
fn numbers(path: &Path) -> Vec<usize> {
    let file = std::fs::File::open(path).expect("it can be opened");
    let mut text = String::new();
    let name = path.display();
    match path.extension().is_some_and(|ending| ending == "gz") {
        true => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
        false => (&file).read_to_string(&mut text),
    }
    .unwrap_or_else(|error| panic!("{name} is not whole: {error}"));
    assert!(text.ends_with('\n'), "{name} ends in a torn line");
    let aliases: Vec<String> = match path.extension().is_some_and(|ending| ending == "csv") {
        true => {
            let names = std::str::from_utf8(CSV_HEADER).expect("it is text");
            let rows =
                rows(text.strip_prefix(names).unwrap_or_else(|| panic!("{name} has no line of names")));
            let names: Vec<_> = names.trim_end().split(',').collect();
            let alias = names.iter().position(|name| *name == "Alias").expect("a column");
            assert!(rows.iter().all(|row| row.len() == names.len()), "{name} has a torn row");
            rows.into_iter().map(|mut row| row.swap_remove(alias)).collect()
        }
        false => text
            .lines()
            .map(|line| {
                let record: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
                record["alias"].as_str().expect("a record has an alias").to_owned()
            })
            .collect(),
    };
    let number = |alias: String| alias[1..].split('-').next().and_then(|digits| digits.parse().ok());
    aliases.into_iter().map(|alias| number(alias).expect("the alias has a number")).collect()
}

/// Rows of csv (RFC 4180) with their cells.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    rows
}
