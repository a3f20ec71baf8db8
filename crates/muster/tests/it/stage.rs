//! A fleet with its config, the program as a process, and waiting with a deadline.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use muster_lab::testing::{self, TestFleet};
use muster_lab::{Fleet, LabOptions};
use serde_json::Value;

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Its output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// One line that says what happened and what to do, and the exit code.
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let errors: Vec<&str> = self.err.lines().filter(|l| l.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "one line: {self:?}");
        assert_eq!(self.err.lines().count(), 1, "nothing beside it: {self:?}");
        let (what, remedy) = errors[0].split_once(" · ").expect("what to do");
        assert!(what.len() > 10 && remedy.len() > 5, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in {self:?}");
        }
    }
}

/// The program with a config, or without one.
pub(crate) fn command(config: Option<&Path>, args: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_muster"));
    for name in ["MUSTER_LOG", "MUSTER_STATE_DIR", "MUSTER_LISTEN", "MUSTER_CONFIG"] {
        command.env_remove(name);
    }
    if let Some(config) = config {
        command.env("MUSTER_CONFIG", config);
    }
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn muster(config: Option<&Path>, args: &[&str]) -> Said {
    let out = command(config, args).output().await.expect("starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: out.status.code().unwrap_or(-1),
        out: text(&out.stdout),
        err: text(&out.stderr),
    }
}

/// A fleet with a config that the program can use.
pub(crate) struct Stage {
    pub(crate) test: TestFleet,
    pub(crate) config: PathBuf,
}

/// A primary and a pooler with few connections.
pub(crate) fn pooled(pool_size: u32) -> LabOptions {
    let mut options = testing::small(15);
    options.pooler = true;
    options.pool_size = pool_size;
    options
}

impl Stage {
    /// Starts it; `None` where a part is not installed and the run does not demand all.
    pub(crate) async fn new(options: LabOptions) -> Option<Self> {
        let test = testing::fleet(options).await?;
        let config = muster::cli::up::write_config(&test.fleet, None).expect("writes");
        let stage = Self { test, config };
        stage.edit(|text| format!("listen: 127.0.0.1:0\n{text}"));
        Some(stage)
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.test.fleet
    }

    /// Changes the config.
    pub(crate) fn edit(&self, change: impl Fn(String) -> String) {
        let text = std::fs::read_to_string(&self.config).expect("reads");
        std::fs::write(&self.config, change(text)).expect("writes");
    }

    /// Lets one person ask and approve.
    pub(crate) fn alone(&self) {
        self.edit(|t| t.replace("policy:\n", "policy:\n  solo: true\n"));
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.fleet().dir.join("state")
    }

    pub(crate) async fn muster(&self, args: &[&str]) -> Said {
        muster(Some(&self.config), args).await
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) async fn daemon(&self, env: &[(&str, String)]) -> Daemon {
        let mut daemon = self.process(&["watch"], env);
        daemon.address = daemon.says("the page is at http://").await;
        daemon
    }

    /// Starts a daemon that waits for the one that has the state.
    pub(crate) async fn standby(&self) -> Daemon {
        let daemon = self.process(&["watch", "--standby"], &[]);
        let ready = in_time(async || {
            let said = daemon.said();
            (said.contains("standing by") || said.contains("muster watches")).then_some(())
        });
        assert!(
            ready.await.is_some(),
            "it neither stands by nor watches: {}",
            daemon.said()
        );
        daemon
    }

    fn process(&self, args: &[&str], env: &[(&str, String)]) -> Daemon {
        let log = self
            .fleet()
            .dir
            .join(format!("watch-{}.log", rand::random::<u32>()));
        let file = std::fs::File::create(&log).expect("log");
        let mut command = command(Some(&self.config), args);
        command.envs(env.iter().map(|(k, v)| (*k, v.as_str())));
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("starts");
        Daemon {
            child,
            log,
            address: String::new(),
        }
    }
}

/// A running `muster watch`.
pub(crate) struct Daemon {
    pub(crate) child: tokio::process::Child,
    log: PathBuf,
    /// `host:port` of its page.
    pub(crate) address: String,
}

impl Daemon {
    /// Everything that it wrote to standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What comes after these words, up to a slash or the end of the line, once it has said them.
    pub(crate) async fn says(&self, words: &str) -> String {
        until(words, async || {
            let text = self.said();
            let rest = text.split(words).nth(1)?;
            Some(rest.split(['/', '\n']).next()?.to_owned())
        })
        .await
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().expect("runs")).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("signals");
    }

    /// Its exit code; `None` when it was killed.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let wait = tokio::time::timeout(Duration::from_secs(40), self.child.wait());
        wait.await.expect("ends in time").expect("waits").code()
    }

    /// Speaks HTTP to its page.
    pub(crate) async fn http(&self, head: &str, body: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.address)
            .await
            .expect("connects");
        let text = format!(
            "{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.expect("writes");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        let _ = read.await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or_default();
        (status, answer)
    }

    /// What happened, one line an entry, and the end of its log: for a test that fails.
    pub(crate) async fn story(&self, stage: &Stage) -> String {
        let journal = stage.muster(&["journal", "export"]).await;
        let entries: Vec<Value> = journal
            .out
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        let said = self.said();
        let tail: Vec<&str> = said.lines().rev().take(30).collect();
        format!(
            "{}\n{}",
            told(&entries),
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }

    /// The page.
    pub(crate) async fn page(&self) -> String {
        let (status, text) = self
            .http(&format!("GET / HTTP/1.1\r\nHost: {}", self.address), "")
            .await;
        assert_eq!(status, 200, "{text}");
        text
    }
}

/// What a journal says, one line an entry: for a test that fails.
pub(crate) fn told(journal: &[Value]) -> String {
    let line = |e: &Value| {
        let event: String = e["event"].to_string().chars().take(300).collect();
        format!("{} {} {} {event}", e["seq"], e["at"], e["place"]["step"])
    };
    journal.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Asks until there is an answer, for at most two minutes.
pub(crate) async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    match in_time(ask).await {
        Some(answer) => answer,
        None => panic!("not in two minutes: {what}"),
    }
}

/// Asks until there is an answer; `None` after two minutes without one.
pub(crate) async fn in_time<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_mins(2);
    let mut tick = tokio::time::interval(Duration::from_millis(150));
    loop {
        tick.tick().await;
        // A whole pause after each answer: most questions start a process, and many tests ask at once.
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        tick.reset();
    }
}

/// The newest run, once it is in a state.
pub(crate) async fn run_in(stage: &Stage, state: &str) -> Value {
    until(&format!("a run that is {state}"), async || {
        let runs = stage.muster(&["runs", "list", "--json"]).await;
        let runs: Value = serde_json::from_str(&runs.out).ok()?;
        let all = runs.as_array()?.clone();
        all.into_iter()
            .rev()
            .find(|r| r["state"]["state"] == state || r["state"] == state)
    })
    .await
}
