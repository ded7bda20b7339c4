//! The behaviours, one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::sample::{API_KEY, IP_ADDRESS};
use super::stage::{Dropping, Moment, Running, SHUTDOWN, lane, takes_additions};
use super::{Destination, Fault, Repeats, Sample, Seen, TooLarge, Unlike, numbers_in, watch};
use crate::plugin::Mode;
use crate::statistics::LaneState;

/// Every behaviour, in the order in which they are tried.
pub(super) const ALL: [(&str, &str); 13] = [
    ("delivers_all", "every record arrives, once"),
    ("keeps_ids", "what is sent twice has the same id, the record's"),
    ("answers_per_record", "a record that is refused is a dead letter; those beside it arrive"),
    (
        "splits_what_is_too_large",
        "a batch that is too large goes in parts; a record that is too large is a dead letter",
    ),
    ("survives_lost_connections", "connections that end at any byte lose nothing"),
    ("survives_slow_answers", "answers that come too late lose nothing"),
    ("survives_a_restart", "a server that stops and starts again loses nothing"),
    ("waits_for_credentials", "wrong credentials pause it: nothing is given up"),
    ("waits_for_its_target", "a missing target pauses it, and it goes on once there is one"),
    ("stops_in_time", "a server that says nothing does not keep the pump from stopping"),
    ("can_be_dropped", "a delivery that is given up at any moment leaves nothing half counted"),
    ("keeps_edits", "`omit`, `redact` and `add` hold"),
    ("shows_no_secrets", "no log line and no error shows a credential"),
];

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(90);
/// How long a fault lasts once it was met.
const FAULT: Duration = Duration::from_secs(3);

pub(super) enum Failure {
    /// The destination cannot have the behaviour.
    Unlike(Unlike),
    /// It does not hold.
    Broken(String),
}

impl From<Unlike> for Failure {
    fn from(reason: Unlike) -> Self {
        Self::Unlike(reason)
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

type Held = Result<(), Failure>;

/// One behaviour, asked of one destination.
pub(super) struct Case<'d, D> {
    destination: &'d D,
    name: &'static str,
    /// Its own place at the destination.
    place: String,
}

impl<'d, D: Destination> Case<'d, D> {
    pub(super) fn new(destination: &'d D, name: &'static str) -> Self {
        Self { destination, name, place: format!("suite{}", name.replace('_', "")) }
    }

    pub(super) async fn run(&self) -> Held {
        match self.name {
            "delivers_all" => self.delivers_all().await,
            "keeps_ids" => self.keeps_ids().await,
            "answers_per_record" => self.answers_per_record().await,
            "splits_what_is_too_large" => self.splits().await,
            "survives_lost_connections" => self.survives(Fault::Cut).await,
            "survives_slow_answers" => self.survives(Fault::Slow(Duration::from_millis(1_500))).await,
            "survives_a_restart" => self.survives_a_restart().await,
            "waits_for_credentials" => {
                let keys = self.destination.wrong_credentials(&self.place).await?;
                self.pauses(&keys).await?.stop(SHUTDOWN * 3).await?;
                Ok(())
            }
            "waits_for_its_target" => self.waits_for_its_target().await,
            "stops_in_time" => self.stops_in_time().await,
            "can_be_dropped" => self.can_be_dropped().await,
            "keeps_edits" => self.keeps_edits().await,
            "shows_no_secrets" => self.shows_no_secrets(),
            other => unreachable!("{other} is not written"),
        }
    }

    async fn delivers_all(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let samples = samples(2_000);
        let books = self.drain(&keys, "", &samples).await?;
        if books.delivered != 2_000 {
            return Err(format!("not all of 2,000 are delivered: {books:?}").into());
        }
        self.judge(&samples, Repeats::Vanish).await
    }

    async fn keeps_ids(&self) -> Held {
        self.destination.ids()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(100);
        for _ in 0..2 {
            self.drain(&keys, "", &samples).await?;
        }
        let ids: BTreeMap<u64, String> = (0..).zip(samples.iter().map(Sample::id)).collect();
        let mut found = 0;
        for Seen { id, text, .. } in self.destination.read(&self.place).await {
            let number = only_number(&text)?;
            if id.as_ref() != ids.get(&number) {
                return Err(
                    format!("record {number} has the id {id:?} and not {:?}", ids.get(&number)).into()
                );
            }
            found += 1;
        }
        if found < samples.len() {
            return Err(format!("{found} records of {} have an id", samples.len()).into());
        }
        Ok(())
    }

    async fn answers_per_record(&self) -> Held {
        const REFUSED: usize = 17;
        let mut samples = samples(50);
        samples[REFUSED] = self.destination.refused(samples[REFUSED].clone())?;
        let keys = self.destination.place(&self.place).await;
        let running = Running::start(lane::<D::Sink>(&keys, "").await?, &samples, Mode::Drain);
        let letters = running.letters.clone();
        let books = running.drained(LIMIT).await?;
        if (books.delivered + books.duplicate, books.dead_lettered) != (49, 1) {
            let reasons: Vec<_> = letters.letters().iter().map(|letter| format!("{letter:?}")).collect();
            return Err(
                format!("49 of 50 are to arrive and one is refused: {books:?}; {reasons:.1000?}").into()
            );
        }
        samples.remove(REFUSED);
        self.judge(&samples, self.destination.repeats()).await
    }

    async fn splits(&self) -> Held {
        const FIELD: usize = 60_000;
        let TooLarge { batch, record } = self.destination.too_large()?;
        let keys = self.destination.place(&self.place).await;
        let count = (batch / FIELD + 2) as u64;
        let large = |number, size| Sample::new(number).with("UserAgent", filling(number, size));
        let mut samples: Vec<_> = (0..count).map(|number| large(number, FIELD)).collect();
        samples.extend(record.map(|size| large(count, size)));
        let engine = format!(
            "batch: {{ max_records: 100000, max_bytes: {}B, max_age: 1s }}",
            (batch + record.unwrap_or(0)) * 2
        );
        let running = Running::start(lane::<D::Sink>(&keys, &engine).await?, &samples, Mode::Drain);
        let books = running.drained(LIMIT).await?;
        let too_large = u64::from(record.is_some());
        if (books.delivered + books.duplicate, books.dead_lettered) != (count, too_large) {
            return Err(format!("{count} are to arrive and {too_large} to be given up: {books:?}").into());
        }
        samples.truncate(count as usize);
        self.judge(&samples, self.destination.repeats()).await
    }

    async fn survives(&self, fault: Fault) -> Held {
        let way = self.destination.way()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(1_000);
        way.set(Some(fault));
        let running = Running::start(lane::<D::Sink>(&keys, "timeout: 1s").await?, &samples, Mode::Drain);
        let met = running.wait(LIMIT, "the fault is met", |_| way.met() > 0).await;
        tokio::time::sleep(FAULT).await;
        way.set(None);
        met?;
        running.drained(LIMIT).await?;
        self.judge(&samples, self.destination.repeats()).await
    }

    async fn survives_a_restart(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let samples = samples(2_000);
        let running =
            Running::start(lane::<D::Sink>(&keys, "rate_limit: 1000/s").await?, &samples, Mode::Drain);
        let begun = |running: &Running| {
            let books = running.books();
            books.delivered + books.duplicate >= 200
        };
        running.wait(LIMIT, "a tenth is delivered", begun).await?;
        self.destination.stop().await?;
        let before = running.books();
        tokio::time::sleep(FAULT / 2).await;
        let is_pending = running.books().pending() > 0;
        self.destination.start().await;
        if !is_pending {
            return Err(format!("nothing was left when the server stopped: {before:?}").into());
        }
        running.drained(LIMIT).await?;
        self.judge(&samples, self.destination.repeats()).await
    }

    /// Runs a lane that cannot get anything through, until it says so.
    async fn pauses(&self, keys: &str) -> Result<Running, Failure> {
        let running = Running::start(lane::<D::Sink>(keys, "").await?, &samples(100), Mode::Follow);
        let is_through = |running: &Running| {
            running.statistics().state == LaneState::Unavailable || running.books().pending() < 100
        };
        running.wait(Duration::from_secs(30), "the lane is unavailable", is_through).await?;
        // Long enough for what would give up after some attempts.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (books, error) = (running.books(), running.statistics().last_error);
        if books.pending() != 100 {
            return Err(format!("all 100 are to wait: {books:?}").into());
        }
        if error.is_none() {
            return Err("nobody is told why".to_owned().into());
        }
        Ok(running)
    }

    async fn waits_for_its_target(&self) -> Held {
        let keys = self.destination.missing(&self.place).await?;
        let running = self.pauses(&keys).await?;
        self.destination.make_missing(&self.place).await;
        running.wait(LIMIT, "everything is delivered", |running| running.books().pending() == 0).await?;
        running.stop(SHUTDOWN * 3).await?;
        self.judge(&samples(100), self.destination.repeats()).await
    }

    async fn stops_in_time(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let way = self.destination.way().ok();
        let lane = lane::<D::Sink>(&keys, "rate_limit: 2000/s\ntimeout: 60s").await?;
        let running = Running::start(lane, &samples(20_000), Mode::Follow);
        running.wait(LIMIT, "it delivers", |running| running.books().delivered > 0).await?;
        let mut begun = Ok(());
        if let Some(way) = way {
            way.set(Some(Fault::Silent));
            let is_stuck = |running: &Running| way.met() > 0 && running.statistics().in_flight > 0;
            begun = running.wait(LIMIT, "the fault is met", is_stuck).await;
        }
        let took = match begun {
            Ok(()) => running.stop(LIMIT).await,
            Err(error) => Err(error),
        };
        if let Some(way) = way {
            way.set(None);
        }
        match took? {
            took if took > SHUTDOWN * 3 => {
                Err(format!("it stops after {took:.1?}; {SHUTDOWN:.0?} was said").into())
            }
            _ => Ok(()),
        }
    }

    async fn can_be_dropped(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let samples = samples(2_000);
        let mut lane = lane::<D::Sink>(&keys, "").await?;
        let waits = [1, 1, 2, 3, 4, 5, 7, 10, 1].map(Moment::Wait);
        let times = [1, 2, 3, 5, 8, 15, 30].map(|millis| Moment::After(Duration::from_millis(millis)));
        let moments = waits.into_iter().chain(times).chain(waits).collect();
        let (dropping, dropped) = Dropping::around(lane.sink, moments);
        lane.sink = Arc::new(dropping);
        Running::start(lane, &samples, Mode::Drain).drained(LIMIT).await?;
        if dropped.load(Ordering::Relaxed) < 2 {
            return Err("hardly a delivery took long enough to be dropped".to_owned().into());
        }
        self.judge(&samples, self.destination.repeats()).await
    }

    async fn keeps_edits(&self) -> Held {
        const ADDED: &str = "ofthesuite";
        let keys = self.destination.place(&self.place).await;
        let shown = |seen: &[Seen], what: &str| seen.iter().filter(|seen| seen.text.contains(what)).count();
        let plain = samples(10);
        self.drain(&keys, "", &plain).await?;
        let before = self.destination.read(&self.place).await;
        if shown(&before, API_KEY) + shown(&before, IP_ADDRESS) == 0 {
            let message = "neither the API's key nor the address is written: have the place write one of them, so that \
                           leaving it out is seen";
            return Err(message.to_owned().into());
        }
        let place = format!("{}after", self.place);
        let keys = self.destination.place(&place).await;
        let adds = takes_additions::<D::Sink>(&keys);
        let added = if adds { format!("\nadd: {{ cluster: {ADDED} }}") } else { String::new() };
        let engine = format!("omit: [ip_address]\nredact: {{ fields: {{ api_key: hash }} }}{added}");
        self.drain(&keys, &engine, &plain).await?;
        let after = self.destination.read(&place).await;
        for hidden in [API_KEY, IP_ADDRESS] {
            if shown(&after, hidden) > 0 {
                return Err(format!("{hidden} is still written").into());
            }
        }
        if adds && shown(&after, ADDED) != after.len() {
            return Err(format!("{} of {} have what is added", shown(&after, ADDED), after.len()).into());
        }
        judge(&after, &plain, Repeats::Vanish)
    }

    /// Said last: everything that was logged and every error above was looked at.
    fn shows_no_secrets(&self) -> Held {
        if self.destination.secrets().is_empty() {
            return Err(Unlike("its keys have no credentials").into());
        }
        match watch::found() {
            found if found.is_empty() => Ok(()),
            found => Err(format!("a secret is shown: {found:#?}").into()),
        }
    }

    async fn drain(
        &self,
        keys: &str,
        engine: &str,
        samples: &[Sample],
    ) -> Result<crate::accounting::LaneBooks, Failure> {
        let books =
            Running::start(lane::<D::Sink>(keys, engine).await?, samples, Mode::Drain).drained(LIMIT).await?;
        match books.delivered + books.duplicate {
            arrived if arrived == samples.len() as u64 => Ok(books),
            _ => Err(format!("not all of {} arrive: {books:?}", samples.len()).into()),
        }
    }

    /// Each sample is there, and nothing else; the last of it may take the destination a moment.
    async fn judge(&self, samples: &[Sample], repeats: Repeats) -> Held {
        let begin = Instant::now();
        loop {
            let judged = judge(&self.destination.read(&self.place).await, samples, repeats);
            if judged.is_ok() || begin.elapsed() > Duration::from_secs(10) {
                return judged;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn judge(seen: &[Seen], samples: &[Sample], repeats: Repeats) -> Held {
    let mut counts: BTreeMap<u64, u64> = samples.iter().map(|sample| (sample.number(), 0)).collect();
    for Seen { text, count, .. } in seen {
        let number = only_number(text)?;
        match counts.get_mut(&number) {
            Some(times) => *times += count,
            None => return Err(format!("record {number} is there and must not be").into()),
        }
    }
    let lost: Vec<_> = counts.iter().filter(|(_, times)| **times == 0).map(|(number, _)| number).collect();
    if !lost.is_empty() {
        return Err(format!("{} of {} records are lost: {:.20?} …", lost.len(), samples.len(), lost).into());
    }
    let repeated = counts.values().filter(|times| **times > 1).count();
    if repeats == Repeats::Vanish && repeated > 0 {
        return Err(format!("{repeated} of {} records are there more than once", samples.len()).into());
    }
    Ok(())
}

fn only_number(text: &str) -> Result<u64, Failure> {
    let numbers: std::collections::BTreeSet<_> = numbers_in(text).collect();
    match numbers.len() {
        1 => Ok(numbers.into_iter().next().unwrap_or_default()),
        _ => Err(format!("what is there is not of one record: {text:.500}").into()),
    }
}

fn samples(count: u64) -> Vec<Sample> {
    (0..count).map(Sample::new).collect()
}

/// Letters that do not compress to nothing, the same for a number each time.
fn filling(number: u64, size: usize) -> String {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state % 26) as u8)
    };
    (0..size).map(|_| letter()).collect()
}
