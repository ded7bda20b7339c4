//! What must be true once everything has come to rest.

use std::collections::BTreeMap;

use bytes::Bytes;
use pump_core::record::RecordId;

use super::ledger::Pushed;
use super::seat::Surroundings;
use super::sink::Destination;

/// The most problems of one sort that are told.
const TOLD: usize = 3;

/// Everything that gateways have pushed, and Redis has not lost, is at every required destination or among the dead
/// letters; nothing else is anywhere; what came more than once has one id everywhere, and a reason.
pub(super) fn judge(surroundings: &Surroundings) {
    let Surroundings { ledger, destinations, letters, .. } = surroundings;
    let pushed = ledger.state().pushed.clone();
    let letters = letters.letters();
    let mut ids: BTreeMap<&Bytes, RecordId> = BTreeMap::new();
    let mut buried: BTreeMap<(Option<&str>, &Bytes), u32> = BTreeMap::new();
    let mut problems = Problems::default();
    for letter in &letters {
        *buried.entry((letter.sink.as_deref(), &letter.body)).or_default() += 1;
        match pushed.get(&letter.body) {
            None => problems.add("a dead letter that nobody pushed", &letter.body),
            Some(pushed) if pushed.is_sound == letter.sink.is_none() => {
                problems.add("a dead letter of another sort", &letter.body);
            }
            Some(_) => {}
        }
        if let Some(id) = letter.id
            && *ids.entry(&letter.body).or_insert(id) != id
        {
            problems.add("a dead letter with another id", &letter.body);
        }
    }
    for ((sink, body), times) in &buried {
        let excuses = pushed.get(*body).map_or(0, |pushed| pushed.excuses);
        if *times > 1 + excuses {
            let of = sink.unwrap_or("no sink");
            problems.add(&format!("{times} times a dead letter of {of}, with {excuses} excuses"), body);
        }
    }
    // Of all that took a copy, so that ids are compared from one destination to the next.
    let taken: Vec<_> = destinations.iter().map(Destination::taken).collect();
    for (destination, taken) in destinations.iter().zip(&taken) {
        let name = destination.name;
        for (body, Pushed { is_sound, is_lost, .. }) in &pushed {
            let is_there = taken.contains_key(body) || buried.contains_key(&(Some(name), body));
            if *is_sound && !is_lost && destination.is_required && !is_there {
                problems.add(&format!("missing at {name}"), body);
            }
        }
        for (body, taken) in taken {
            let Some(Pushed { is_sound: true, excuses, .. }) = pushed.get(body) else {
                problems.add(&format!("at {name}, and nobody pushed it"), body);
                continue;
            };
            // What a destination took and did not say so had to come again, and does not count.
            let outcomes = taken.heard + buried.get(&(Some(name), body)).copied().unwrap_or_default();
            if outcomes > 1 + excuses {
                problems.add(&format!("{outcomes} times at {name}, with {excuses} excuses"), body);
            }
            if taken.ids.iter().any(|id| ids.entry(body).or_insert(*id) != id) {
                problems.add(&format!("with another id at {name}"), body);
            }
        }
    }
    for (body, Pushed { is_sound, is_lost, .. }) in &pushed {
        if !is_sound && !is_lost && !buried.contains_key(&(None, body)) {
            problems.add("not sound, and not among the dead letters", body);
        }
    }
    if surroundings.plan.is_on_disk {
        destinations.iter().for_each(|destination| judge_objects(destination, &pushed, &mut problems));
    }
    for (what, (count, bodies)) in problems.0 {
        ledger.problem(format!("{count} records are {what}, such as {bodies:?}"));
    }
}

/// With the log on disk a record is in one object of each pump that had it: what a pump may have written it writes again
/// as it was. Only a failover makes another record of it, with a place in another segment. The memory log remembers nothing.
fn judge_objects(destination: &Destination, pushed: &BTreeMap<Bytes, Pushed>, problems: &mut Problems) {
    let mut objects: BTreeMap<(&str, &Bytes), u32> = BTreeMap::new();
    let all = destination.objects();
    for object in all.values() {
        for pump in &object.pumps {
            object.bodies.iter().for_each(|body| *objects.entry((pump, body)).or_default() += 1);
        }
    }
    for ((pump, body), count) in objects {
        let unsealed = pushed.get(body).map_or(0, |pushed| pushed.unsealed);
        if count > 1 + unsealed {
            let name = destination.name;
            problems.add(&format!("in {count} objects of {pump} at {name}, {unsealed} times unsealed"), body);
        }
    }
}

#[derive(Default)]
struct Problems(BTreeMap<String, (usize, Vec<Bytes>)>);

impl Problems {
    fn add(&mut self, what: &str, body: &Bytes) {
        let (count, bodies) = self.0.entry(what.to_owned()).or_default();
        *count += 1;
        if bodies.len() < TOLD {
            bodies.push(body.clone());
        }
    }
}
