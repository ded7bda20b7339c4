//! A Cluster of three primaries.

use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection};

use crate::{Certificates, RedisOptions, RedisServer};

const SLOTS: u16 = 16_384;

/// Three servers, each with a third of the slots. They end when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers, in the order of their slots.
    pub servers: Vec<RedisServer>,
    tls: Option<Certificates>,
}

impl RedisCluster {
    /// Starts them as the options say.
    ///
    /// # Panics
    /// When they do not come up.
    pub fn start(options: &RedisOptions) -> Self {
        let servers: Vec<_> = (0..3)
            .map(|_| {
                let mut options = options.clone();
                let bus = crate::free_address().port().to_string();
                // A Cluster stops when a server does not answer for so long; tests run on busy machines.
                let arguments =
                    ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "15000"];
                options.arguments.extend(arguments.map(str::to_owned));
                if options.tls.is_some() {
                    options.arguments.extend(["--tls-cluster".to_owned(), "yes".to_owned()]);
                }
                (RedisServer::with(options), bus)
            })
            .collect();
        for (number, (server, _)) in servers.iter().enumerate() {
            let (from, to) = (Self::first_slot(number), Self::first_slot(number + 1) - 1);
            ask(server, &["ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            for (other, bus) in &servers {
                let address = other.address();
                ask(server, &["MEET", &address.ip().to_string(), &address.port().to_string(), bus]);
            }
        }
        let servers = servers.into_iter().map(|(server, _)| server).collect();
        let all = Self { servers, tls: options.tls.clone() };
        let limit = Instant::now() + Duration::from_secs(30);
        let is_ready = |server: &RedisServer| {
            let info: String =
                redis::cmd("CLUSTER").arg("INFO").query(&mut server.connection()).expect("redis answers");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        while !all.servers.iter().all(is_ready) {
            assert!(Instant::now() < limit, "the cluster does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        all
    }

    fn first_slot(number: usize) -> u16 {
        (usize::from(SLOTS) * number / 3) as u16
    }

    /// Their addresses.
    pub fn nodes(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.address().to_string()).collect()
    }

    /// A connection of the test's own, which follows redirections.
    ///
    /// # Panics
    /// When the cluster does not answer.
    pub fn connection(&self) -> ClusterConnection {
        let mut builder = ClusterClient::builder(self.servers.iter().map(RedisServer::url)).retries(30);
        if let Some(certificates) = &self.tls {
            builder = builder.certs(certificates.for_client());
        }
        let client = builder.build().expect("addresses");
        client.get_connection().expect("the cluster answers")
    }

    /// All keys in all of them, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.servers.iter().flat_map(RedisServer::keys).collect();
        keys.sort();
        keys
    }

    /// Moves the slot of a key from its server to the next, key by key, and keeps the slot split for so
    /// long in between. Returns how many keys were moved.
    ///
    /// # Panics
    /// When a server refuses.
    pub fn move_slot_of(&self, key: &str, pause: Duration) -> usize {
        let slot: u16 = redis::cmd("CLUSTER")
            .arg(&["KEYSLOT", key])
            .query(&mut self.servers[0].connection())
            .expect("redis answers");
        let from =
            (0..3).rev().find(|number| slot >= Self::first_slot(*number)).expect("a slot is somewhere");
        let (source, target) = (&self.servers[from], &self.servers[(from + 1) % 3]);
        let id = |server: &RedisServer| -> String {
            redis::cmd("CLUSTER").arg("MYID").query(&mut server.connection()).expect("redis answers")
        };
        let (source_id, target_id, slot) = (id(source), id(target), slot.to_string());
        ask(target, &["SETSLOT", &slot, "IMPORTING", &source_id]);
        ask(source, &["SETSLOT", &slot, "MIGRATING", &target_id]);
        let (mut moved, begin) = (0, Instant::now());
        loop {
            let keys: Vec<String> = redis::cmd("CLUSTER")
                .arg(&["GETKEYSINSLOT", &slot, "1"])
                .query(&mut source.connection())
                .expect("redis answers");
            match keys.first() {
                Some(key) => {
                    let address = target.address();
                    let mut migrate = redis::cmd("MIGRATE");
                    migrate.arg(address.ip().to_string()).arg(address.port()).arg(key).arg(0).arg(10_000);
                    migrate.exec(&mut source.connection()).expect("it moves");
                    moved += 1;
                    std::thread::sleep(pause / 4);
                }
                None if begin.elapsed() < pause => std::thread::sleep(Duration::from_millis(20)),
                None => break,
            }
        }
        for server in [target, source, &self.servers[(from + 2) % 3]] {
            ask(server, &["SETSLOT", &slot, "NODE", &target_id]);
        }
        moved
    }
}

fn ask(server: &RedisServer, arguments: &[&str]) {
    let mut command = redis::cmd("CLUSTER");
    command
        .arg(arguments)
        .exec(&mut server.connection())
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
}
