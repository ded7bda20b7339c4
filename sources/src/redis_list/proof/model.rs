//! The model of Redis says what the real one says, to any row of calls.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pump_core::bugs::{Bug, plant};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::calls::{Ack, Acked, Calls, ListState, Reply};
use super::super::redis_model::RedisModel;
use super::super::server::Looks;
use super::{Bench, LIST};

const CALLS: usize = 4_000;
const LEASES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(600)];
const TOKENS: [&str; 3] = ["a", "b", "c"];

/// What the source can see of an answer. A time to live is there or is not: how long it is, the clock says.
#[derive(Debug, PartialEq)]
enum Seen {
    Length(Option<u64>),
    Offsets(Option<std::ops::Range<u64>>),
    Read(Option<(u64, Vec<u32>, Bytes)>),
    Acked(Acked),
    List(u64, bool, Option<String>),
    Segments(Vec<String>),
}

impl Seen {
    fn read(reply: Option<Reply>) -> Self {
        Self::Read(reply.map(|Reply { first, sizes, records }| (first, sizes, records)))
    }

    fn list(state: ListState) -> Self {
        let ListState { length, ttl, due_segment } = state;
        Self::List(length, ttl.is_some(), due_segment.map(|name| name.to_string()))
    }
}

#[tokio::test]
async fn the_model_answers_any_calls_as_the_scripts_do() {
    let seed = rand::random();
    if let Err(difference) = compare(seed).await {
        panic!("seed {seed}: {difference}");
    }
}

#[tokio::test]
async fn a_model_that_trims_by_count_is_noticed() {
    let _planted = plant(Bug::RelativeTrim);
    compare(1).await.expect_err("it differs from the scripts");
}

/// Makes the same calls of both; says where they differ.
async fn compare(seed: u64) -> Result<(), String> {
    let (bench, mut model, mut random) = (Bench::new(), RedisModel::default(), StdRng::seed_from_u64(seed));
    let (began, looks, mut pushed) = (Instant::now(), Looks::new([&bench.keys]), 0_u32);
    for number in 0..CALLS {
        model.advance_to(began.elapsed());
        let (segment, token) = (
            format!("{}{}", bench.keys.segments, random.random_range(0..3)),
            TOKENS[random.random_range(0..3)],
        );
        let (lease, offset) = (LEASES[random.random_range(0..2)], random.random_range(0..12));
        let (server, keys) = (&bench.server, &bench.keys);
        let what = random.random_range(0..8);
        let (real, modelled) = match what {
            0 => {
                let bodies: Vec<Bytes> = (0..random.random_range(1..8))
                    .map(|_| {
                        pushed += 1;
                        let text = pushed.to_string().repeat(random.random_range(0..4));
                        text.into()
                    })
                    .collect();
                let ttl = random.random_bool(0.5).then_some(LEASES[1]);
                let mut connection = bench.redis.connection();
                let bodies_ref: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
                redis::cmd("RPUSH")
                    .arg(LIST)
                    .arg(bodies_ref)
                    .exec(&mut connection)
                    .expect("redis takes them");
                if let Some(ttl) = ttl {
                    redis::cmd("EXPIRE")
                        .arg(LIST)
                        .arg(ttl.as_secs())
                        .arg("NX")
                        .exec(&mut connection)
                        .expect("redis does it");
                }
                model.push(LIST, bodies, ttl);
                continue;
            }
            1 => (
                Seen::Length(server.seal(keys, &segment, token, lease).await.expect("redis answers")),
                Seen::Length(model.seal(keys, &segment, token, lease)),
            ),
            2 => (
                Seen::Offsets(server.steal(keys, &segment, token, lease).await.expect("redis answers")),
                Seen::Offsets(model.steal(keys, &segment, token, lease)),
            ),
            3 => {
                let bytes = random.random_range(0..40);
                let reply = server.read(keys, &segment, token, offset, bytes).await.expect("redis answers");
                (Seen::read(reply), Seen::read(model.read(keys, &segment, token, offset, (10_000, bytes))))
            }
            4 | 5 => {
                let ack = Ack { keys, segment: &segment, token, offset, lease };
                let mut answers = server.ack(std::slice::from_ref(&ack)).await.expect("redis answers");
                let real = answers.swap_remove(0).expect("redis does it");
                (Seen::Acked(real), Seen::Acked(model.ack(&ack).0))
            }
            6 => {
                let mut states = server.look(&looks).await.expect("redis answers");
                (Seen::list(states.swap_remove(0).expect("it is a list")), Seen::list(model.state(keys)))
            }
            _ => {
                let mut segments = server.segments(&looks).await.expect("redis answers");
                let real = segments.swap_remove(0).expect("it is an index");
                (Seen::Segments(real), Seen::Segments(model.segments(keys)))
            }
        };
        if real != modelled {
            let call = format!("{number}: {what} {segment} {token} {lease:?} {offset}");
            return Err(format!("call {call}: redis says {real:?}, the model {modelled:?}"));
        }
        // Leases end in the order of the calls that gave them, for both clocks.
        if (1..6).contains(&what) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let names = model.segments(&bench.keys);
    for name in names.iter().map(String::as_str).chain([LIST]) {
        let real: u64 =
            redis::cmd("LLEN").arg(name).query(&mut bench.redis.connection()).expect("redis answers");
        if model.length(name) != real {
            return Err(format!("{name} has {real} records, in the model {}", model.length(name)));
        }
    }
    Ok(())
}
