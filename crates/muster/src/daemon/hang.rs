//! Ends a daemon that lost the state and hangs in the middle of writing the journal: nobody else can write it before that.
//!
//! It does not act any more: its lease is over, and a statement that is under way ends with the lease. Dying loses nothing either:
//! that is what a kill at any append of the journal must not do.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Ends who wrote itself into the lock of a state folder and has that very file open; nobody else.
pub fn end(state_dir: &Path) {
    let lock = state_dir.join("lock");
    let text = std::fs::read_to_string(&lock).unwrap_or_default();
    let number: Option<i32> = text.lines().next().and_then(|l| l.parse().ok());
    let Some(pid) = number.and_then(Pid::from_raw) else {
        return;
    };
    // First a handle on the process, then the look: in between the number cannot become somebody else's.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    if pid == rustix::process::getpid() || !has_open(pid, &lock) {
        let journal = state_dir.join("journal.db");
        tracing::error!(journal = %journal.display(), "some process keeps the journal locked and does not get on; find it (`fuser` names it) and end it by hand");
        return;
    }
    tracing::error!(%pid, "a Muster that lost this state hangs in the middle of writing the journal; it is ended, so that this one can go on");
    if let Err(e) = pidfd_send_signal(&handle, Signal::KILL) {
        tracing::error!(%pid, error = %e, "it cannot be ended: end it by hand");
    }
}

/// Whether a process has this very file open.
fn has_open(pid: Pid, file: &Path) -> bool {
    let Ok(wanted) = std::fs::metadata(file) else {
        return false;
    };
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd"));
    fds.into_iter().flatten().flatten().any(|fd| {
        std::fs::metadata(fd.path()).is_ok_and(|m| (m.dev(), m.ino()) == (wanted.dev(), wanted.ino()))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_who_has_the_lock_open_is_ended() {
        let dir = tempfile::tempdir().expect("dir");
        let lock = dir.path().join("lock");
        let mut file = std::fs::File::create(&lock).expect("makes");
        let stranger = || Command::new("cat").stdin(Stdio::piped()).spawn().expect("starts");
        let mut other = stranger();
        writeln!(file, "{}\nm-other", other.id()).expect("writes");
        end(dir.path());
        assert!(
            other.try_wait().expect("waits").is_none(),
            "it has nothing to do with this state"
        );
        other.kill().expect("ends");
        other.wait().expect("ended");
        // One that has it open, as a daemon does.
        let open = std::fs::File::open(&lock).expect("opens");
        let mut holder = Command::new("sh")
            .args(["-c", "exec 3<&1; read line"])
            .stdin(Stdio::piped())
            .stdout(open)
            .spawn()
            .expect("starts");
        let mut file = std::fs::File::create(&lock).expect("same file");
        writeln!(file, "{}\nm-holder", holder.id()).expect("writes");
        end(dir.path());
        assert!(!holder.wait().expect("ended").success());
    }
}
