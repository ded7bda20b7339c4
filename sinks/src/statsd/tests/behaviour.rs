//! The behaviours that every sink owes, on a real etsy daemon by TCP; a target that is missing is the Unix socket of a
//! statsd_exporter.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use pump_testing::{EtsyStatsd, StatsdExporter};
use tokio::sync::Mutex;

use super::*;

struct Daemons {
    etsy: Mutex<EtsyStatsd>,
    way: Proxy,
    exporter: Mutex<StatsdExporter>,
}

impl Daemons {
    async fn start() -> Self {
        let (etsy, exporter) = (EtsyStatsd::start(), StatsdExporter::start());
        let way = Proxy::to(etsy.address()).await;
        Self { etsy: Mutex::new(etsy), way, exporter: Mutex::new(exporter) }
    }
}

/// A series for each record, and a few windows where one would do: something has to be under way for long enough.
fn keys(address: &str, name: &str) -> String {
    format!(
        "address: {address}\nprefix: {name}\ntags: dogstatsd\nfields: []\nby: [alias, api_key, ip_address]\n\
         max_series: 100000\nbatch: {{ max_records: 100 }}"
    )
}

#[async_trait]
impl Destination for Daemons {
    type Sink = StatsdSink;

    async fn place(&self, name: &str) -> String {
        keys(&format!("tcp://{}", self.way.address()), name)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let (by_tcp, by_socket) =
            (format!("{name}.transaction.count;"), format!("{name}_transaction_count{{"));
        let mut counts = self.etsy.lock().await.counters();
        counts.extend(self.exporter.lock().await.samples());
        let is_own = |series: &str| series.starts_with(&by_tcp) || series.starts_with(&by_socket);
        let seen = |(text, count): (String, f64)| Seen { id: None, text, count: count as u64 };
        counts.into_iter().filter(|(series, _)| is_own(series)).map(seen).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Stay
    }

    fn ids(&self) -> Result<(), Unlike> {
        Err(Unlike("counts have no ids"))
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Ok(&self.way)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        self.etsy.lock().await.stop();
        Ok(())
    }

    async fn start(&self) {
        self.etsy.lock().await.start_again();
    }

    fn refused(&self, _: Sample) -> Result<Sample, Unlike> {
        Err(Unlike("a daemon refuses no record: it is not told of any"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(Unlike("a window is as many datagrams as it takes"))
    }

    async fn wrong_credentials(&self, _: &str) -> Result<String, Unlike> {
        Err(Unlike("StatsD has no credentials"))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        let mut exporter = self.exporter.lock().await;
        exporter.kill();
        let socket = exporter.socket();
        std::fs::remove_file(&socket).expect("it was there");
        Ok(keys(&format!("unix://{}", socket.display()), name))
    }

    async fn make_missing(&self, _: &str) {
        self.exporter.lock().await.start_again();
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(Daemons::start).await;
}
