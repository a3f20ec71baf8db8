//! Running a program for its output: an argument vector, a time-out, a bound on what is kept.
//!
//! It runs in a group of its own, and the whole group ends with the time-out: what a command started does not stay behind.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Lack;

/// Which part of a long output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its beginning; the program is ended when there is more.
    Head,
    /// Its end.
    Tail,
}

/// How much a program may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// Most bytes that are kept, of each of its two outputs.
    pub(crate) most: usize,
    /// Which.
    pub(crate) keep: Keep,
}

/// What a program said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The name of the program.
    pub(crate) program: String,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
    /// Exit code; `None` when it was ended.
    pub(crate) code: Option<i32>,
    /// Whether something was left out.
    pub(crate) cut: bool,
    /// Whether it was ended because it took too long.
    pub(crate) late: Option<Duration>,
}

impl Said {
    /// Why its answer is none, or not whole; too long an output is `cut` and no trouble.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<Lack> {
        if let Some(limit) = self.late {
            let reason = format!("`{}` was ended after {} s", self.program, limit.as_secs_f64());
            return Some(Lack::new(
                reason,
                Some("give it a longer `timeout`, or let it do less"),
            ));
        }
        match self.code {
            Some(0) => None,
            None if self.cut => None,
            code => {
                let last = self
                    .err
                    .lines()
                    .rev()
                    .find(|l| !l.trim().is_empty())
                    .unwrap_or("");
                let said = if last.is_empty() {
                    String::new()
                } else {
                    format!(": {}", last.chars().take(300).collect::<String>())
                };
                let how = code.map_or_else(
                    || "was ended by a signal".to_owned(),
                    |c| format!("left with {c}"),
                );
                Some(Lack::new(
                    format!("`{}` {how}{said}", self.program),
                    Some("run it by hand, as Muster's user"),
                ))
            }
        }
    }
}

/// Ends the group when it is dropped: also when nobody waits any more.
struct Group(Option<Pid>);

impl Group {
    fn end(&mut self) {
        if let Some(pid) = self.0.take() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs it.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn run(argv: &[String], dir: Option<&Path>, limits: Limits) -> Result<Said, Lack> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(Lack::new(
            "the command is empty",
            Some("give it a program and its arguments"),
        ));
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let mut child = command.spawn().map_err(|e| {
        let absent = e.kind() == std::io::ErrorKind::NotFound;
        let remedy = if absent {
            "install it on this machine, or name it by its whole path"
        } else {
            "let Muster's user run it"
        };
        let why = if absent {
            "there is no such program".to_owned()
        } else {
            e.to_string()
        };
        Lack::new(format!("`{program}` cannot be started: {why}"), Some(remedy))
    })?;
    let pid = child
        .id()
        .and_then(|p| i32::try_from(p).ok())
        .and_then(Pid::from_raw);
    let mut group = Group(pid);
    let (mut out, mut err) = (Kept::new(limits), Kept::new(limits));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        tokio::join!(out.take(stdout), err.take(stderr));
        if out.full || err.full {
            return None;
        }
        child.wait().await.ok()
    };
    let ended = tokio::time::timeout(limits.timeout, work).await;
    group.end();
    let (late, code) = match ended {
        Err(_) => (Some(limits.timeout), None),
        Ok(status) => (None, status.and_then(|s| s.code())),
    };
    // A child that was ended is still to be reaped.
    let _ = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
    Ok(Said {
        program: program.clone(),
        code,
        cut: out.cut || err.cut,
        late,
        out: out.text(),
        err: err.text(),
    })
}

struct Kept {
    bytes: Vec<u8>,
    limits: Limits,
    cut: bool,
    full: bool,
}

impl Kept {
    fn new(limits: Limits) -> Self {
        Self {
            bytes: Vec::new(),
            limits,
            cut: false,
            full: false,
        }
    }

    async fn take(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n) = from.read(&mut buffer).await {
            if n == 0 {
                return;
            }
            self.bytes.extend_from_slice(&buffer[..n]);
            let most = self.limits.most;
            match self.limits.keep {
                Keep::Head if self.bytes.len() > most => {
                    self.bytes.truncate(most);
                    (self.cut, self.full) = (true, true);
                    return;
                }
                // Only now and then: moving everything for each read would be slow.
                Keep::Tail if self.bytes.len() > most * 2 + 64 * 1024 => self.shorten(),
                Keep::Head | Keep::Tail => {}
            }
        }
    }

    fn shorten(&mut self) {
        let over = self.bytes.len().saturating_sub(self.limits.most);
        if over > 0 {
            self.cut = true;
            self.bytes.drain(..over);
        }
    }

    fn text(mut self) -> String {
        if self.limits.keep == Keep::Tail {
            self.shorten();
        }
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).collect()
    }

    fn limits(ms: u64, most: usize, keep: Keep) -> Limits {
        Limits {
            timeout: Duration::from_millis(ms),
            most,
            keep,
        }
    }

    #[tokio::test]
    async fn a_program_that_is_absent_fails_or_takes_too_long_says_so() {
        let none = run(
            &argv(&["muster-no-such-program"]),
            None,
            limits(500, 10, Keep::Head),
        )
        .await;
        let none = none.expect_err("absent");
        assert!(
            none.reason.contains("no such program") && none.remedy.is_some(),
            "{none:?}"
        );
        let wrong = run(
            &argv(&["ls", "/muster/not/there"]),
            None,
            limits(9000, 1000, Keep::Head),
        )
        .await;
        let wrong = wrong.expect("runs").trouble().expect("a trouble");
        assert!(
            wrong.reason.contains("left with 2: ls: cannot access"),
            "{wrong:?}"
        );
        let began = std::time::Instant::now();
        // It starts another one, which must not stay behind with its outputs open.
        let long = argv(&["sh", "-c", "echo begun; sleep 77 & sleep 77"]);
        let late = run(&long, None, limits(700, 1000, Keep::Head))
            .await
            .expect("runs");
        assert!(late.trouble().expect("late").reason.contains("ended after 0.7 s"));
        assert_eq!(late.out, "begun\n", "what it said before is kept");
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn only_so_much_is_kept() {
        let count = argv(&["seq", "1", "100000"]);
        let head = run(&count, None, limits(9000, 4, Keep::Head))
            .await
            .expect("runs");
        assert_eq!(
            (head.out.as_str(), head.cut, head.trouble()),
            ("1\n2\n", true, None)
        );
        let tail = run(&count, None, limits(9000, 7, Keep::Tail))
            .await
            .expect("runs");
        assert_eq!((tail.out.as_str(), tail.cut), ("100000\n", true));
        let endless = run(&argv(&["yes"]), None, limits(9000, 2, Keep::Head))
            .await
            .expect("runs");
        assert!(endless.cut && endless.late.is_none());
    }
}
