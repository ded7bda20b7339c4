//! An S3 store of a test's own: versitygw, with Object Lock, versioning, and a user who may do what a policy says.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The access key of the user who may only what [`S3Server::allow`] says.
pub const WRITER: &str = "pump-writer";
/// Its secret.
pub const WRITER_SECRET: &str = "a-secret-of-the-writer";

const ROOT: &str = "root-of-the-store";
const ROOT_SECRET: &str = "a-secret-of-the-root";
const INSTALLED: &str = "versitygw-1.8.0";
const CLIENTS: &str = "s3-clients-1";

/// A running store; ended when dropped.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl S3Server {
    /// A store without buckets.
    ///
    /// # Panics
    /// When it is not installed or does not answer.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        for name in ["objects", "versions", "users"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        // Between finding a free port and taking it, another test may have taken it.
        for _ in 0..3 {
            let address = crate::free_address();
            if let Some(child) = launch(address, &folder) {
                let server = Self { child, address, folder };
                server.create_user();
                return server;
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("{INSTALLED} does not start: {log}");
    }

    /// Its address as a pipeline file has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it at once and starts it again on the same port with what it holds.
    ///
    /// # Panics
    /// When it does not start again.
    pub fn restart(&mut self) {
        self.kill();
        self.child = launch(self.address, &self.folder).expect("the store starts again");
    }

    /// How many uploads in parts have not come to their end, as the store keeps them (a folder for each in one for its
    /// key): quicker to ask than the store itself.
    pub fn uploads(&self, bucket: &str) -> usize {
        let folders = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
        let keys = folders(self.folder.path().join("objects").join(bucket).join(".sgwtmp/multipart"));
        keys.flat_map(|key| folders(key.path())).filter(|upload| upload.path().is_dir()).count()
    }

    /// Makes a bucket with versioning and Object Lock, to which the writer may do these things below a prefix, such as
    /// `s3:PutObject`.
    pub fn create_bucket(&self, bucket: &str, prefix: &str, actions: &[&str]) {
        self.client(&["create", bucket]);
        self.allow(bucket, prefix, actions);
    }

    /// What the writer may do in a bucket below a prefix, from now on; nothing when there is no action.
    pub fn allow(&self, bucket: &str, prefix: &str, actions: &[&str]) {
        self.client(&["allow", bucket, WRITER, prefix, &actions.join(",")]);
    }

    /// Asks the store by another client than ours, as its root; `s3_client.py` has the commands.
    pub fn client(&self, arguments: &[&str]) -> Value {
        self.client_as(ROOT, ROOT_SECRET, arguments)
    }

    /// The same with the credentials that the pump has.
    pub fn client_as_writer(&self, arguments: &[&str]) -> Value {
        self.client_as(WRITER, WRITER_SECRET, arguments)
    }

    fn client_as(&self, key: &str, secret: &str, arguments: &[&str]) -> Value {
        let clients = crate::cache().join(CLIENTS);
        assert!(clients.is_dir(), "{CLIENTS} is not installed: run scripts/setup.sh");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/s3_client.py");
        let output = Command::new("python3")
            .arg(script)
            .args([&self.url(), key, secret])
            .args(arguments)
            .env("PYTHONPATH", clients)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap_or_else(|error| panic!("python3 cannot be started ({error}): run scripts/setup.sh"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
    }

    fn create_user(&self) {
        let status = Command::new(program())
            .args(["admin", "--access", ROOT, "--secret", ROOT_SECRET, "--endpoint-url", &self.url()])
            .args(["create-user", "--access", WRITER, "--secret", WRITER_SECRET, "--role", "user"])
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("it runs").success(), "the writer cannot be made");
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> PathBuf {
    let program = crate::cache().join(INSTALLED).join("versitygw");
    assert!(program.is_file(), "{INSTALLED} is not installed: run scripts/setup.sh");
    program
}

/// Starts it and waits until it listens; `None` when it ends instead.
fn launch(address: SocketAddr, folder: &TempDir) -> Option<Child> {
    let log = std::fs::File::create(folder.path().join("log")).expect("a file");
    let path = |name: &str| folder.path().join(name);
    let mut child = Command::new(program())
        .env("ROOT_ACCESS_KEY", ROOT)
        .env("ROOT_SECRET_KEY", ROOT_SECRET)
        .args(["--quiet", "--port", &address.to_string(), "--iam-dir"])
        .arg(path("users"))
        .args(["posix", "--versioning-dir"])
        .arg(path("versions"))
        .arg(path("objects"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("it can be started");
    let limit = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        if child.try_wait().expect("it can be asked").is_some() {
            return None;
        }
        assert!(Instant::now() < limit, "{INSTALLED} does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(child)
}
