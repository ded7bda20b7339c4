//! The lanes of a pump, as they come, change and go. The start is a reload of no lanes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};

use super::LaneBlueprint;
use crate::accounting::{Accounting, LaneId};
use crate::dead_letter::Burial;
use crate::lane::{Lane, LaneParts, Order, Phase, Sharing, Successor};
use crate::log::{LaneChange, LaneInterest, Log};
use crate::randomness::Randomness;
use crate::record::IdKey;
use crate::statistics::Statistics;

/// The lanes that a pump is to have.
#[derive(Default)]
pub struct Reload {
    /// Those that stay as they are. They notice nothing.
    pub kept: Vec<Arc<str>>,
    /// Those that are new or changed, opened and not started. Of the same name is the same lane: it goes
    /// on from its cursor. A new one begins at the oldest record in the log.
    pub lanes: Vec<LaneBlueprint>,
}

/// What a reload came to. What is in neither list has stayed; what stood in none is gone, and what it
/// had no outcome for is left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// New lanes.
    pub added: Vec<Arc<str>>,
    /// Lanes that go on otherwise.
    pub changed: Vec<Arc<str>>,
    /// Lanes whose sinks are gone.
    pub removed: Vec<Arc<str>>,
}

/// Why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// A lane is to stay that is not there.
    #[error("there is no sink {0} that could stay as it is")]
    NotThere(Arc<str>),
    /// A name stands there twice.
    #[error("there is more than one sink {0}")]
    Twice(Arc<str>),
    /// The pump ends, or drains: what it drains with is what it began with.
    #[error("the pump ends, and changes nothing any more")]
    Ends,
}

/// How a lane is called from outside.
#[derive(Debug, Clone)]
pub struct LaneLabel {
    /// The sink's name in the pipeline file.
    pub name: Arc<str>,
    /// Whether sources wait for it.
    pub is_required: bool,
    /// A reload took the sink out; what became of its records until then stays in the books.
    pub is_removed: bool,
}

/// The labels of all lanes, in the order of [`LaneId`]. A handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels(Arc<RwLock<Vec<LaneLabel>>>);

impl Labels {
    pub(super) fn all(&self) -> Vec<LaneLabel> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, id: LaneId, label: LaneLabel) {
        let mut labels = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match labels.get_mut(id.index()) {
            Some(own) => *own = label,
            None => labels.push(label),
        }
    }
}

/// What every lane gets.
pub(super) struct Commons {
    pub(super) log: Arc<dyn Log>,
    pub(super) accounting: Accounting,
    pub(super) statistics: Arc<Statistics>,
    pub(super) burial: Arc<Burial>,
    pub(super) id_key: Arc<IdKey>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) randomness: Randomness,
}

/// All lanes that there ever were, in the order of [`LaneId`].
pub(super) struct Lanes {
    pub(super) commons: Commons,
    pub(super) labels: Labels,
    known: Vec<Known>,
}

struct Known {
    orders: mpsc::UnboundedSender<Order>,
    /// `None`: removed.
    sharing: Option<Sharing>,
}

impl Lanes {
    pub(super) fn new(commons: Commons) -> Self {
        Self { commons, labels: Labels::default(), known: Vec::new() }
    }

    /// Makes the lanes what they are to be, or changes nothing. New ones are given back, to be run.
    pub(super) fn apply(&mut self, reload: Reload) -> Result<(Vec<Lane>, Reloaded), ReloadError> {
        let labels = self.labels.all();
        let names = self.check(&reload, &labels)?;
        let mut change = Change::default();
        for (index, label) in labels.iter().enumerate() {
            if !label.is_removed && !names.contains(&label.name) {
                self.remove(LaneId::new(index), label, &mut change);
            }
        }
        for lane in reload.lanes {
            match labels.iter().position(|label| label.name == lane.name) {
                Some(index) => self.change(LaneId::new(index), labels[index].is_removed, lane, &mut change),
                None => self.add(lane, &mut change),
            }
        }
        self.share_encodings();
        // The log first and in one step: between two of these changes a chunk could have no taker, and
        // would be settled.
        self.commons.log.change_lanes(change.interests);
        for (id, order) in change.orders {
            // A lane that has ended needs no order: the pump ends.
            let _ = self.known[id.index()].orders.send(order);
        }
        Ok((change.new, change.reloaded))
    }

    fn check(&self, reload: &Reload, labels: &[LaneLabel]) -> Result<HashSet<Arc<str>>, ReloadError> {
        let mut names = HashSet::new();
        for name in reload.kept.iter().chain(reload.lanes.iter().map(|lane| &lane.name)) {
            if !names.insert(name.clone()) {
                return Err(ReloadError::Twice(name.clone()));
            }
        }
        let is_there = |name: &Arc<str>| labels.iter().any(|label| label.name == *name && !label.is_removed);
        match reload.kept.iter().find(|name| !is_there(name)) {
            Some(name) => Err(ReloadError::NotThere(name.clone())),
            None => Ok(names),
        }
    }

    fn remove(&mut self, id: LaneId, label: &LaneLabel, change: &mut Change) {
        let (name, interest) = (label.name.clone(), LaneInterest::default());
        change.interests.push(LaneChange { id, name, interest });
        change.orders.push((id, Order::Remove));
        change.reloaded.removed.push(label.name.clone());
        self.known[id.index()].sharing = None;
        self.labels.set(id, LaneLabel { is_removed: true, ..label.clone() });
    }

    fn change(&mut self, id: LaneId, was_removed: bool, mut lane: LaneBlueprint, change: &mut Change) {
        let (preparation, interest) = (lane.preparation(), lane.interest());
        let reloaded = &mut change.reloaded;
        if was_removed { &mut reloaded.added } else { &mut reloaded.changed }.push(lane.name.clone());
        self.known[id.index()].sharing = Some(preparation.sharing().clone());
        self.labels.set(id, LaneLabel::of(&lane));
        change.interests.push(LaneChange { id, name: lane.name.clone(), interest: interest.clone() });
        let LaneBlueprint { sink, settings, repeats_batches, .. } = lane;
        let successor = Successor { sink, settings, preparation, interest, repeats_batches };
        change.orders.push((id, Order::Change(Box::new(successor))));
    }

    fn add(&mut self, mut lane: LaneBlueprint, change: &mut Change) {
        let id = LaneId::new(self.known.len());
        let Commons { log, accounting, statistics, burial, id_key, phase, randomness } = &self.commons;
        accounting.add_lane();
        statistics.add_lane();
        self.labels.set(id, LaneLabel::of(&lane));
        change.reloaded.added.push(lane.name.clone());
        change.interests.push(LaneChange { id, name: lane.name.clone(), interest: lane.interest() });
        let (sender, orders) = mpsc::unbounded_channel();
        let preparation = lane.preparation();
        self.known.push(Known { orders: sender, sharing: Some(preparation.sharing().clone()) });
        change.new.push(Lane::new(LaneParts {
            id,
            name: lane.name,
            sink: lane.sink,
            settings: lane.settings,
            preparation,
            is_required: lane.is_required,
            repeats_batches: lane.repeats_batches,
            log: log.clone(),
            accounting: accounting.clone(),
            statistics: statistics.clone(),
            burial: burial.clone(),
            id_key: id_key.clone(),
            phase: phase.subscribe(),
            orders,
            randomness: randomness.clone(),
        }));
    }

    /// Tells every lane whether another one writes the same bytes.
    fn share_encodings(&self) {
        let all: Vec<&Sharing> = self.known.iter().filter_map(|known| known.sharing.as_ref()).collect();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        all.iter().for_each(|sharing| *counts.entry(&sharing.key).or_default() += 1);
        all.iter().for_each(|sharing| sharing.is_shared.store(counts[&*sharing.key] > 1, Ordering::Relaxed));
    }
}

/// What a reload is made of, collected before anything is told.
#[derive(Default)]
struct Change {
    interests: Vec<LaneChange>,
    orders: Vec<(LaneId, Order)>,
    new: Vec<Lane>,
    reloaded: Reloaded,
}

impl LaneLabel {
    fn of(lane: &LaneBlueprint) -> Self {
        Self { name: lane.name.clone(), is_required: lane.is_required, is_removed: false }
    }
}
