//! The nodes of a cluster in rotation: each request takes the next one.
//!
//! A node that failed is set aside, for a second at first and twice as long each time until it
//! answers again, a minute at most. When all are aside, the one whose time is over first is tried:
//! a sink with one node is never without one. No I/O and no clock in here.

use std::time::Duration;

use tokio::time::Instant;

/// How long a node is set aside after its first failure.
const FIRST_ASIDE: Duration = Duration::from_secs(1);
/// How long at most.
const LONGEST_ASIDE: Duration = Duration::from_secs(60);

/// Which node is next.
#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Box<[Node]>,
    next: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Since it last answered.
    failures: u32,
    aside_until: Option<Instant>,
}

impl Nodes {
    /// At least one.
    pub(super) fn new(count: usize) -> Self {
        Self { nodes: vec![Node::default(); count.max(1)].into(), next: 0 }
    }

    /// The number of the node for the next request.
    pub(super) fn pick(&mut self, now: Instant) -> usize {
        let count = self.nodes.len();
        let mut in_turn = (0..count).map(|step| (self.next + step) % count);
        let picked = in_turn.find(|number| !self.nodes[*number].is_aside(now)).unwrap_or_else(|| {
            let first = (0..count).min_by_key(|number| self.nodes[*number].aside_until);
            first.expect("there is at least one node")
        });
        self.next = (picked + 1) % count;
        picked
    }

    /// The node answered.
    pub(super) fn answered(&mut self, number: usize) {
        self.nodes[number] = Node::default();
    }

    /// The node cannot be reached, does not answer, or says that it cannot serve.
    pub(super) fn failed(&mut self, number: usize, now: Instant) {
        let node = &mut self.nodes[number];
        // Requests that were under way together fail together: that is one failure.
        if node.is_aside(now) {
            return;
        }
        let aside = FIRST_ASIDE.saturating_mul(1 << node.failures.min(10)).min(LONGEST_ASIDE);
        node.failures = node.failures.saturating_add(1);
        node.aside_until = Some(now + aside);
    }
}

impl Node {
    fn is_aside(self, now: Instant) -> bool {
        self.aside_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Pick,
        Answered(usize),
        Failed(usize),
        Wait(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            4 => Just(Event::Pick),
            1 => (0..4usize).prop_map(Event::Answered),
            2 => (0..4usize).prop_map(Event::Failed),
            2 => (0..90_000u64).prop_map(Event::Wait),
        ];
        prop::collection::vec(event, 0..80)
    }

    proptest! {
        /// The model knows of each node how often it failed in a row and until when it is aside, in
        /// milliseconds, and looks at all nodes for each pick.
        #[test]
        fn nodes_take_turns_as_a_small_model_says(count in 1..5usize, events in events()) {
            let start = Instant::now();
            let (mut nodes, mut clock, mut last) = (Nodes::new(count), 0, count - 1);
            let mut model = vec![(0u32, 0u64); count];
            for event in events {
                let now = start + Duration::from_millis(clock);
                match event {
                    Event::Wait(millis) => clock += millis,
                    Event::Answered(number) => {
                        nodes.answered(number % count);
                        model[number % count] = (0, 0);
                    }
                    Event::Failed(number) => {
                        nodes.failed(number % count, now);
                        let (failures, until) = &mut model[number % count];
                        if *until <= clock {
                            *until = clock + [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000][(*failures as usize).min(6)];
                            *failures += 1;
                        }
                    }
                    Event::Pick => {
                        let turns: Vec<usize> = (1..=count).map(|step| (last + step) % count).collect();
                        let expected = turns.iter().copied().find(|number| model[*number].1 <= clock);
                        let expected = expected.unwrap_or_else(|| {
                            let soonest = model.iter().map(|(_, until)| *until).min().unwrap_or_default();
                            model.iter().position(|(_, until)| *until == soonest).unwrap_or_default()
                        });
                        prop_assert_eq!(nodes.pick(now), expected);
                        last = expected;
                    }
                }
            }
        }
    }
}
