//! A cluster's faults, by librdkafka's mock of one.

use std::time::Instant;

use pump_core::config::Secret;
use pump_core::plugin::SinkErrorKind;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

const TOPIC: &str = "records";

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    cluster
}

/// A sink whose attempts may take that long.
async fn open(cluster: &Cluster, timeout: Duration) -> KafkaSink {
    sink(config(&cluster.bootstrap_servers(), TOPIC), timeout).await
}

async fn deliver(sink: &KafkaSink, count: usize, timeout: Duration) -> Result<Answers, SinkError> {
    sink.deliver(&batch(&bodies(count), TOPIC), Deadline::after(timeout)).await
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_delivered_once_every_message_is_confirmed() {
    let cluster = cluster();
    let sink = open(&cluster, LONG).await;
    sink.probe().await.expect("it is there");
    assert_eq!(deliver(&sink, 1_000, LONG).await.expect("delivered"), Answers::delivered(1_000));
    sink.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_is_tried_again_and_later_reached() {
    let cluster = cluster();
    let sink = open(&cluster, SHORT).await;
    assert_eq!(delivered(&deliver(&sink, 10, SHORT).await.expect("delivered")), 10);
    cluster.broker_down(-1).expect("down");
    let begin = Instant::now();
    let error = deliver(&sink, 10, SHORT).await.expect_err("nobody is there");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
    cluster.broker_up(-1).expect("up");
    // What was lost on the way may take librdkafka a moment.
    let mut last = None;
    for _ in 0..5 {
        match deliver(&sink, 10, SHORT).await {
            Ok(answers) if delivered(&answers) == 10 => return,
            other => last = Some(other),
        }
    }
    panic!("{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_never_there_is_tried_again_within_the_attempt() {
    let sink = sink(config("127.0.0.1:1", TOPIC), SHORT).await;
    let begin = Instant::now();
    let error = deliver(&sink, 10, SHORT).await.expect_err("nobody is there");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(begin.elapsed() < SHORT + Duration::from_millis(500), "{:?}", begin.elapsed());
    sink.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_is_waited_for_and_one_that_is_too_slow_is_not() {
    let cluster = cluster();
    let (patient, impatient) = (open(&cluster, LONG).await, open(&cluster, SHORT).await);
    for sink in [&patient, &impatient] {
        assert_eq!(delivered(&deliver(sink, 10, LONG).await.expect("delivered")), 10);
    }
    cluster.broker_round_trip_time(-1, Duration::from_millis(400)).expect("slow");
    assert_eq!(delivered(&deliver(&patient, 10, LONG).await.expect("delivered")), 10);
    cluster.broker_round_trip_time(-1, Duration::from_secs(30)).expect("slower");
    let begin = Instant::now();
    let error = deliver(&impatient, 10, SHORT).await.expect_err("no report in time");
    assert_eq!(error.kind(), SinkErrorKind::Retry, "{error}");
    assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_brokers_say_of_a_batch_is_sorted() {
    use RDKafkaRespErr as E;
    use SinkErrorKind::{Retry, TooLarge, Unavailable};
    let cluster = cluster();
    let sink = open(&cluster, SHORT).await;
    for (error, kind) in [
        (E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Unavailable),
        (E::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, Unavailable),
        (E::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, Unavailable),
        (E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, TooLarge),
        (E::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, Retry),
    ] {
        // What may pass is tried within the attempt as well, until its time is over.
        cluster.request_errors(RDKafkaApiKey::Produce, &[error; 100]);
        let said = deliver(&sink, 10, SHORT).await.expect_err("it is refused");
        assert_eq!(said.kind(), kind, "{error:?}: {said}");
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
        let answers = deliver(&sink, 10, LONG).await.expect("it is over");
        assert_eq!(delivered(&answers), 10, "after {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_that_goes_through_in_part_that_part_is_delivered() {
    let cluster = cluster();
    let mut config = config(&cluster.bootstrap_servers(), TOPIC);
    // A message a request, one request at a time: the second is refused.
    for (name, value) in [("batch.num.messages", "1"), ("max.in.flight", "1")] {
        config.properties.insert(name.to_owned(), Secret::new(value));
    }
    let sink = sink(config, LONG).await;
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR_NO_ERROR as FINE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as DENIED,
    };
    cluster.request_errors(RDKafkaApiKey::Produce, &[FINE, DENIED]);
    let answers = deliver(&sink, 5, LONG).await.expect("a part goes through");
    assert_eq!(answers.get(0), Some(&Answer::Delivered));
    assert_eq!(answers.get(1), Some(&Answer::Retry(None)));
    assert!(delivered(&answers) >= 1 && delivered(&answers) < 5, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_a_message_may_be_is_rejected_and_its_neighbours_are_delivered() {
    let cluster = cluster();
    let sink = open(&cluster, LONG).await;
    let mut bodies = bodies(3);
    bodies[1] = format!("{{\"text\":\"{}\"}}", "x".repeat(2_000_000));
    let answers = sink.deliver(&batch(&bodies, TOPIC), Deadline::after(LONG)).await.expect("answers");
    assert_eq!((answers.get(0), answers.get(2)), (Some(&Answer::Delivered), Some(&Answer::Delivered)));
    assert!(matches!(answers.get(1), Some(Answer::Rejected { code: "too_large", .. })), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_the_producer_holds_goes_through_bit_by_bit() {
    let cluster = cluster();
    let mut config = config(&cluster.bootstrap_servers(), TOPIC);
    config.properties.insert("queue.buffering.max.kbytes".to_owned(), Secret::new("64"));
    let sink = sink(config, LONG).await;
    assert_eq!(deliver(&sink, 20_000, LONG).await.expect("delivered"), Answers::delivered(20_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_dropped_leaves_nothing_that_counts() {
    let cluster = cluster();
    let sink = open(&cluster, LONG).await;
    cluster.broker_round_trip_time(-1, Duration::from_millis(200)).expect("slow");
    for millis in [0, 1, 50, 250, 450, 700] {
        let attempt = deliver(&sink, 100, LONG);
        let _ = tokio::time::timeout(Duration::from_millis(millis), attempt).await;
        let client = sink.client(100).expect("there is one");
        assert_eq!(client.open_attempts(), 0, "after {millis} ms");
    }
    // Reports of the dropped ones come meanwhile.
    assert_eq!(deliver(&sink, 100, LONG).await.expect("delivered"), Answers::delivered(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_nothing_that_was_not_answered() {
    let cluster = cluster();
    let sink = open(&cluster, LONG).await;
    cluster.broker_down(-1).expect("down");
    let _ = tokio::time::timeout(Duration::from_millis(500), deliver(&sink, 100, LONG)).await;
    let begin = Instant::now();
    sink.close().await.expect("closed");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}
