//! The real binary as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running `pump`. Killed when dropped.
pub(crate) struct PumpProcess {
    child: Child,
    admin: SocketAddr,
    file: PathBuf,
}

impl PumpProcess {
    /// Runs `pump run` with this pipeline, written into the folder. An `admin` section on a free port is
    /// added; log lines go to `pump-<name>.log` in the folder.
    pub(crate) fn start(folder: &Path, name: &str, pipeline: &str, arguments: &[&str]) -> Self {
        let admin = pump_testing::free_address();
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, format!("{pipeline}\nadmin: {{ listen: \"{admin}\" }}\n")).expect("written");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join(format!("pump-{name}.log")))
            .expect("opened");
        let child = Command::new(env!("CARGO_BIN_EXE_pump"))
            .arg("run")
            .arg("-c")
            .arg(&file)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self { child, admin, file }
    }

    /// Writes another pipeline into its file, beside it and in one step, as a mounted ConfigMap changes.
    pub(crate) fn rewrite(&self, pipeline: &str) {
        let beside = self.file.with_extension("new");
        let text = format!("{pipeline}\nadmin: {{ listen: \"{}\" }}\n", self.admin);
        std::fs::write(&beside, text).expect("written");
        std::fs::rename(&beside, &self.file).expect("renamed");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("it still runs");
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, for so long.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status;
            }
            assert!(Instant::now() < end, "pump did not end within {limit:?}: {}", self.get("/status").1);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// SIGTERM, and waits for a good end.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(Duration::from_secs(40));
        assert!(status.success(), "pump ended with {status}");
    }

    /// Status code and body of one of its endpoints; 0 when it does not answer.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.admin, path).unwrap_or_default()
    }

    /// `/status`.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status").1).unwrap_or_default()
    }

    /// Waits until `/status` satisfies a condition.
    pub(crate) fn wait_until(&self, limit: Duration, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
        let end = Instant::now() + limit;
        loop {
            let status = self.status();
            if is_so(&status) {
                return;
            }
            assert!(Instant::now() < end, "{what} not within {limit:?}: {status}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A line of /proc/PID/status, in KiB.
    pub(crate) fn memory_kib(&self, line: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let value = text.lines().find_map(|own| own.strip_prefix(line)?.strip_prefix(':'));
        value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
    }
}

impl Drop for PumpProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((code, body))
}
