//! The behaviours, one after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::sample::{API_KEY, IP_ADDRESS, redacted_key};
use super::stage::{Outcome, Running, SHUTDOWN, Stage, takes_additions};
use super::witness::{Attempts, Moment, read};
use super::{Destination, Fault, Proxy, Repeats, Sample, Seen, TooLarge, Unlike, numbers_in, watch};
use crate::statistics::LaneState;

/// Every behaviour, in the order in which they are tried.
pub(super) const ALL: [(&str, &str); 15] = [
    ("delivers_all", "every record arrives, once"),
    ("keeps_ids", "what is sent twice has the same id, the record's"),
    ("answers_per_record", "a record that is refused is a dead letter; those beside it arrive"),
    ("splits_what_is_too_large", "a batch that is too large for the destination goes in parts"),
    (
        "survives_lost_connections",
        "connections that end within a request, or before its answer, lose nothing",
    ),
    ("survives_slow_answers", "answers that come after the time limit lose nothing"),
    ("survives_a_restart", "a server that stops in the middle and starts again loses nothing"),
    ("waits_for_credentials", "credentials that are refused pause it: nothing is given up"),
    ("waits_for_its_target", "a target that is missing pauses it, and it goes on once there is one"),
    ("stops_in_time", "a server that says nothing does not keep the pump from stopping"),
    ("can_be_dropped", "a delivery that is given up at any moment leaves nothing half counted"),
    ("omits", "`omit` holds"),
    ("redacts", "`redact` holds"),
    ("adds", "`add` holds"),
    ("shows_no_secrets", "no log line and no error shows a credential"),
];

/// How often a fault has to be felt.
const ENOUGH: u64 = 3;

#[derive(Debug)]
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

impl From<&str> for Failure {
    fn from(what: &str) -> Self {
        Self::Broken(what.to_owned())
    }
}

type Held = Result<(), Failure>;

/// A fault that ends with the behaviour, however that ends.
struct Wrong<'w>(&'w Proxy);

impl<'w> Wrong<'w> {
    fn begin(way: &'w Proxy, fault: Fault) -> Self {
        way.set(Some(fault));
        Self(way)
    }
}

impl Drop for Wrong<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// One behaviour, asked of one destination.
pub(super) struct Case<'d, D> {
    destination: &'d D,
    name: &'static str,
    /// Its own place at the destination.
    place: String,
    /// What an answer takes at the most when nothing is wrong.
    patience: Duration,
    /// How long anything may take.
    limit: Duration,
}

impl<'d, D: Destination> Case<'d, D> {
    pub(super) fn new(destination: &'d D, name: &'static str) -> Self {
        let place = format!("suite{}", name.replace('_', ""));
        let patience = destination.patience();
        Self { destination, name, place, patience, limit: patience * 90 }
    }

    pub(super) async fn run(&self) -> Held {
        match self.name {
            "delivers_all" => self.delivers_all().await,
            "keeps_ids" => self.keeps_ids().await,
            "answers_per_record" => self.answers_per_record().await,
            "splits_what_is_too_large" => self.splits().await,
            "survives_lost_connections" => self.survives(Fault::Cut).await,
            "survives_slow_answers" => self.survives(Fault::Slow(self.patience * 3 / 2)).await,
            "survives_a_restart" => self.survives_a_restart().await,
            "waits_for_credentials" => self.waits_for_credentials().await,
            "waits_for_its_target" => self.waits_for_its_target().await,
            "stops_in_time" => self.stops_in_time().await,
            "can_be_dropped" => self.can_be_dropped().await,
            "omits" => self.omits().await,
            "redacts" => self.redacts().await,
            "adds" => self.adds().await,
            "shows_no_secrets" => self.shows_no_secrets(),
            other => unreachable!("{other} is not written"),
        }
    }

    async fn delivers_all(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let samples = samples(2_000);
        let outcome = self.drain(&keys, "", &samples).await?;
        if outcome.books.duplicate > 0 && outcome.attempts.failed() == 0 {
            return Err(format!("some of what was never sent is there already: {:?}", outcome.books).into());
        }
        self.judge(&samples, Repeats::Vanish, u64::MAX).await
    }

    async fn keeps_ids(&self) -> Held {
        self.destination.ids()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(100);
        for _ in 0..2 {
            self.drain(&keys, "", &samples).await?;
        }
        // Ids are looked at whenever a place is judged.
        self.judge(&samples, Repeats::Stay, 100).await
    }

    async fn answers_per_record(&self) -> Held {
        const REFUSED: usize = 17;
        let mut samples = samples(50);
        samples[REFUSED] = self.destination.refused(samples[REFUSED].clone())?;
        let keys = self.destination.place(&self.place).await;
        let outcome = self.stage(&keys, "", &samples).await?.start().drained(self.limit).await?;
        outcome.expect(49, 1)?;
        samples.remove(REFUSED);
        self.judge(&samples, self.destination.repeats(), read(&outcome.attempts.unsure)).await
    }

    async fn splits(&self) -> Held {
        let TooLarge { batch, record } = self.destination.too_large()?;
        let keys = self.destination.place(&self.place).await;
        let field = (batch / 20).min(60_000);
        let count = (batch / field + 2) as u64;
        let large = |number, size| Sample::new(number).with("UserAgent", filling(number, size));
        let mut samples: Vec<_> = (0..count).map(|number| large(number, field)).collect();
        samples.extend(record.map(|size| large(count, size)));
        let max_bytes = (batch + record.unwrap_or(0)) * 2;
        let engine = format!("batch: {{ max_records: 100000, max_bytes: {max_bytes}B, max_age: 1s }}");
        let stage = self.stage(&keys, &engine, &samples).await?.in_one_chunk();
        let outcome = stage.start().drained(self.limit).await?;
        outcome.expect(count, u64::from(record.is_some()))?;
        let Attempts { too_large, rejected, .. } = &*outcome.attempts;
        if read(too_large) + read(rejected) == 0 {
            return Err("nothing was too large: say a larger `too_large().batch`".into());
        }
        samples.truncate(count as usize);
        self.judge(&samples, self.destination.repeats(), read(&outcome.attempts.unsure)).await
    }

    async fn survives(&self, fault: Fault) -> Held {
        let way = self.destination.way()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(1_500);
        // So slow that much is left when it goes wrong.
        let engine = format!("rate_limit: 300/s\ntimeout: {}ms", self.patience.as_millis());
        let running = self.stage(&keys, &engine, &samples).await?.start();
        self.wait_for_deliveries(&running).await?;
        {
            let _wrong = Wrong::begin(way, fault);
            let before = running.attempts().failed();
            // A client that connects anew and sends again by itself lets no attempt fail.
            let is_mended = fault == Fault::Cut && self.destination.mends_connections();
            let is_felt = |running: &Running| match is_mended {
                true => way.met_back() >= ENOUGH && way.met() >= way.met_back() + ENOUGH,
                false => running.attempts().failed() >= before + ENOUGH && way.met_back() > 0,
            };
            running.wait(self.limit, "the fault is felt", is_felt).await?;
            if running.books().pending() == 0 {
                return Err("nothing was left to be lost".into());
            }
        }
        let outcome = running.drained(self.limit).await?;
        outcome.expect(samples.len() as u64, 0)?;
        self.judge_twice(&samples, &outcome).await
    }

    async fn survives_a_restart(&self) -> Held {
        self.destination.restarts()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(1_500);
        let engine = format!("rate_limit: 300/s\ntimeout: {}ms", (self.patience * 3).as_millis());
        let running = self.stage(&keys, &engine, &samples).await?.start();
        self.wait_for_deliveries(&running).await?;
        self.destination.stop().await?;
        let before = running.attempts().failed();
        let is_felt = |running: &Running| {
            running.attempts().failed() > before || running.statistics().state == LaneState::Unavailable
        };
        let felt = running.wait(self.limit, "the outage is felt", is_felt).await;
        let is_pending = running.books().pending() > 0;
        self.destination.start().await;
        felt?;
        if !is_pending {
            return Err("nothing was left to be lost".into());
        }
        let outcome = running.drained(self.limit).await?;
        outcome.expect(samples.len() as u64, 0)?;
        self.judge_twice(&samples, &outcome).await
    }

    async fn waits_for_credentials(&self) -> Held {
        let keys = self.destination.wrong_credentials(&self.place).await?;
        let samples = samples(100);
        let (_, outcome) = self.pauses(&keys, &samples).await?.stop(self.limit).await?;
        match outcome.arrived() {
            0 => Ok(()),
            arrived => Err(format!("{arrived} records arrive with wrong credentials").into()),
        }
    }

    async fn waits_for_its_target(&self) -> Held {
        let keys = self.destination.missing(&self.place).await?;
        let samples = samples(100);
        let running = self.pauses(&keys, &samples).await?;
        self.destination.make_missing(&self.place).await;
        running.wait(self.limit, "everything is delivered", |running| running.books().pending() == 0).await?;
        let (_, outcome) = running.stop(self.limit).await?;
        outcome.expect(100, 0)?;
        self.judge(&samples, self.destination.repeats(), read(&outcome.attempts.unsure)).await
    }

    /// Runs a lane that cannot get anything through, and whose probes do not keep it from trying.
    async fn pauses(&self, keys: &str, samples: &[Sample]) -> Result<Running, Failure> {
        let running = self.stage(keys, "", samples).await?.following().blind();
        let is_tried = |running: &Running| {
            read(&running.attempts().unavailable) >= 2 || running.books().pending() < running.books().accepted
        };
        running.wait(self.limit, "the sink says that nothing will get through", is_tried).await?;
        let (books, attempts) = (running.books(), running.attempts());
        if books.pending() != samples.len() as u64 || attempts.made() != read(&attempts.unavailable) {
            return Err(format!("all of it is to wait: {books:?}, {attempts:?}").into());
        }
        match running.statistics().last_error {
            Some(_) => Ok(running),
            None => Err("nobody is told why".into()),
        }
    }

    async fn stops_in_time(&self) -> Held {
        let way = self.destination.way()?;
        let keys = self.destination.place(&self.place).await;
        let samples = samples(20_000);
        let stage = self.stage(&keys, "rate_limit: 2000/s\ntimeout: 60s", &samples).await?;
        let running = stage.following().start();
        self.wait_for_deliveries(&running).await?;
        let (took, outcome) = {
            let _wrong = Wrong::begin(way, Fault::Silent);
            let is_stuck = |running: &Running| way.met() > 0 && running.statistics().in_flight > 0;
            running.wait(self.limit, "the server is silent", is_stuck).await?;
            running.stop(self.limit).await?
        };
        // What is in flight has that long, then the sink has a moment to close.
        if took > SHUTDOWN * 3 {
            return Err(format!("it stops after {took:.1?}; {SHUTDOWN:.0?} was said").into());
        }
        let seen = self.destination.read(&self.place).await;
        let there =
            seen.iter().flat_map(|seen| numbers_in(&seen.text)).collect::<std::collections::BTreeSet<_>>();
        match outcome.arrived() {
            arrived if arrived > there.len() as u64 => {
                Err(format!("{arrived} count as delivered, and {} are there", there.len()).into())
            }
            _ => Ok(()),
        }
    }

    async fn can_be_dropped(&self) -> Held {
        let keys = self.destination.place(&self.place).await;
        let samples = samples(2_000);
        let (known, rest) = samples.split_at(300);
        let usual = self.drain(&keys, "", known).await?.attempts.usual_time();
        let parts = [10, 30, 50, 70, 90, 99].map(|percent| Moment::After(usual * percent / 100));
        let waits = [1, 1, 1, 1, 2, 3, 5].map(Moment::Wait);
        let answered = self.destination.way().ok().map(|way| Moment::Answered(way.clone()));
        let count = if answered.is_some() { 4 } else { 0 };
        let moments =
            waits.into_iter().chain(parts.clone()).chain(std::iter::repeat_n(answered, count).flatten());
        let moments = moments.chain(parts).collect();
        let running = self.stage(&keys, "max_in_flight: 1", rest).await?.dropping(moments);
        let outcome = running.drained(self.limit).await?;
        outcome.expect(rest.len() as u64, 0)?;
        let Attempts { dropped, dropped_answered, .. } = &*outcome.attempts;
        if read(dropped) < ENOUGH || (count > 0 && read(dropped_answered) == 0) {
            return Err(format!("hardly a delivery was dropped: {:?}", outcome.attempts).into());
        }
        self.judge_twice(&samples, &outcome).await
    }

    async fn omits(&self) -> Held {
        self.is_written(IP_ADDRESS, "the address (`ip_address`)").await?;
        let keys = self.destination.place(&self.place).await;
        let (seen, samples) = self.edited(&keys, "omit: [ip_address]").await?;
        match shown(&seen, IP_ADDRESS) {
            0 => self.judge_seen(&seen, &samples, Repeats::Vanish, 0),
            count => Err(format!("{IP_ADDRESS} is still in {count} of {}", seen.len()).into()),
        }
    }

    async fn redacts(&self) -> Held {
        self.is_written(API_KEY, "the key (`api_key`)").await?;
        let keys = self.destination.place(&self.place).await;
        let (seen, samples) = self.edited(&keys, "redact: { fields: { api_key: hash } }").await?;
        match (shown(&seen, API_KEY), shown(&seen, &redacted_key())) {
            (0, hashed) if hashed == seen.len() => self.judge_seen(&seen, &samples, Repeats::Vanish, 0),
            (plain, hashed) => {
                let all = seen.len();
                Err(format!("the key is still in {plain} of {all}, and its hash in {hashed}").into())
            }
        }
    }

    async fn adds(&self) -> Held {
        const ADDED: &str = "ofthesuite";
        let keys = self.destination.place(&self.place).await;
        if !takes_additions::<D::Sink>(&keys) {
            return Err(Unlike("what it writes has no place for further fields, and `check` says so").into());
        }
        let (seen, samples) = self.edited(&keys, &format!("add: {{ cluster: {ADDED} }}")).await?;
        match shown(&seen, ADDED) {
            count if count == seen.len() => self.judge_seen(&seen, &samples, Repeats::Vanish, 0),
            count => Err(format!("{count} of {} have what is added", seen.len()).into()),
        }
    }

    /// That this is in records that are left as they are: else leaving it out could not be seen.
    async fn is_written(&self, what: &str, name: &str) -> Held {
        let place = format!("{}plain", self.place);
        let keys = self.destination.place(&place).await;
        let samples = samples(10);
        self.drain(&keys, "", &samples).await?;
        match shown(&self.settled(&place, &samples).await, what) {
            0 => Err(format!("{name} is not written: have the keys of a place write it").into()),
            _ => Ok(()),
        }
    }

    /// What is there of samples with these edits.
    async fn edited(&self, keys: &str, engine: &str) -> Result<(Vec<Seen>, Vec<Sample>), Failure> {
        let samples = samples(10);
        self.drain(keys, engine, &samples).await?;
        Ok((self.settled(&self.place, &samples).await, samples))
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

    async fn stage<'s>(&self, keys: &str, engine: &str, samples: &'s [Sample]) -> Result<Stage<'s>, Failure> {
        Ok(Stage::new::<D::Sink>(keys, engine, samples).await?)
    }

    /// Delivers all of it.
    async fn drain(&self, keys: &str, engine: &str, samples: &[Sample]) -> Result<Outcome, Failure> {
        let outcome = self.stage(keys, engine, samples).await?.start().drained(self.limit).await?;
        outcome.expect(samples.len() as u64, 0)?;
        Ok(outcome)
    }

    async fn wait_for_deliveries(&self, running: &Running) -> Held {
        let is_delivering = |running: &Running| running.books().delivered > 0;
        Ok(running.wait(self.limit, "something is delivered", is_delivering).await?)
    }

    /// What is there once every sample is, or a moment later.
    async fn settled(&self, place: &str, samples: &[Sample]) -> Vec<Seen> {
        let begin = Instant::now();
        loop {
            let seen = self.destination.read(place).await;
            let is_there = self.judge_seen(&seen, samples, Repeats::Stay, u64::MAX).is_ok();
            if is_there || begin.elapsed() > self.patience * 10 {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Each sample is there, and nothing else, and not more often than it may be.
    async fn judge(&self, samples: &[Sample], repeats: Repeats, unsure: u64) -> Held {
        let seen = self.settled(&self.place, samples).await;
        self.judge_seen(&seen, samples, repeats, unsure)
    }

    /// The same at once and once more, when what was dropped would have come late.
    async fn judge_twice(&self, samples: &[Sample], outcome: &Outcome) -> Held {
        let (repeats, unsure) = (self.destination.repeats(), read(&outcome.attempts.unsure));
        self.judge(samples, repeats, unsure).await?;
        tokio::time::sleep(self.patience * 2).await;
        self.judge(samples, repeats, unsure).await
    }

    /// `unsure`: how many records were in attempts of which nobody knows what came of them.
    fn judge_seen(&self, seen: &[Seen], samples: &[Sample], repeats: Repeats, unsure: u64) -> Held {
        let mut counts: BTreeMap<u64, u64> = samples.iter().map(|sample| (sample.number(), 0)).collect();
        let has_ids = self.destination.ids().is_ok();
        let ids: BTreeMap<u64, String> = match has_ids {
            true => samples.iter().map(|sample| (sample.number(), sample.id())).collect(),
            false => BTreeMap::new(),
        };
        for Seen { id, text, count } in seen {
            let number = only_number(text)?;
            match counts.get_mut(&number) {
                Some(times) => *times += count,
                None => return Err(format!("record {number} is there and must not be").into()),
            }
            if has_ids && id.as_ref() != ids.get(&number) {
                let expected = ids.get(&number);
                return Err(format!("record {number} has the id {id:?} and not {expected:?}").into());
            }
        }
        let lost: Vec<_> =
            counts.iter().filter(|(_, times)| **times == 0).map(|(number, _)| number).collect();
        if !lost.is_empty() {
            let some = &lost[..lost.len().min(20)];
            return Err(format!("{} of {} records are lost: {some:?} …", lost.len(), samples.len()).into());
        }
        let repeated: u64 = counts.values().map(|times| times - 1).sum();
        let allowed = if repeats == Repeats::Vanish { 0 } else { unsure };
        match repeated {
            0 => Ok(()),
            _ if repeated <= allowed => Ok(()),
            _ => {
                Err(format!("{repeated} repeats of {} records, where {allowed} may be", samples.len()).into())
            }
        }
    }
}

fn shown(seen: &[Seen], what: &str) -> usize {
    seen.iter().filter(|seen| seen.text.contains(what)).count()
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
