//! What the disk log costs: beside the log in memory, and beside writing the same bytes without a log.
//!
//! ```sh
//! cargo bench --bench disk_log -- FOLDER        # on the disk that is meant; some GiB, some minutes
//! ```

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pump_core::accounting::LaneBooks;
use pump_core::dead_letter::DirectoryStore;
use pump_core::edit::Edits;
use pump_core::encode::Additions;
use pump_core::engine::{Blueprint, LaneBlueprint, LogBlueprint, Pump, SourceBlueprint};
use pump_core::filter::Filter;
use pump_core::log::disk::{Directory, DiskSettings, Opened};
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Deadline, DynSink, DynSource, Mode, Port, SinkError, SourceError,
};
use pump_core::record::{Chunk, ChunkHead, Codec, IdKey, Kind, Partition, RecordId, Timestamp};
use pump_core::template::Template;
use pump_core::{LaneSettings, Randomness, RetrySettings};

/// Bytes of a record, and records of a chunk: what Redis gives in one reply of gateways' records.
const RECORD: usize = 600;
const PER_CHUNK: usize = 3_500;
/// Bytes of the large logs.
const GIB: u64 = 1 << 30;

/// Gives the same chunk again and again.
struct Repeating {
    chunks: usize,
    per_chunk: usize,
    settled: tokio::sync::mpsc::UnboundedSender<u64>,
}

#[async_trait]
impl DynSource for Repeating {
    async fn probe(&self) -> Result<(), SourceError> {
        Ok(())
    }

    async fn run(self: Box<Self>, mut port: Port) -> Result<(), SourceError> {
        // Positions begin anew with each run.
        let partition = Partition::new(RecordId::uuid_v7().to_string());
        let per_chunk = self.per_chunk;
        let body = format!("{{\"filler\":\"{}\"}}", "x".repeat(RECORD - 13));
        let bytes = Bytes::from(body.repeat(per_chunk));
        for number in 0..self.chunks {
            let mut permit = port.reserve(bytes.len()).await;
            let head = ChunkHead {
                source: port.name().clone(),
                partition: partition.clone(),
                kind: Kind::Event,
                codec: Codec::Json,
                received: Timestamp::now(),
            };
            let first = (number * per_chunk) as u64;
            let entries =
                (0..per_chunk).map(|index| (first + index as u64, index * RECORD..(index + 1) * RECORD));
            let positions = first..first + per_chunk as u64;
            // As from a socket: each reply is a buffer of its own.
            let reply = Bytes::copy_from_slice(&bytes);
            permit.append(Chunk::parse(head, reply, positions, entries)).await;
            while let Some((_, position)) = port.try_settled() {
                let _ = self.settled.send(position);
            }
        }
        while let Some((_, position)) = port.settled().await {
            let _ = self.settled.send(position);
        }
        Ok(())
    }
}

/// Takes everything, or nothing.
struct Null {
    is_dead: bool,
}

#[async_trait]
impl DynSink for Null {
    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        if self.is_dead {
            std::future::pending::<()>().await;
        }
        Ok(Answers::delivered(batch.len()))
    }

    async fn probe(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

fn blueprint(log: LogBlueprint, source: Repeating, is_dead: bool, folder: &Path) -> Blueprint {
    let lane = LaneBlueprint {
        name: "only".into(),
        sink: Arc::new(Null { is_dead }),
        sources: None,
        kinds: vec![Kind::Event],
        is_required: true,
        filter: Filter::default(),
        edits: Edits::default(),
        additions: Additions::default(),
        body: None,
        route: Template::constant_of(""),
        repeats_batches: false,
        settings: LaneSettings {
            batch: BatchDefaults { max_records: 10_000, max_bytes: 4 << 20, max_age: Duration::from_secs(1) },
            max_in_flight: 2,
            is_adaptive: false,
            rate_limit: None,
            timeout: Duration::from_secs(3_600),
            retry: RetrySettings::default(),
        },
    };
    Blueprint {
        sources: vec![SourceBlueprint { name: "a".into(), source: Box::new(source) }],
        lanes: vec![lane],
        log,
        dead_letters: Arc::new(DirectoryStore::new(folder.join("letters"), 1 << 20)),
        id_key: Arc::new(IdKey::default()),
        mode: Mode::Follow,
        shutdown_timeout: Duration::from_secs(5),
        randomness: Randomness::default(),
    }
}

async fn opened(path: &Path, max_size: u64) -> LogBlueprint {
    let storage = Arc::new(Directory::lock(path).expect("nobody else has it"));
    let opened = Opened::open(storage, DiskSettings::new(max_size)).await.expect("it is sound");
    LogBlueprint::Disk(Box::new(opened))
}

/// Runs so many chunks through a log until they are settled, and delivered if the sink lives.
async fn through(
    log: LogBlueprint,
    chunks: usize,
    per_chunk: usize,
    is_dead: bool,
    folder: &Path,
) -> LaneBooks {
    let (settled, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let pump = Pump::new(blueprint(log, Repeating { chunks, per_chunk, settled }, is_dead, folder));
    let (monitor, total) = (pump.monitor(), (chunks * per_chunk) as u64);
    let books = monitor.clone();
    let stop = async move {
        while chunks > 0 && heard.recv().await.is_some_and(|position| position < total) {}
        while !is_dead && monitor.books().lanes[0].pending() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    pump.run(stop).await.expect("nothing fails");
    books.books().lanes[0]
}

/// User and system time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let times = stat.rsplit_once(')').expect("its form is known").1.split_ascii_whitespace();
    times.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

fn report(what: &str, records: usize, begin: Instant, cpu_before: f64) -> f64 {
    let (took, cpu) = (begin.elapsed().as_secs_f64(), cpu() - cpu_before);
    let millions = records as f64 / 1e6;
    println!(
        "{what:<28} {:8.0} records/s {:6.0} MB/s   {:5.2} CPU s per million",
        records as f64 / took,
        (records * RECORD) as f64 / took / 1e6,
        cpu / millions
    );
    cpu / millions
}

/// The same bytes in files of the same size, synced as often, and nothing else.
fn plain(folder: &Path, chunks: usize) {
    let (begin, before) = (Instant::now(), cpu());
    let chunk = vec![b'x'; PER_CHUNK * RECORD];
    let (per_file, per_sync) = ((32 << 20) / chunk.len(), 2);
    for number in 0..chunks.div_ceil(per_file) {
        let path = folder.join(format!("plain-{number}"));
        let mut file = File::create(&path).expect("a file");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 32 << 20).expect("room");
        for index in 0..per_file.min(chunks - number * per_file) {
            chunk.chunks(256 << 10).for_each(|part| file.write_all(part).expect("it is written"));
            if index % per_sync == per_sync - 1 {
                file.sync_data().expect("it is synced");
            }
        }
        file.sync_data().expect("it is synced");
        std::fs::remove_file(path).expect("it is removed");
    }
    report("write and fdatasync alone", chunks * PER_CHUNK, begin, before);
}

async fn measure(folder: &Path, records: usize) {
    let chunks = records / PER_CHUNK;
    for _ in 0..3 {
        plain(folder, chunks);
        let (begin, before) = (Instant::now(), cpu());
        through(LogBlueprint::Memory { max_size: 32 << 20 }, chunks, PER_CHUNK, false, folder).await;
        let memory = report("through the log in memory", chunks * PER_CHUNK, begin, before);
        let (begin, before) = (Instant::now(), cpu());
        through(opened(&folder.join("log"), GIB).await, chunks, PER_CHUNK, false, folder).await;
        let disk = report("through the log on disk", chunks * PER_CHUNK, begin, before);
        println!("surcharge of the disk log: {:.2} CPU s per million\n", disk - memory);
    }
    behind(folder, GIB as usize / RECORD).await;
    behind(folder, records).await;
    small(folder).await;
}

/// A dead sink: what is behind, what that takes in memory, and how long the next start takes.
async fn behind(folder: &Path, records: usize) {
    let path = folder.join(format!("behind-{records}"));
    let chunks = records / PER_CHUNK;
    let before = peak();
    through(opened(&path, 8 * GIB).await, chunks, PER_CHUNK, true, folder).await;
    println!("{} records behind a dead sink: peak {} MiB (before {before})", chunks * PER_CHUNK, peak());
    let begin = Instant::now();
    let log = opened(&path, 8 * GIB).await;
    println!("opening {} MiB: {:.2} s", (chunks * PER_CHUNK * RECORD) >> 20, begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let books = through(log, 0, 0, false, folder).await;
    let rate = books.delivered as f64 / begin.elapsed().as_secs_f64();
    println!("read from the disk: {} records, {rate:.0} a second, peak {} MiB", books.delivered, peak());
}

/// A million records in chunks of one: what a quiet gateway leaves behind a dead sink in weeks.
async fn small(folder: &Path) {
    let (path, records) = (folder.join("small"), 1_000_000);
    through(opened(&path, 4 * GIB).await, records, 1, true, folder).await;
    println!("{records} chunks of one record behind a dead sink: peak {} MiB", peak());
    let begin = Instant::now();
    let log = opened(&path, 4 * GIB).await;
    println!("opening them: {:.2} s", begin.elapsed().as_secs_f64());
    through(log, 0, 0, false, folder).await;
    println!("read from the disk: peak {} MiB", peak());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(folder) = arguments.first() else {
        println!("usage: cargo bench --bench disk_log -- FOLDER [RECORDS]");
        return;
    };
    let folder = Path::new(folder).join("pump-disk-log-bench");
    let records = arguments.get(1).map_or(5_000_000, |count| count.parse().expect("a number of records"));
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&folder, records));
    std::fs::remove_dir_all(&folder).expect("it can be removed");
}
