//! A Kafka broker of a test's own.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Certificates, cache, free_address};

/// The user that a broker knows.
pub const KAFKA_USER: &str = "pump";
/// The user's password.
pub const KAFKA_PASSWORD: &str = "password-of-kafka";

/// A running broker, which is its own controller; ended when dropped, and with the test's process however that ends.
///
/// It listens four times: for everybody, for users with a password (PLAIN and both SCRAM), for clients with a
/// certificate, and for users over TLS.
#[derive(Debug)]
pub struct KafkaServer {
    child: Child,
    program: PathBuf,
    addresses: Addresses,
    certificates: Certificates,
    folder: TempDir,
}

/// What a broker is told besides.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// What clients are told to be the address for users, such as a proxy's.
    pub users_advertised: Option<SocketAddr>,
    /// Whether topics are made by writing to them.
    pub makes_topics: bool,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    open: SocketAddr,
    users: SocketAddr,
    tls: SocketAddr,
    users_tls: SocketAddr,
    controller: SocketAddr,
}

/// A message as another client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaMessage {
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its headers, in their order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl KafkaMessage {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl KafkaServer {
    /// Starts one, with nothing in it.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start(options: &KafkaOptions) -> Self {
        let program = cache().join("kafka-4.3.1");
        assert!(program.is_dir(), "kafka-4.3.1 is not installed: run scripts/setup.sh");
        let (folder, certificates) = (TempDir::new().expect("a folder"), Certificates::make());
        // Between finding free ports and taking them, another test may have taken them.
        for _ in 0..3 {
            let addresses = Addresses {
                open: free_address(),
                users: free_address(),
                tls: free_address(),
                users_tls: free_address(),
                controller: free_address(),
            };
            let _ = fs::remove_dir_all(folder.path().join("data"));
            configure(folder.path(), addresses, options, &certificates);
            format(&program, folder.path());
            let mut child = spawn(&program, folder.path());
            if is_ready(&mut child, folder.path(), 1) {
                return Self { child, program, addresses, certificates, folder };
            }
            end(&mut child);
        }
        panic!("kafka does not start: {}", log(folder.path()));
    }

    /// Where anybody may write and read.
    pub fn address(&self) -> SocketAddr {
        self.addresses.open
    }

    /// Where users with a password are expected.
    pub fn users_address(&self) -> SocketAddr {
        self.addresses.users
    }

    /// Where clients with a certificate are expected, over TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.addresses.tls
    }

    /// Where users with a password are expected, over TLS.
    pub fn users_tls_address(&self) -> SocketAddr {
        self.addresses.users_tls
    }

    /// The authority that signed its certificate, and a client's.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Stops it at once, as a power cut would.
    pub fn stop(&mut self) {
        end(&mut self.child);
    }

    /// Starts it again, on its ports and with what it had stored.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let before = starts(self.folder.path());
        self.child = spawn(&self.program, self.folder.path());
        assert!(
            is_ready(&mut self.child, self.folder.path(), before + 1),
            "it does not start again: {}",
            log(self.folder.path())
        );
    }

    /// Everything in a topic, as kcat reads it.
    ///
    /// # Panics
    /// When kcat is not installed or cannot read the topic.
    pub fn read(&self, topic: &str) -> Vec<KafkaMessage> {
        let lines = self.kcat(topic, &["-J"]);
        let message = |line: &str| {
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            // Names and values by turns.
            let headers = value["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let pair = |pair: &[serde_json::Value]| {
                (text(&pair[0]).unwrap_or_default(), text(&pair[1]).unwrap_or_default())
            };
            KafkaMessage {
                key: text(&value["key"]),
                headers: headers.chunks_exact(2).map(pair).collect(),
                body: text(&value["payload"]).unwrap_or_default(),
            }
        };
        lines.lines().map(message).collect()
    }

    /// Key and headers (`name=value,…`) of every message in a topic, with a space between, a line each: for topics
    /// whose bodies are too much to look at.
    ///
    /// # Panics
    /// When kcat is not installed or cannot read the topic.
    pub fn read_keys(&self, topic: &str) -> String {
        self.kcat(topic, &["-f", "%k %h\n"])
    }

    fn kcat(&self, topic: &str, how: &[&str]) -> String {
        let address = self.address().to_string();
        let output = Command::new("kcat")
            .args([
                "-b",
                &address,
                "-C",
                "-t",
                topic,
                "-o",
                "beginning",
                "-e",
                "-q",
                "-X",
                "isolation.level=read_uncommitted",
            ])
            .args(how)
            .output()
            .unwrap_or_else(|error| panic!("kcat cannot be started ({error}): run scripts/setup.sh"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kcat cannot read {topic}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs one of Kafka's own tools, such as `org.apache.kafka.tools.AclCommand`, against it.
    ///
    /// # Panics
    /// When it fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) {
        let address = self.address().to_string();
        let output = java(&self.program, class, 64)
            .args(["--bootstrap-server", &address])
            .args(arguments)
            .output()
            .expect("java is there, as the broker runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{class}: {}{}", said(&output.stdout), said(&output.stderr));
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn configure(folder: &Path, addresses: Addresses, options: &KafkaOptions, certificates: &Certificates) {
    let Addresses { open, users, tls, users_tls, controller } = addresses;
    let advertised = options.users_advertised.unwrap_or(users);
    // A certificate and its key lie in one file.
    let read = |name: &str| fs::read_to_string(certificates.path(name)).expect("it was made");
    let identity = folder.join("server.pem");
    fs::write(&identity, format!("{}{}", read("server.key"), read("server.pem"))).expect("written");
    let login = "org.apache.kafka.common.security";
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=OPEN\n\
         listeners=OPEN://{open},USERS://{users},TLS://{tls},USERSTLS://{users_tls},CONTROLLER://{controller}\n\
         advertised.listeners=OPEN://{open},USERS://{advertised},TLS://{tls},USERSTLS://{users_tls}\n\
         listener.security.protocol.map=OPEN:PLAINTEXT,USERS:SASL_PLAINTEXT,TLS:SSL,USERSTLS:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         listener.name.tls.ssl.client.auth=required\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         allow.everyone.if.no.acl.found=true\n\
         super.users=User:ANONYMOUS\n\
         auto.create.topics.enable={}\n\
         log.dirs={}\n",
        identity.display(),
        certificates.path("ca.pem").display(),
        options.makes_topics,
        folder.join("data").display(),
    );
    for listener in ["users", "userstls"] {
        let name = format!("listener.name.{listener}");
        let _ = writeln!(
            text,
            "{name}.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{KAFKA_USER}=\"{KAFKA_PASSWORD}\";"
        );
        for scram in ["scram-sha-256", "scram-sha-512"] {
            let _ =
                writeln!(text, "{name}.{scram}.sasl.jaas.config={login}.scram.ScramLoginModule required;");
        }
    }
    // Small, quick to start, and without topics of its own that wait for further brokers.
    text.push_str(
        "num.partitions=3\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         log.cleaner.dedupe.buffer.size=16777216\n",
    );
    fs::write(folder.join("server.properties"), text).expect("written");
}

/// Makes the folder of its data, with its users.
fn format(program: &Path, folder: &Path) {
    let mut command = java(program, "kafka.tools.StorageTool", 64);
    command.args(["format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c"]).arg(folder.join("server.properties"));
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        command.args(["--add-scram", &format!("{mechanism}=[name={KAFKA_USER},password={KAFKA_PASSWORD}]")]);
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("java cannot be started ({error}): run scripts/setup.sh"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    let server = java(program, "kafka.Kafka", 384);
    // It is killed when the pipe ends, and that ends with this process.
    let script = "\"$@\" 3<&- </dev/null & server=$!; { read -r _ <&3; kill -9 $server; } & wait $server";
    Command::new("sh")
        .args(["-c", &format!("exec 3<&0; {script}"), "sh"])
        .arg(server.get_program())
        .args(server.get_args())
        .arg(folder.join("server.properties"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("java cannot be started ({error}): run scripts/setup.sh"))
}

/// Ends it at once: waiting closes the pipe.
fn end(child: &mut Child) {
    let _ = child.wait();
}

fn java(program: &Path, class: &str, heap_mib: u32) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap_mib}m"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"])
        .arg(format!("-Dlog4j2.configurationFile={}", program.join("log4j2.properties").display()))
        .args(["-cp", &format!("{}/lib/*", program.display()), class]);
    command
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// How often it has said that it has started.
fn starts(folder: &Path) -> usize {
    log(folder).matches("Kafka Server started").count()
}

/// Waits until it has started so often; false when it ends instead.
fn is_ready(child: &mut Child, folder: &Path, count: usize) -> bool {
    let limit = Instant::now() + Duration::from_secs(120);
    while Instant::now() < limit {
        if child.try_wait().expect("it can be asked").is_some() {
            return false;
        }
        if starts(folder) >= count {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}
