//! A deadlock report into a circle of waits, and circles into shapes.
//!
//! Two deadlocks are one and the same mistake when modes, kinds of locked things and statements without literals agree,
//! wherever the circle begins. Refuses to keep the statements as they were: they are other people's data.

use muster_model::snapshot::DeadlockWait;
use muster_reach::redact;

use super::entry::Entry;

/// More processes than this in a circle nobody reads.
const MOST: usize = 32;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each waits for the next, the last for the first; begins with the smallest.
    pub cycle: Vec<DeadlockWait>,
    /// The processes, in the same order.
    pub processes: Vec<i32>,
    /// Relations that the context names.
    pub relations: Vec<String>,
}

/// Reads the DETAIL of `deadlock detected`; `None` when it holds no circle.
#[must_use]
pub fn read(entry: &Entry) -> Option<Report> {
    let detail = entry.detail.as_deref()?;
    let mut waits: Vec<(i32, i32, DeadlockWait)> = Vec::new();
    let mut statements: Vec<(i32, String)> = Vec::new();
    for line in detail.lines() {
        let Some((pid, rest)) = process(line) else {
            // A statement goes on.
            if let Some((_, text)) = statements.last_mut() {
                text.push('\n');
                text.push_str(line);
            }
            continue;
        };
        if let Some(text) = rest.strip_prefix(": ") {
            if statements.len() < MOST {
                statements.push((pid, text.to_owned()));
            }
        } else if let Some((by, wait)) = wait(rest)
            && statements.is_empty()
            && waits.len() < MOST
        {
            waits.push((pid, by, wait));
        }
    }
    for (pid, _, wait) in &mut waits {
        let said = statements.iter().find(|(p, _)| p == pid);
        wait.statement = said.map(|(_, sql)| redact::statement(sql));
    }
    let ordered = follow(&waits)?;
    let start = (0..ordered.len()).min_by_key(|i| {
        let turned: Vec<&DeadlockWait> = turn(&ordered, *i).map(|(_, w)| w).collect();
        turned
    })?;
    Some(Report {
        processes: turn(&ordered, start).map(|(pid, _)| *pid).collect(),
        cycle: turn(&ordered, start).map(|(_, w)| w.clone()).collect(),
        relations: relations(entry.context.as_deref().unwrap_or("")),
    })
}

fn turn(all: &[(i32, DeadlockWait)], start: usize) -> impl Iterator<Item = &(i32, DeadlockWait)> {
    all[start..].iter().chain(&all[..start])
}

/// The waits in the order in which one blocks the next, when they form a circle.
fn follow(waits: &[(i32, i32, DeadlockWait)]) -> Option<Vec<(i32, DeadlockWait)>> {
    let first = waits.first()?;
    let mut out = vec![(first.0, first.2.clone())];
    let mut by = first.1;
    while by != first.0 {
        let next = waits.iter().find(|w| w.0 == by)?;
        if out.len() >= waits.len() {
            return None;
        }
        out.push((next.0, next.2.clone()));
        by = next.1;
    }
    Some(out)
}

/// `Process 18 …` and what follows the number.
fn process(line: &str) -> Option<(i32, &str)> {
    let rest = line.strip_prefix("Process ")?;
    let long = rest.bytes().take_while(u8::is_ascii_digit).count();
    let pid = rest[..long].parse().ok()?;
    let rest = &rest[long..];
    (rest.starts_with(": ") || rest.starts_with(" waits for ")).then_some((pid, rest))
}

/// ` waits for ShareLock on transaction 571; blocked by process 19.`
fn wait(rest: &str) -> Option<(i32, DeadlockWait)> {
    let (mode, rest) = rest.strip_prefix(" waits for ")?.split_once(" on ")?;
    let (on, by) = rest.split_once("; blocked by process ")?;
    let long = by.bytes().take_while(u8::is_ascii_digit).count();
    let wait = DeadlockWait {
        mode: mode.to_owned(),
        on: kind(on),
        statement: None,
    };
    Some((by[..long].parse().ok()?, wait))
}

/// What is locked, without the numbers that differ each time.
fn kind(on: &str) -> String {
    let after = |words: &str| {
        let (_, rest) = on.split_once(words)?;
        Some(rest.split(' ').next().unwrap_or(rest).to_owned())
    };
    let relation = after("relation ").filter(|oid| oid.bytes().all(|b| b.is_ascii_digit()));
    let first = on.split([' ', '[']).next().unwrap_or("");
    match (first, relation) {
        ("relation", Some(oid)) => format!("relation {oid}"),
        ("extension", Some(oid)) => format!("extension of relation {oid}"),
        ("tuple", Some(oid)) => format!("tuple of relation {oid}"),
        ("page", Some(oid)) => format!("page of relation {oid}"),
        ("virtual", _) => "virtual transaction".to_owned(),
        ("speculative", _) => "speculative token".to_owned(),
        ("object", _) => format!("object of class {}", after(" of class ").unwrap_or_default()),
        ("advisory", _) => "advisory lock".to_owned(),
        ("user", _) => "user lock".to_owned(),
        (other, _) => other.chars().take(40).collect(),
    }
}

/// Names in `while updating tuple (0,1) in relation "notes"`.
fn relations(context: &str) -> Vec<String> {
    let mut out: Vec<String> = context
        .split("in relation \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|name| name.chars().take(130).collect())
        .collect();
    out.sort();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use muster_model::snapshot::LogLevel;
    use proptest::prelude::*;

    use super::*;

    fn entry(detail: &str) -> Entry {
        let mut e = Entry::new(LogLevel::Error);
        e.message = "deadlock detected".into();
        e.detail = Some(detail.to_owned());
        e.context = Some("while updating tuple (0,1) in relation \"notes\"".to_owned());
        e
    }

    fn two(a: i32, b: i32, id: i32) -> String {
        format!(
            "Process {a} waits for ShareLock on transaction 57{id}; blocked by process {b}.\n\
             Process {b} waits for ShareLock on transaction 58{id}; blocked by process {a}.\n\
             Process {a}: update notes\nset views = {id} where id = 1\n\
             Process {b}: update notes set title = 'secret {id}'\n where id = 2"
        )
    }

    #[test]
    fn the_same_mistake_has_one_shape_wherever_it_begins() {
        let one = read(&entry(&two(18, 19, 1))).expect("read");
        let other = read(&entry(&two(7, 5, 2))).expect("read");
        assert_eq!(one.cycle, other.cycle);
        assert_eq!(one.relations, ["notes"]);
        assert_eq!(
            (one.processes.len(), one.cycle[0].on.as_str()),
            (2, "transaction")
        );
        let said = format!("{one:?}");
        assert!(
            said.contains("set title = ?") && said.contains("set views = ?") && !said.contains("secret"),
            "{said}"
        );

        let turned = two(18, 19, 1).replace("set title", "set body");
        assert_ne!(read(&entry(&turned)).expect("read").cycle, one.cycle);
    }

    #[test]
    fn a_circle_of_three_over_other_locks_is_followed_in_its_order() {
        let detail = "Process 1 waits for AccessExclusiveLock on relation 16400 of database 5; blocked by process 3.\n\
            Process 2 waits for ExclusiveLock on tuple (0,7) of relation 16400 of database 5; blocked by process 1.\n\
            Process 3 waits for ExclusiveLock on advisory lock [5,0,42,1]; blocked by process 2.";
        let report = read(&entry(detail)).expect("read");
        let on: Vec<&str> = report.cycle.iter().map(|w| w.on.as_str()).collect();
        assert_eq!(on, ["relation 16400", "advisory lock", "tuple of relation 16400"]);
        assert_eq!(report.processes, [1, 3, 2]);
    }

    #[test]
    fn what_is_no_circle_is_no_report() {
        for detail in [
            "",
            "Process 1 waits for ShareLock on transaction 5; blocked by process 2.",
            "Process 1 waits for ShareLock on transaction 5; blocked by process 2.\n\
             Process 2 waits for ShareLock on transaction 5; blocked by process 3.\n\
             Process 3 waits for ShareLock on transaction 5; blocked by process 2.",
        ] {
            assert_eq!(read(&entry(detail)), None, "{detail}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(detail in "(Process [0-9]{1,3}( waits for [A-Za-z]{1,9} on [a-z0-9 ]{1,9}; blocked by process [0-9]{1,2}\\.|: .{0,9})\n|.{0,20}\n){0,9}") {
            let _ = read(&entry(&detail));
        }
    }
}
