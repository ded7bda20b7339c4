//! `pump dead-letters` on real stores: what real pumps gave up is listed, shown, dropped and sent again.
//!
//! A `file` sink whose part file is a symbolic link to itself cannot write, although its folder can be
//! written; with `retry.max_age` it gives its records up. Mending it is removing the link.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use pump_core::dead_letter::DeadLetter;
use pump_core::record::{Codec, Kind, Timestamp};
use pump_sources::demo::Traffic;
use pump_testing::RedisServer;
use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::{KEY, push, repeats};
use crate::process::PumpProcess;

/// Records that the sink gives up.
const REFUSED: u64 = 300;
/// Entries in the gateway's list that are no records.
const RUBBISH: [&[u8]; 3] = [b"rubbish \x1b[2J", b"\xc1", b""];

/// A pipeline whose sink can be broken and mended, with a store of its own.
struct Scene {
    redis: RedisServer,
    folder: TempDir,
    store: Store,
}

#[derive(Clone, Copy, PartialEq)]
enum Store {
    Directory,
    RedisList,
}

impl Scene {
    fn new(store: Store) -> Self {
        let scene = Self { redis: RedisServer::start(), folder: TempDir::new().expect("a folder"), store };
        fs::create_dir(scene.out()).expect("made");
        scene.write_pipeline("", "");
        scene
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn letters_folder(&self) -> PathBuf {
        self.folder.path().join("letters")
    }

    fn link(&self) -> PathBuf {
        self.out().join("records.ndjson.part")
    }

    fn break_sink(&self) {
        symlink("records.ndjson.part", self.link()).expect("linked");
    }

    fn mend_sink(&self) {
        fs::remove_file(self.link()).expect("it was there");
    }

    /// With further keys of the sink, and further sections.
    fn pipeline(&self, sink: &str, more: &str) -> String {
        let url = self.redis.url();
        let store = match self.store {
            Store::Directory => "{ type: directory, path: letters, max_size: 1MiB }".to_owned(),
            Store::RedisList => {
                format!("{{ type: redis_list, url: \"{url}\", key: letters, max_size: 1MiB }}")
            }
        };
        format!(
            "sources:\n  gateway:\n    type: redis_list\n    url: {url}\n    lease: 1s\n\
             sinks:\n  files:\n    type: file\n    path: out/records.ndjson\n    kinds: [transaction]\n    \
             retry: {{ initial: 10ms, max: 50ms, max_age: 200ms }}\n{sink}\
             dead_letters: {store}\n{more}\n"
        )
    }

    fn write_pipeline(&self, sink: &str, more: &str) {
        fs::write(self.folder.path().join("pipeline.yaml"), self.pipeline(sink, more)).expect("written");
    }

    /// Runs a pump until everything in Redis is delivered or given up.
    fn drain(&self) {
        let mut pump = PumpProcess::start(self.folder.path(), "drain", &self.pipeline("", ""), &["--drain"]);
        let status = pump.wait(Duration::from_secs(60));
        assert!(status.success(), "the drain ended with {status}");
    }

    /// A gateway's records and rubbish, given up by a sink that cannot write.
    fn give_up(&self) {
        self.break_sink();
        self.push_rubbish();
        // Several pumps one after the other leave several files.
        for turn in 0..3 {
            push(&self.redis.url(), turn * REFUSED / 3, (turn + 1) * REFUSED / 3, 600);
            self.drain();
        }
    }

    fn push_rubbish(&self) {
        let mut connection = self.redis.connection();
        for entry in RUBBISH {
            redis::cmd("RPUSH").arg(KEY).arg(entry).query::<u64>(&mut connection).expect("pushed");
        }
    }

    /// Letters in a file, as a pump would have kept them that knew less.
    fn write_letters(&self, sink: Option<&str>, count: u64) {
        let mut traffic = Traffic::new(7, Some(count));
        let mut lines = Vec::new();
        for number in 0..count {
            let mut body = Vec::new();
            traffic.write(Timestamp::now(), &format!("n{number}-"), &mut body);
            let letter = DeadLetter {
                sink: sink.map(Into::into),
                reason: "malformed".into(),
                detail: "written by a test".into(),
                id: None,
                source: "gateway".into(),
                partition: "0".into(),
                position: number,
                kind: Kind::Transaction,
                codec: Codec::Msgpack,
                received: Timestamp::now(),
                body: body.into(),
            };
            lines.extend(letter.to_line(Timestamp::now()));
            lines.push(b'\n');
        }
        fs::create_dir_all(self.letters_folder()).expect("made");
        fs::write(self.letters_folder().join("by-hand.ndjson"), &lines).expect("written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pump"));
        command.arg("dead-letters").arg(arguments[0]).args(["-c", "pipeline.yaml"]).args(&arguments[1..]);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it runs")
    }

    /// What a command that succeeds prints.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn list(&self) -> Value {
        serde_json::from_str(&self.says(&["list", "--json"])).expect("JSON")
    }

    /// How many letters there are of a sink and a reason.
    fn count(&self, sink: Option<&str>) -> u64 {
        let list = self.list();
        let groups = list["letters"].as_array().expect("groups").iter();
        groups
            .filter(|group| group["sink"].as_str() == sink)
            .filter_map(|group| group["count"].as_u64())
            .sum()
    }

    /// The stored lines.
    fn lines(&self) -> Vec<Value> {
        let lines = self.says(&["show", "--json", "--limit", "0"]);
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn ids(&self) -> BTreeSet<String> {
        self.lines().iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
    }

    /// Whether what is counted beside the list is what is in it.
    fn assert_counted(&self) {
        if self.store == Store::RedisList {
            let mut connection = self.redis.connection();
            let lines: Vec<Vec<u8>> =
                redis::cmd("LRANGE").arg("letters").arg(0).arg(-1).query(&mut connection).expect("read");
            let bytes: Option<usize> =
                redis::cmd("GET").arg("{letters}:bytes").query(&mut connection).expect("read");
            assert_eq!(bytes.unwrap_or_default(), lines.iter().map(Vec::len).sum::<usize>());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn what_was_given_up_is_listed_shown_and_dropped(store: Store) {
    let scene = Scene::new(store);
    assert!(scene.says(&["list"]).starts_with("0 letters; "));
    scene.give_up();

    let list = scene.says(&["list"]);
    assert!(list.contains("(undecodable)") && list.contains("expired"), "{list}");
    assert!(list.contains("303 letters; "), "{list}");
    assert_eq!((scene.count(Some("files")), scene.count(None)), (REFUSED, 3));
    let size = scene.list()["store"]["bytes"].as_u64().expect("a size");
    assert!(size > REFUSED * 600, "{size}");

    let shown = scene.says(&["show", "--sink", "files", "--limit", "2"]);
    assert_eq!(shown.matches("sink files  expired: given up after").count(), 2, "{shown}");
    assert_eq!(shown.matches("\"alias\":\"n").count(), 2, "{shown}");
    let shown = scene.says(&["show", "--undecodable"]);
    assert!(shown.contains("8 bytes") || shown.contains("\"rubbish \\x1b[2J\""), "{shown}");
    assert!(!shown.contains('\x1b'), "control characters are visible");
    let lines = scene.lines();
    assert_eq!(lines.len(), 303);
    assert!(lines.iter().all(|line| line["v"] == 1 && line["source"] == "gateway"));
    assert_eq!(scene.ids().len() as u64, REFUSED);

    let refused = scene.run(&["drop", "--undecodable"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--yes"), "{}", text(&refused.stderr));
    assert_eq!(scene.says(&["drop", "--undecodable", "--yes"]), "3 letters were dropped\n");
    assert_eq!((scene.count(Some("files")), scene.count(None)), (REFUSED, 0));
    scene.assert_counted();
    for nothing in [&["--since", "2100-01-01T00:00:00Z"][..], &["--until", "1h"], &["--reason", "odd"]] {
        let said = scene.says(&[&["drop", "--yes"], nothing].concat());
        assert_eq!(said, "no letters were dropped: there are none such\n");
    }
    assert_eq!(scene.says(&["drop", "--since", "1h", "--yes"]), "300 letters were dropped\n");
    assert!(scene.says(&["list"]).starts_with("0 letters; "));
    assert_eq!(scene.list()["store"]["bytes"], 0);
    scene.assert_counted();
}

#[test]
fn what_was_given_up_into_a_directory_is_listed_shown_and_dropped() {
    what_was_given_up_is_listed_shown_and_dropped(Store::Directory);
}

#[test]
fn what_was_given_up_into_a_redis_list_is_listed_shown_and_dropped() {
    what_was_given_up_is_listed_shown_and_dropped(Store::RedisList);
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_there_is() {
    let scene = Scene::new(Store::Directory);
    for command in ["list", "show", "drop", "replay"] {
        let output = scene.run(&[command, "--sink", "flies"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("there is no sink `flies`; there is `files`"), "{command}: {said}");
    }
    for wrong in [&["list", "--since", "yesterday"][..], &["show", "--undecodable", "--sink", "files"]] {
        assert_eq!(scene.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    fs::write(scene.folder.path().join("pipeline.yaml"), "sources: 1\n").expect("written");
    assert_eq!(scene.run(&["list"]).status.code(), Some(2));
}

#[test]
fn lines_that_are_no_letters_are_reported_and_stay() {
    let scene = Scene::new(Store::Directory);
    fs::create_dir(scene.letters_folder()).expect("made");
    let file = scene.letters_folder().join("by-hand.ndjson");
    let foreign = "{\"v\":2,\"at\":\"2030-01-01T00:00:00Z\"}\n{\"v\":1,\"torn";
    fs::write(&file, foreign).expect("written");
    let output = scene.run(&["list"]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("by-hand.ndjson, line 1: it is a letter of version 2"), "{said}");
    assert!(said.contains("line 2: it is no dead letter"), "{said}");
    assert_eq!(scene.says(&["drop", "--yes"]), "no letters were dropped: there are none such\n");
    assert_eq!(fs::read_to_string(&file).expect("there"), foreign);
}

#[test]
fn a_list_that_a_source_reads_is_no_place_for_letters() {
    let scene = Scene::new(Store::RedisList);
    let pipeline = scene.pipeline("", "").replace("key: letters", &format!("key: {KEY}_3"));
    fs::write(scene.folder.path().join("pipeline.yaml"), pipeline).expect("written");
    let output = scene.run(&["list"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("a list that the source gateway reads"), "{said}");
    assert!(said.contains("dead_letters.key") && said.contains("`pump-dead-letters`"), "{said}");
}

#[test]
fn a_terminal_is_asked_before_letters_are_dropped() {
    let scene = Scene::new(Store::Directory);
    scene.give_up();
    let pump = env!("CARGO_BIN_EXE_pump");
    // `script` gives the command a terminal, and types there what it reads.
    for (answer, left) in [("no", REFUSED), ("yes", 0)] {
        let command = format!("{pump} dead-letters drop -c pipeline.yaml --sink files");
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .current_dir(scene.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is there: it comes with util-linux");
        let mut typed = script.stdin.take().expect("piped");
        writeln!(typed, "{answer}").expect("typed");
        let output = script.wait_with_output().expect("it ends");
        let said = text(&output.stdout);
        assert!(said.contains("drop 300 letters for good? Type yes: "), "{said}");
        assert_eq!((output.status.success(), scene.count(Some("files"))), (left == 0, left), "{said}");
    }
}

fn what_a_sink_refused_is_sent_again(store: Store) {
    let scene = Scene::new(store);
    scene.give_up();
    let ids = scene.ids();

    // Refused again: a new letter for each old one, with the same id.
    let said = scene.says(&["replay", "--sink", "files"]);
    assert!(
        said.contains("300 sent, 300 settled and removed") && said.contains("300 given up again"),
        "{said}"
    );
    assert_eq!((scene.count(Some("files")), scene.ids()), (REFUSED, ids));
    scene.assert_counted();

    scene.mend_sink();
    let said = scene.says(&["replay"]);
    assert!(said.contains("files: 300 delivered, 0 there already, 0 filtered, 0 given up again"), "{said}");
    assert!(said.contains("undecodable, from gateway: 0 sent, 0 settled and removed; 3 stay"), "{said}");
    assert_eq!((scene.count(Some("files")), scene.count(None)), (0, 3));
    assert_eq!(repeats(&scene.out(), REFUSED), 0);
    scene.assert_counted();

    assert_eq!(scene.says(&["replay", "--sink", "files"]), "no letters were sent: there are none such\n");
    assert_eq!(repeats(&scene.out(), REFUSED), 0);
}

#[test]
fn what_a_sink_refused_is_sent_again_from_a_directory() {
    what_a_sink_refused_is_sent_again(Store::Directory);
}

#[test]
fn what_a_sink_refused_is_sent_again_from_a_redis_list() {
    what_a_sink_refused_is_sent_again(Store::RedisList);
}

fn a_replay_and_a_pump_work_on_one_store_at_once(store: Store) {
    let scene = Scene::new(store);
    scene.give_up();
    scene.mend_sink();
    let mut pump = PumpProcess::start(scene.folder.path(), "beside", &scene.pipeline("", ""), &[]);
    scene.write_pipeline("    rate_limit: 300/s\n    batch: { max_records: 20 }\n", "");
    let mut replay =
        scene.command(&["replay", "--sink", "files"]).stdout(Stdio::null()).spawn().expect("runs");
    let mut turns = 1;
    while replay.try_wait().expect("asked").is_none() {
        scene.push_rubbish();
        turns += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(replay.wait().expect("ended").success());
    pump.wait_until(Duration::from_secs(20), "all rubbish", |_| scene.count(None) == 3 * turns);
    assert_eq!(scene.count(Some("files")), 0);
    scene.assert_counted();
    pump.stop();
    assert_eq!(repeats(&scene.out(), REFUSED), 0);
}

#[test]
fn a_replay_and_a_pump_work_on_one_directory_at_once() {
    a_replay_and_a_pump_work_on_one_store_at_once(Store::Directory);
}

#[test]
fn a_replay_and_a_pump_work_on_one_redis_list_at_once() {
    a_replay_and_a_pump_work_on_one_store_at_once(Store::RedisList);
}

fn a_replay_that_is_killed_loses_nothing(store: Store) {
    let scene = Scene::new(store);
    scene.give_up();
    let all = scene.ids();
    let kill_after = |wait| {
        let mut replay = scene.command(&["replay"]);
        let mut replay = replay.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_millis(wait));
        replay.kill().expect("it can be killed");
        replay.wait().expect("it ends");
        scene.assert_counted();
    };
    // Three hundred letters take more than a second, so most kills are in the middle.
    scene.write_pipeline("    rate_limit: 250/s\n    batch: { max_records: 20 }\n", "");
    for wait in [300, 700, 1200] {
        kill_after(wait);
        assert_eq!(scene.ids(), all, "everything is refused again, so each record has a letter");
    }
    scene.mend_sink();
    for wait in [100, 300, 700, 1000] {
        kill_after(wait);
        assert!(scene.ids().is_subset(&all), "a letter has another id");
    }
    scene.write_pipeline("", "");
    scene.says(&["replay", "--sink", "files"]);
    assert_eq!((scene.count(Some("files")), scene.count(None)), (0, 3));
    repeats(&scene.out(), REFUSED);
    scene.assert_counted();
}

#[test]
fn a_replay_from_a_directory_that_is_killed_loses_nothing() {
    a_replay_that_is_killed_loses_nothing(Store::Directory);
}

#[test]
fn a_replay_from_a_redis_list_that_is_killed_loses_nothing() {
    a_replay_that_is_killed_loses_nothing(Store::RedisList);
}

#[test]
fn a_replay_that_is_told_to_stop_removes_what_is_settled_and_ends_with_1() {
    let scene = Scene::new(Store::Directory);
    scene.give_up();
    scene.mend_sink();
    scene.write_pipeline("    rate_limit: 100/s\n    batch: { max_records: 10 }\n", "");
    let replay = scene.command(&["replay"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let replay = replay.expect("it runs");
    std::thread::sleep(Duration::from_millis(700));
    let pid = rustix::process::Pid::from_raw(replay.id() as i32).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("told");
    let output = replay.wait_with_output().expect("it ends");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the rest stay"), "{said}");
    let left = scene.count(Some("files"));
    assert!((1..REFUSED).contains(&left), "{left}");
    scene.write_pipeline("", "");
    scene.says(&["replay", "--sink", "files"]);
    assert_eq!(repeats(&scene.out(), REFUSED), 0, "what was settled is not sent again");
}

#[test]
fn a_sink_that_cannot_be_reached_is_given_up_and_the_others_get_their_letters() {
    let scene = Scene::new(Store::Directory);
    scene.give_up();
    scene.write_letters(Some("second"), 20);
    scene.write_pipeline("  second:\n    type: file\n    path: second/records.ndjson\n", "");
    fs::rename(scene.out(), scene.folder.path().join("elsewhere")).expect("moved");
    fs::write(scene.out(), "no folder").expect("written");
    let output = scene.run(&["replay"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sink files is unavailable: cannot write"), "{said}");
    assert_eq!((scene.count(Some("files")), scene.count(Some("second"))), (REFUSED, 0));
    assert_eq!(repeats(&scene.folder.path().join("second"), 20), 0);
}

#[test]
fn another_id_key_is_noticed_before_a_sink_meets_another_id() {
    let scene = Scene::new(Store::Directory);
    scene.give_up();
    scene.mend_sink();
    scene.write_pipeline("", "record_id: { key: \"another secret of sixteen bytes\" }");
    let output = scene.run(&["replay"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("set record_id.key to what it was"), "{said}");
    assert_eq!(scene.count(Some("files")), REFUSED);
}

#[test]
fn what_can_be_decoded_by_now_goes_to_all_sinks_and_what_the_filter_does_not_want_leaves() {
    let scene = Scene::new(Store::Directory);
    scene.write_letters(None, 20);
    scene.write_pipeline("  none:\n    type: \"null\"\n    filter: { api_ids: [none] }\n", "");
    let said = scene.says(&["replay", "--undecodable"]);
    assert!(said.contains("  files: 20 delivered") && said.contains("  none: 0 delivered"), "{said}");
    assert!(said.contains("20 filtered"), "{said}");
    assert_eq!(repeats(&scene.out(), 20), 0);
    assert!(scene.says(&["list"]).starts_with("0 letters; "));
    assert_eq!(fs::read_dir(scene.letters_folder()).expect("there").count(), 0);
}

#[test]
fn letters_of_a_sink_that_is_no_longer_there_stay_until_they_are_dropped() {
    let scene = Scene::new(Store::Directory);
    scene.give_up();
    let file = scene.folder.path().join("pipeline.yaml");
    let pipeline = scene.pipeline("", "").replace("  files:", "  archive:");
    fs::write(file, pipeline).expect("written");
    let output = scene.run(&["replay"]);
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("300 letters stay: there is no sink `files` in the pipeline file"), "{said}");
    assert_eq!(scene.run(&["replay", "--sink", "files"]).status.code(), Some(2));
    assert_eq!(scene.says(&["drop", "--sink", "files", "--yes"]), "300 letters were dropped\n");
}

fn a_pump_that_waits_for_a_full_store_goes_on_once_letters_were_dropped(store: Store) {
    let scene = Scene::new(store);
    let pipeline = scene.pipeline("", "").replace("max_size: 1MiB", "max_size: 2KiB");
    scene.push_rubbish();
    let mut pump = PumpProcess::start(scene.folder.path(), "full", &pipeline, &[]);
    let limit = Duration::from_secs(20);
    pump.wait_until(limit, "the first letters", |_| scene.count(None) == 3);
    // Nine letters do not fit, and the rest of them do once the others are gone.
    scene.push_rubbish();
    scene.push_rubbish();
    pump.wait_until(limit, "full", |status| {
        status["dead_letters"]["trouble"].as_str().is_some_and(|trouble| trouble.contains("are full"))
    });
    let dropped = scene.says(&["drop", "--undecodable", "--yes"]);
    let dropped: u64 = dropped.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert!((3..9).contains(&dropped), "{dropped}");
    pump.wait_until(limit, "all letters", |_| scene.count(None) == 9 - dropped);
    pump.wait_until(limit, "no trouble", |status| status["dead_letters"]["trouble"].is_null());
    // The file to which the pump appends goes away under it, and letters go on being kept.
    scene.says(&["drop", "--yes"]);
    scene.push_rubbish();
    pump.wait_until(limit, "three more", |_| scene.count(None) == 3);
    scene.assert_counted();
    pump.stop();
}

#[test]
fn a_pump_that_waits_for_a_full_directory_goes_on_once_letters_were_dropped() {
    a_pump_that_waits_for_a_full_store_goes_on_once_letters_were_dropped(Store::Directory);
}

#[test]
fn a_pump_that_waits_for_a_full_redis_list_goes_on_once_letters_were_dropped() {
    a_pump_that_waits_for_a_full_store_goes_on_once_letters_were_dropped(Store::RedisList);
}
