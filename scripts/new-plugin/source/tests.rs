//! What it reads arrives, and nothing else.
// FILL IN: a real server that the records lie in, what becomes of them when the pump is killed between reading and
// settling, and what a buffer holds that is no record.

use pump_core::testing;

use super::__Name__Source;

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_it_holds_arrives_once() {
    let bodies = testing::drain::<__Name__Source>("events: ['{\"n\":1}', '{\"n\":2}']").await;
    assert_eq!(bodies, ["{\"n\":1}", "{\"n\":2}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_out_of_nothing() {
    assert_eq!(testing::drain::<__Name__Source>("events: []").await, [""; 0]);
}
