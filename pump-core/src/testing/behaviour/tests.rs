//! The suite itself: a small sink with a server of its own passes it, and each bug that is planted in the
//! sink is found by the behaviour that is about it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Format;
use crate::encode::FullEncoder;
use crate::plugin::{
    Answer, Answers, Batch, BatchDefaults, Body, Deadline, PlanError, SinkContext, SinkError, SinkPlan,
};
use crate::record::Kind;
use crate::template::Template;

const TOKEN: &str = "token-of-the-shelf";
const WRONG: &str = "token-of-nobody";
const MAX_REQUEST: usize = 1 << 20;

/// What is wrong with the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Bug {
    None,
    /// The last record of a batch is left out.
    ForgetsOne,
    /// Ids are made anew for each attempt.
    MakesIds,
    /// A refused record counts as delivered.
    IgnoresAnswers,
    /// Too large is refused for good.
    RejectsLargeBatches,
    /// Sent counts as delivered.
    CountsWhatIsSent,
    /// Whatever is wrong with the token, the records are to blame.
    BlamesRecords,
    /// What was begun once is taken for done.
    TakesBegunForDone,
    /// The record goes out as it came.
    IgnoresEdits,
    /// The token is shown.
    ShowsToken,
    /// An answer that takes long is not waited for, and taken for a good one.
    TakesSilenceForDone,
    /// A server that does not answer has refused the records.
    GivesUp,
    /// A missing shelf is the records' fault.
    BlamesRecordsForTheShelf,
    /// It waits for an answer on the runtime's own thread.
    BlocksItsThread,
    /// What is in the way of the field is left in.
    OmitsNothing,
    /// What is added is left out.
    AddsNothing,
}

/// Sends one request over one connection: a head line of token, shelf and length, then lines of `ID TEXT`. The
/// reply is a line: a sign for each record, or a word.
struct ShelfSink {
    config: ShelfConfig,
    begun: Mutex<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShelfConfig {
    address: String,
    shelf: String,
    token: String,
    bug: Bug,
}

#[async_trait]
impl Sink for ShelfSink {
    const NAME: &'static str = "shelf";
    type Config = ShelfConfig;

    fn plan(_: &ShelfConfig, _: Option<Format>) -> Result<SinkPlan, PlanError> {
        Ok(SinkPlan {
            kinds: vec![Kind::Transaction],
            body: Some(Body { encoder: Arc::new(FullEncoder), terminator: b"\n" }),
            batch: BatchDefaults::default(),
            route: Template::constant_of(""),
            targets: Vec::new(),
            takes_additions: true,
            repeats_batches: false,
        })
    }

    async fn open(config: ShelfConfig, _: SinkContext) -> Result<Self, SinkError> {
        Ok(Self { config, begun: Mutex::default() })
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let bug = self.config.bug;
        let mut body = Vec::new();
        let mut slices = batch.slices();
        let mut left = batch.len() - usize::from(bug == Bug::ForgetsOne);
        while let Some(slice) = slices.next().await? {
            for entry in slice.entries().take(left) {
                let id = match bug {
                    Bug::MakesIds => uuid::Uuid::now_v7().simple().to_string(),
                    _ => entry.id().to_string(),
                };
                body.extend_from_slice(id.as_bytes());
                body.push(b' ');
                match bug {
                    Bug::IgnoresEdits | Bug::OmitsNothing | Bug::AddsNothing => {
                        let (mut plain, record) = (Vec::new(), entry.record());
                        let additions = crate::encode::Additions::default();
                        crate::encode::Encoder::encode(
                            &FullEncoder,
                            record,
                            &record.view(),
                            &additions,
                            &mut plain,
                        );
                        body.extend_from_slice(&plain);
                    }
                    _ => body.extend_from_slice(entry.body()),
                }
                body.push(b'\n');
                left -= 1;
            }
        }
        if bug == Bug::TakesBegunForDone {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{:?}", body.get(..40));
            if begun.contains(&name) {
                return Ok(Answers::delivered(batch.len()));
            }
            begun.push(name);
        }
        let rejected = |code| Answer::Rejected { code, detail: "the shelf said so".into() };
        let all = |answer: Answer| {
            let mut answers = Answers::unset(batch.len());
            (0..batch.len()).for_each(|index| answers.set(index, answer.clone()));
            Ok(answers)
        };
        let exchange = self.exchange(&body, bug != Bug::CountsWhatIsSent);
        let replied = match bug {
            Bug::TakesSilenceForDone => {
                match tokio::time::timeout(Duration::from_millis(300), exchange).await {
                    Ok(replied) => replied,
                    Err(_) => return Ok(Answers::delivered(batch.len())),
                }
            }
            Bug::BlocksItsThread => {
                let mut exchange = std::pin::pin!(exchange);
                let begin = Instant::now();
                loop {
                    match tokio::time::timeout(Duration::from_millis(20), &mut exchange).await {
                        Ok(replied) => break replied,
                        Err(_) if begin.elapsed() > Duration::from_secs(30) => {
                            return all(Answer::Retry(None));
                        }
                        Err(_) => std::thread::sleep(Duration::from_secs(5)),
                    }
                }
            }
            _ => exchange.await,
        };
        let reply = match replied {
            Ok(reply) => reply,
            Err(_) if bug == Bug::GivesUp => return all(rejected("silent")),
            Err(error) => return Err(SinkError::retry("the shelf does not answer", error)),
        };
        match reply.trim() {
            "sent" => Ok(Answers::delivered(batch.len())),
            "token" if bug == Bug::BlamesRecords => all(rejected("token")),
            "shelf" if bug == Bug::BlamesRecordsForTheShelf => all(rejected("shelf")),
            "token" => Err(SinkError::unavailable("the token is refused", "token")),
            "shelf" => Err(SinkError::unavailable("there is no such shelf", "shelf")),
            "large" if bug == Bug::RejectsLargeBatches => all(rejected("large")),
            "large" => Err(SinkError::too_large("the shelf takes 1 MiB")),
            signs => {
                let mut answers = Answers::unset(batch.len());
                for (index, sign) in signs.chars().enumerate() {
                    match sign {
                        '+' => answers.set(index, Answer::Delivered),
                        '=' => answers.set(index, Answer::Duplicate),
                        _ if bug == Bug::IgnoresAnswers => answers.set(index, Answer::Delivered),
                        _ => answers.set(index, rejected("refused")),
                    }
                }
                if bug == Bug::ForgetsOne {
                    answers.set(batch.len() - 1, Answer::Delivered);
                }
                Ok(answers)
            }
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        match self.exchange(b"", true).await {
            Ok(reply) if reply.trim().is_empty() => Ok(()),
            Ok(reply) => Err(SinkError::unavailable("the shelf refuses", reply)),
            Err(error) => Err(SinkError::retry("the shelf does not answer", error)),
        }
    }
}

impl ShelfSink {
    async fn exchange(&self, body: &[u8], waits: bool) -> std::io::Result<String> {
        let ShelfConfig { address, shelf, token, bug } = &self.config;
        if *bug == Bug::ShowsToken {
            tracing::info!(%token, "a delivery begins");
        }
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(format!("{token} {shelf} {}\n", body.len()).as_bytes()).await?;
        connection.write_all(body).await?;
        if !waits {
            return Ok("sent".to_owned());
        }
        let mut reply = String::new();
        BufReader::new(connection).read_line(&mut reply).await?;
        if reply.ends_with('\n') { Ok(reply) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Records by their ids, by shelf.
type Shelves = Arc<Mutex<BTreeMap<String, Vec<(String, String)>>>>;

async fn serve(mut connection: TcpStream, shelves: Shelves) -> std::io::Result<()> {
    let (reader, mut writer) = connection.split();
    let (mut reader, mut head) = (BufReader::new(reader), String::new());
    reader.read_line(&mut head).await?;
    let mut words = head.split_whitespace();
    let (token, shelf) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let length: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let reply = {
        let mut shelves = shelves.lock().unwrap_or_else(PoisonError::into_inner);
        match shelves.get_mut(shelf) {
            _ if token != TOKEN => "token".to_owned(),
            None => "shelf".to_owned(),
            _ if length > MAX_REQUEST => "large".to_owned(),
            Some(records) => {
                let text = String::from_utf8_lossy(&body);
                let put = |line: &str| {
                    let (id, text) = line.split_once(' ').unwrap_or_default();
                    if text.contains("refuse") {
                        return '-';
                    }
                    if records.iter().any(|(there, _)| there == id) {
                        return '=';
                    }
                    records.push((id.to_owned(), text.to_owned()));
                    '+'
                };
                text.lines().map(put).collect()
            }
        }
    };
    writer.write_all(format!("{reply}\n").as_bytes()).await
}

struct ShelfServer {
    bug: Bug,
    shelves: Shelves,
    way: Proxy,
    address: std::net::SocketAddr,
    task: Mutex<tokio::task::JoinHandle<()>>,
}

fn listen(listener: TcpListener, shelves: Shelves) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.spawn(serve(connection, shelves.clone()));
        }
    })
}

impl ShelfServer {
    async fn start(bug: Bug) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let shelves = Shelves::default();
        let task = Mutex::new(listen(listener, shelves.clone()));
        Self { bug, shelves, way: Proxy::to(address).await, address, task }
    }

    fn keys(&self, name: &str, token: &str) -> String {
        let bug = serde_json::to_string(&self.bug).expect("a name");
        format!("address: {}\nshelf: {name}\ntoken: {token}\nbug: {bug}", self.way.address())
    }

    fn shelves(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<(String, String)>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Destination for ShelfServer {
    type Sink = ShelfSink;

    async fn place(&self, name: &str) -> String {
        self.shelves().insert(name.to_owned(), Vec::new());
        self.keys(name, TOKEN)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let shelves = self.shelves();
        let records = shelves[name].iter();
        records.map(|(id, text)| Seen { id: Some(id.clone()), text: text.clone(), count: 1 }).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Vanish
    }

    fn ids(&self) -> Result<(), Unlike> {
        Ok(())
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Ok(&self.way)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).abort();
        Ok(())
    }

    async fn start(&self) {
        let listener = TcpListener::bind(self.address).await.expect("the port is free again");
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = listen(listener, self.shelves.clone());
    }

    fn refused(&self, sample: Sample) -> Result<Sample, Unlike> {
        Ok(sample.with("APIName", "refuse"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Ok(TooLarge { batch: MAX_REQUEST, record: Some(MAX_REQUEST + 1) })
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        self.place(name).await;
        Ok(self.keys(name, WRONG))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name, TOKEN))
    }

    async fn make_missing(&self, name: &str) {
        self.place(name).await;
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned(), WRONG.to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_behaves_passes_and_has_every_behaviour() {
    let findings = check(async || ShelfServer::start(Bug::None).await).await;
    assert_eq!(findings.len(), cases::ALL.len());
    assert!(findings.iter().all(|finding| finding.held.is_ok()), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bug_is_found_by_the_behaviour_that_is_about_it() {
    const BUGS: [(Bug, &str); 15] = [
        (Bug::ForgetsOne, "delivers_all"),
        (Bug::MakesIds, "keeps_ids"),
        (Bug::IgnoresAnswers, "answers_per_record"),
        (Bug::RejectsLargeBatches, "splits_what_is_too_large"),
        (Bug::CountsWhatIsSent, "survives_lost_connections"),
        (Bug::TakesSilenceForDone, "survives_slow_answers"),
        (Bug::GivesUp, "survives_a_restart"),
        (Bug::BlamesRecords, "waits_for_credentials"),
        (Bug::BlamesRecordsForTheShelf, "waits_for_its_target"),
        (Bug::BlocksItsThread, "stops_in_time"),
        (Bug::TakesBegunForDone, "can_be_dropped"),
        (Bug::OmitsNothing, "omits"),
        (Bug::IgnoresEdits, "redacts"),
        (Bug::AddsNothing, "adds"),
        (Bug::ShowsToken, "shows_no_secrets"),
    ];
    assert_eq!(BUGS.map(|(_, name)| name), cases::ALL.map(|(name, _)| name), "each behaviour has its bug");
    for (bug, name) in BUGS {
        let _one = ONE_AT_A_TIME.lock().await;
        let server = ShelfServer::start(bug).await;
        watch::begin(type_name::<ShelfSink>(), server.secrets());
        if bug == Bug::ShowsToken {
            Case::new(&server, "delivers_all").run().await.expect("it delivers");
        }
        let held = Case::new(&server, name).run().await;
        watch::end();
        match held {
            Err(Failure::Broken(what)) => eprintln!("{bug:?}: {what:.300}"),
            Err(Failure::Unlike(reason)) => panic!("{bug:?}: {reason:?}"),
            Ok(()) => panic!("{bug:?} was not found"),
        }
    }
}
