//! Texts of `/proc` into numbers. Pure; a text that does not fit gives nothing.

use muster_model::Time;
use muster_model::snapshot::Pressure;

/// CPU time since the host started, in ticks of all CPUs, and what else `/proc/stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) busy: u64,
    pub(crate) stolen: u64,
    pub(crate) all: u64,
    pub(crate) cores: u32,
    pub(crate) running: u32,
    pub(crate) booted: Option<Time>,
}

/// `/proc/stat`.
pub(crate) fn cpu(text: &str) -> Option<Cpu> {
    let mut out = Cpu::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next()? {
            "cpu" => {
                // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
                let t: Vec<u64> = words.take(8).map_while(|w| w.parse().ok()).collect();
                let at = |i: usize| t.get(i).copied().unwrap_or(0);
                out.all = t.iter().sum();
                out.stolen = at(7);
                out.busy = out.all.saturating_sub(at(3) + at(4) + at(7));
            }
            word if word.starts_with("cpu") => out.cores += 1,
            "procs_running" => out.running = words.next()?.parse().ok()?,
            "btime" => {
                let seconds: i64 = words.next()?.parse().ok()?;
                out.booted = Some(Time::from_millis(seconds.saturating_mul(1000)));
            }
            _ => {}
        }
    }
    (out.cores > 0 && out.all > 0).then_some(out)
}

/// The first number of `/proc/loadavg`.
pub(crate) fn load(text: &str) -> Option<f64> {
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    load.is_finite().then_some(load)
}

/// A line `Name:   123 kB` of `/proc/meminfo` or `/proc/PID/status`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    number.checked_mul(1024)
}

/// `oom_kill` of `/proc/vmstat`.
pub(crate) fn oom_kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|l| l.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

/// The averages of a minute in the three files of `/proc/pressure`.
pub(crate) fn pressure(cpu: &str, io: &str, memory: &str) -> Option<Pressure> {
    let of = |text: &str, word: &str| -> Option<f64> {
        let line = text.lines().find(|l| l.starts_with(word))?;
        let value = line.split_whitespace().find_map(|w| w.strip_prefix("avg60="))?;
        value.parse().ok().filter(|v: &f64| v.is_finite())
    };
    Some(Pressure {
        cpu: of(cpu, "some")?,
        io: of(io, "some")?,
        io_full: of(io, "full")?,
        memory: of(memory, "some")?,
        memory_full: of(memory, "full")?,
    })
}

/// Parent and start time of `/proc/PID/stat`. The name in brackets may hold anything, so it is passed from its end.
pub(crate) fn parent(text: &str) -> Option<(i32, u64)> {
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Where a path is mounted, by `/proc/self/mountinfo`.
pub(crate) fn mount(text: &str, path: &str) -> Option<String> {
    let under = |point: &str| {
        point == "/" || path == point || path.strip_prefix(point).is_some_and(|r| r.starts_with('/'))
    };
    text.lines()
        .filter_map(|l| l.split(' ').nth(4))
        .map(|p| {
            p.replace("\\040", " ")
                .replace("\\011", "\t")
                .replace("\\134", "\\")
        })
        .filter(|p| under(p))
        .max_by_key(String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let stat = "cpu  100 0 50 800 40 5 5 10 7 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\nbtime 1795000000\nprocs_running 3\n";
        let cpu = cpu(stat).expect("cpu");
        assert_eq!(
            (cpu.busy, cpu.stolen, cpu.all, cpu.cores, cpu.running),
            (160, 10, 1010, 2, 3)
        );
        assert_eq!(load("0.50 0.40 0.30 1/200 4711\n"), Some(0.5));
        assert_eq!(
            kilobytes("MemTotal:  8000 kB\nMemAvailable:   100 kB\n", "MemAvailable"),
            Some(102_400)
        );
        assert_eq!(kilobytes("RssAnon:\t 12 kB\n", "Rss"), None);
        assert_eq!(oom_kills("oom_kill_disable 0\noom_kill 4\n"), Some(4));
        let some = "some avg10=1.00 avg60=2.50 avg300=3.00 total=9\n";
        let full = format!("{some}full avg10=0.00 avg60=0.75 avg300=0.00 total=1\n");
        let p = pressure(some, &full, &full).expect("pressure");
        assert!((p.cpu - 2.5).abs() < 1e-9 && (p.io_full - 0.75).abs() < 1e-9);
        let stat = format!("47 (a) b (c) S 1 {} 998877 0", ["0"; 17].join(" "));
        assert_eq!(parent(&stat), Some((1, 998_877)));
        let mounts = "1 0 8:1 / / rw - ext4 x rw\n2 1 8:2 / /srv/my\\040pg rw - xfs y rw\n3 1 8:3 / /srv rw - xfs z rw\n";
        assert_eq!(mount(mounts, "/srv/my pg/a").as_deref(), Some("/srv/my pg"));
        assert_eq!(mount(mounts, "/srvx").as_deref(), Some("/"));
    }
}
