//! What a Redis says of itself: INFO, the newest entries of its slow log, LATENCY LATEST, and three of its settings.
//!
//! It looks at no key and follows no traffic. What an ACL forbids is a gap, and is not asked again for a minute: each
//! refusal would stand in the ACL log.

use std::collections::BTreeMap;

use muster_model::snapshot::{
    CacheClients, CacheCounters, CacheMemory, CachePersistence, CacheReplica, CacheReplication, CacheStats,
    Gap, LatencyEvent, SlowCommand,
};
use muster_model::{Span, Time};
use muster_reach::cache::{LatencyRow, SlowEntry};
use muster_reach::error::Trouble;
use muster_reach::{Cache, ReachError};

use super::CollectorInfo;
use crate::ring::Ring;
use crate::row::Offset;

/// For the reference.
pub const INFO: CollectorInfo = CollectorInfo {
    name: "cache",
    about: "What a Redis says of itself: lookups, evictions, refusals and commands as counters of a minute; memory and policy, \
            clients, replication, whether what it holds is saved, its newest slow commands (names only), latency events.",
    reads: "INFO, SLOWLOG GET, LATENCY LATEST, CONFIG GET of save, stop-writes-on-bgsave-error and maxclients; never a key",
    needs: "a password where one is set; with an ACL +info +slowlog|get +latency|latest +config|get",
    cadence: "2 s; 1 s while it does not answer",
    gap: "everything about the cache, or what the ACL forbids",
};

/// Entries of the slow log that are kept.
const SLOW_ENTRIES: u32 = 20;
/// A stretch of evictions that rests for longer than this is over.
const REST: Span = Span::from_secs(10);
/// Fewer keys than this vanish without anybody having cleared anything.
const FEW_KEYS: u64 = 100;
/// What is asked rarely.
const RARELY: Span = Span::from_secs(60);
/// What INFO must say to be believed.
const NEEDED: [&str; 6] = [
    "run_id",
    "uptime_in_seconds",
    "keyspace_hits",
    "evicted_keys",
    "used_memory",
    "maxmemory_policy",
];

/// What a look asks beyond INFO.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    slow: bool,
    newest: Option<u64>,
    latency: bool,
    settings: bool,
}

/// What was answered to one question.
#[derive(Clone, Debug, PartialEq)]
enum Said<T> {
    NotAsked,
    Refused,
    Value(T),
}

impl<T> Said<T> {
    /// A refusal is an answer; anything else that fails, fails the look.
    fn from(answer: Result<T, ReachError>) -> Result<Self, ReachError> {
        match answer {
            Ok(value) => Ok(Self::Value(value)),
            Err(e) if matches!(e.trouble, Trouble::Privilege | Trouble::Statement) => Ok(Self::Refused),
            Err(e) => Err(e),
        }
    }
}

/// Settings that INFO does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    saves: Option<bool>,
    refuses_writes: Option<bool>,
    max_clients: Option<u64>,
}

/// One look.
pub(crate) struct Look {
    info: BTreeMap<String, String>,
    slow: Said<Vec<SlowEntry>>,
    latency: Said<Vec<LatencyRow>>,
    settings: Said<Shown>,
}

impl Look {
    /// A line of INFO.
    pub(crate) fn said(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }
}

/// What is remembered of a Redis.
#[derive(Default)]
pub(crate) struct Memory {
    ring: Ring<CacheCounters>,
    last: Option<(String, CacheCounters, u64)>,
    cleared_at: Option<Time>,
    evicting: Option<(Time, Time)>,
    newest: Option<u64>,
    slow_seen: u64,
    slow: Option<Vec<SlowCommand>>,
    latency: Option<Vec<LatencyEvent>>,
    shown: Option<Shown>,
    asked_rarely: Option<Time>,
    refused: Vec<&'static str>,
}

impl Memory {
    /// What the next look shall ask.
    pub(crate) fn wants(&self, now: Time, all: bool) -> Wants {
        let rarely = all || self.asked_rarely.is_none_or(|t| now.since(t) >= RARELY);
        let may = |what: &str| rarely || !self.refused.contains(&what);
        Wants {
            slow: may("slowlog|get"),
            newest: self.newest,
            latency: may("latency|latest"),
            settings: rarely,
        }
    }

    /// Makes of a look what it says, and what it lacks.
    pub(crate) fn takes(
        &mut self,
        look: &Look,
        now: Time,
        cache: &Cache,
    ) -> (Option<CacheStats>, Option<Gap>) {
        let offset = number(&look.info, "server_time_usec")
            .and_then(|t| i64::try_from(t).ok())
            .map_or_else(Offset::default, |t| Offset::between(t, now));
        self.remembers(look, now, offset);
        let lacking: Vec<&str> = NEEDED
            .into_iter()
            .filter(|key| !look.info.contains_key(*key))
            .collect();
        if !lacking.is_empty() {
            let reason = format!("INFO does not say {}", lacking.join(", "));
            return (None, Some(gap(cache, reason, None)));
        }
        let gap = (!self.refused.is_empty()).then(|| {
            let reason = format!(
                "user {} may not ask for {}",
                cache.user(),
                self.refused.join(", ")
            );
            let remedy = format!("ACL SETUSER {} +{}", cache.user(), self.refused.join(" +"));
            gap(cache, reason, Some(remedy))
        });
        (Some(self.stats(&look.info, now, offset)), gap)
    }

    /// It is gone, or lets us ask nothing: what was seen of the present is not the present any more.
    pub(crate) fn forgets(&mut self) {
        self.evicting = None;
    }

    fn remembers(&mut self, look: &Look, now: Time, offset: Offset) {
        let time = |secs: i64| offset.ours(secs.saturating_mul(1_000_000));
        let mut answered = |what: &'static str, refused: Option<bool>| match refused {
            Some(true) if !self.refused.contains(&what) => self.refused.push(what),
            Some(false) => self.refused.retain(|r| *r != what),
            _ => {}
        };
        answered("slowlog|get", refused(&look.slow));
        answered("latency|latest", refused(&look.latency));
        answered("config|get", refused(&look.settings));
        match &look.slow {
            Said::Value(entries) => {
                let newest = entries.first().map(|e| e.id);
                // One entry is all that is asked for while nothing new came.
                if newest != self.newest || self.slow.is_none() {
                    if let Some(last) = self.newest {
                        self.slow_seen += newest.map_or(0, |n| n.saturating_sub(last));
                    } else if self.slow.is_some() {
                        self.slow_seen += entries.len() as u64;
                    }
                    self.newest = newest.or(self.newest);
                    let command = |e: &SlowEntry| SlowCommand {
                        id: e.id,
                        at: time(e.at_secs),
                        took_us: e.took_us,
                        command: e.command.clone(),
                    };
                    self.slow = Some(entries.iter().map(command).collect());
                }
            }
            Said::Refused => self.slow = None,
            Said::NotAsked => {}
        }
        match &look.latency {
            Said::Value(rows) => {
                let event = |r: &LatencyRow| LatencyEvent {
                    event: r.event.clone(),
                    at: time(r.at_secs),
                    latest_ms: r.latest_ms,
                    longest_ms: r.longest_ms,
                };
                self.latency = Some(rows.iter().map(event).collect());
            }
            Said::Refused => self.latency = None,
            Said::NotAsked => {}
        }
        match &look.settings {
            Said::Value(shown) => self.shown = Some(shown.clone()),
            Said::Refused => self.shown = None,
            Said::NotAsked => {}
        }
        if look.settings != Said::NotAsked {
            self.asked_rarely = Some(now);
        }
    }

    fn stats(&mut self, info: &BTreeMap<String, String>, now: Time, offset: Offset) -> CacheStats {
        let count = |key: &str| number(info, key).unwrap_or(0);
        let text = |key: &str| info.get(key).cloned().unwrap_or_default();
        let run_id = text("run_id");
        let (keys, expiring) = keyspace(info);
        let counters = CacheCounters {
            hits: count("keyspace_hits"),
            misses: count("keyspace_misses"),
            evicted: count("evicted_keys"),
            expired: count("expired_keys"),
            rejected: count("rejected_connections"),
            commands: count("total_commands_processed"),
            out_of_memory: errors(info, "OOM"),
            misconfigured: errors(info, "MISCONF"),
            slow: self.slow_seen,
        };
        // Asked of every look: the ring keeps not all of them, and a reset may lie between two that it keeps.
        if self.watches(&run_id, counters, keys, now) {
            self.ring = Ring::default();
        }
        let counted = self.ring.take(now, counters, |_, _| false);
        let shown = self.shown.clone().unwrap_or_default();
        CacheStats {
            started_at: now.minus(Span::from_secs(count("uptime_in_seconds"))),
            cleared_at: self.cleared_at,
            evicting_since: self.evicting.map(|(since, _)| since),
            counted,
            commands_per_second: count("instantaneous_ops_per_sec"),
            keys,
            expiring,
            memory: CacheMemory {
                used: count("used_memory").saturating_sub(count("mem_not_counted_for_evict")),
                max: count("maxmemory"),
                policy: text("maxmemory_policy"),
                resident: count("used_memory_rss"),
                fragmentation: info.get("mem_fragmentation_ratio").and_then(|v| v.parse().ok()),
            },
            clients: CacheClients {
                connected: count("connected_clients"),
                max: number(info, "maxclients").or(shown.max_clients),
                blocked: count("blocked_clients"),
            },
            replication: replication(info, now),
            persistence: CachePersistence {
                snapshot_ok: text("rdb_last_bgsave_status") != "err",
                saved_at: number(info, "rdb_last_save_time")
                    .and_then(|t| i64::try_from(t).ok())
                    .map(|t| offset.ours(t.saturating_mul(1_000_000))),
                unsaved: count("rdb_changes_since_last_save"),
                saves: shown.saves,
                refuses_writes: shown.refuses_writes,
                append_only: text("aof_enabled") == "1",
                append_ok: text("aof_last_write_status") != "err",
                rewrite_ok: text("aof_last_bgrewrite_status") != "err",
            },
            slow: self.slow.clone(),
            latency: self.latency.clone(),
        }
    }

    /// What only two looks together show: a clearing, a stretch of evictions, and (the answer) that all began anew.
    fn watches(&mut self, run_id: &str, counters: CacheCounters, keys: u64, now: Time) -> bool {
        let before = self.last.replace((run_id.to_owned(), counters, keys));
        let Some((_, then, had)) =
            before.filter(|(run, then, _)| run == run_id && !began_anew(then, &counters))
        else {
            self.evicting = None;
            self.cleared_at = None;
            return true;
        };
        let evicted = counters.evicted - then.evicted;
        // What was thrown out for want of memory was not cleared by anybody.
        let vanished = had.saturating_sub(keys).saturating_sub(evicted);
        if had >= FEW_KEYS && vanished * 2 > had {
            self.cleared_at = Some(now);
        }
        if evicted > 0 {
            self.evicting = Some((self.evicting.map_or(now, |(since, _)| since), now));
        } else if self.evicting.is_some_and(|(_, last)| now.since(last) > REST) {
            self.evicting = None;
        }
        false
    }
}

/// Asks.
pub(crate) async fn read(cache: &Cache, wants: Wants) -> Result<Look, ReachError> {
    let info = cache.info().await?;
    let mut look = Look {
        slow: Said::NotAsked,
        latency: Said::NotAsked,
        settings: Said::NotAsked,
        info,
    };
    if wants.slow {
        look.slow = Said::from(cache.slow_log(1).await)?;
        if let Said::Value(newest) = &look.slow
            && newest.first().is_some_and(|e| Some(e.id) != wants.newest)
        {
            look.slow = Said::from(cache.slow_log(SLOW_ENTRIES).await)?;
        }
    }
    if wants.latency {
        look.latency = Said::from(cache.latency().await)?;
    }
    if wants.settings {
        look.settings = Said::from(settings(cache, &look.info).await)?;
    }
    Ok(look)
}

async fn settings(cache: &Cache, info: &BTreeMap<String, String>) -> Result<Shown, ReachError> {
    let mut shown = Shown {
        saves: cache.setting("save").await?.map(|v| !v.trim().is_empty()),
        refuses_writes: cache
            .setting("stop-writes-on-bgsave-error")
            .await?
            .map(|v| v == "yes"),
        max_clients: None,
    };
    if !info.contains_key("maxclients") {
        shown.max_clients = cache.setting("maxclients").await?.and_then(|v| v.parse().ok());
    }
    Ok(shown)
}

fn gap(cache: &Cache, reason: String, remedy: Option<String>) -> Gap {
    Gap {
        collector: INFO.name.to_owned(),
        target: cache.address.clone(),
        reason,
        remedy,
    }
}

/// Whether it was refused; absent when it was not asked.
fn refused<T>(said: &Said<T>) -> Option<bool> {
    match said {
        Said::NotAsked => None,
        Said::Refused => Some(true),
        Said::Value(_) => Some(false),
    }
}

/// A restart is told by the run id; counters that fell without one were reset.
fn began_anew(a: &CacheCounters, b: &CacheCounters) -> bool {
    b.hits < a.hits || b.misses < a.misses || b.evicted < a.evicted || b.commands < a.commands
}

fn number(info: &BTreeMap<String, String>, key: &str) -> Option<u64> {
    info.get(key).and_then(|v| v.parse().ok())
}

/// A field of a line such as `keys=5,expires=2,avg_ttl=0`.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(',')
        .filter_map(|pair| pair.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v)
}

/// `errorstat_OOM:count=3`: how often this was answered. A kind that never occurred is not listed.
fn errors(info: &BTreeMap<String, String>, kind: &str) -> u64 {
    info.get(&format!("errorstat_{kind}"))
        .and_then(|line| field(line, "count")?.parse().ok())
        .unwrap_or(0)
}

/// Keys of all databases, and those of them that expire.
fn keyspace(info: &BTreeMap<String, String>) -> (u64, u64) {
    let lines = info.iter().filter(|(key, _)| {
        let of_database = key.strip_prefix("db");
        of_database.is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
    });
    lines.fold((0, 0), |(keys, expiring), (_, line)| {
        let of = |key: &str| field(line, key).and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        (keys + of("keys"), expiring + of("expires"))
    })
}

fn replication(info: &BTreeMap<String, String>, now: Time) -> CacheReplication {
    let replica = info.get("role").is_some_and(|r| r == "slave");
    let link_up = info.get("master_link_status").map(|s| s == "up");
    // -1, which is no such number, says that it was never up.
    let down_for = number(info, "master_link_down_since_seconds").filter(|_| link_up == Some(false));
    let master = info.get("master_host").zip(info.get("master_port"));
    CacheReplication {
        replica,
        master: master
            .filter(|_| replica)
            .map(|(host, port)| format!("{host}:{port}")),
        link_up: link_up.filter(|_| replica),
        down_since: down_for.map(|s| now.minus(Span::from_secs(s))),
        offset: number(
            info,
            if replica {
                "slave_repl_offset"
            } else {
                "master_repl_offset"
            },
        )
        .unwrap_or(0),
        replicas: (0..)
            .map_while(|n| info.get(&format!("slave{n}")))
            .map(|line| {
                let of = |key: &str| field(line, key).unwrap_or_default();
                CacheReplica {
                    address: format!("{}:{}", of("ip"), of("port")),
                    state: of("state").to_owned(),
                    offset: of("offset").parse().unwrap_or(0),
                }
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|l| l.trim().split_once(':'))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    fn at(secs: i64) -> Time {
        Time::from_millis(secs * 1000)
    }

    fn said(run: &str, hits: u64, evicted: u64, keys: u64) -> BTreeMap<String, String> {
        info(&format!(
            "run_id:{run}\nuptime_in_seconds:500\nkeyspace_hits:{hits}\nkeyspace_misses:1\nevicted_keys:{evicted}\n\
             used_memory:900\nmem_not_counted_for_evict:100\nmaxmemory:1000\nmaxmemory_policy:allkeys-lru\n\
             db0:keys={keys},expires=2,avg_ttl=0\ndb3:keys=1,expires=0,avg_ttl=0\nerrorstat_OOM:count=4"
        ))
    }

    #[test]
    fn lines_are_read_as_redis_writes_them() {
        let mut memory = Memory::default();
        let stats = memory.stats(&said("r", 10, 0, 4), at(1000), Offset::default());
        assert_eq!((stats.keys, stats.expiring), (5, 2));
        assert_eq!(stats.memory.used, 800, "buffers do not count against the limit");
        assert_eq!(stats.counted.now.out_of_memory, 4);
        assert_eq!(stats.started_at, at(500));
        let replica = replication(
            &info(
                "role:slave\nmaster_host:h\nmaster_port:6379\nmaster_link_status:down\n\
                 master_link_down_since_seconds:12\nslave_repl_offset:70",
            ),
            at(100),
        );
        assert_eq!(
            (replica.link_up, replica.down_since, replica.master.as_deref()),
            (Some(false), Some(at(88)), Some("h:6379"))
        );
        let master = replication(
            &info("role:master\nmaster_repl_offset:9\nslave0:ip=::1,port=1,state=online,offset=7,lag=0"),
            at(100),
        );
        assert!(!master.replica && master.link_up.is_none() && master.offset == 9);
        assert_eq!(
            (master.replicas[0].address.as_str(), master.replicas[0].offset),
            ("::1:1", 7)
        );
    }

    #[test]
    fn counters_begin_anew_with_a_restart_and_with_a_reset() {
        let mut memory = Memory::default();
        let mut hits = |run: &str, hits: u64, second: i64| {
            let stats = memory.stats(&said(run, hits, 0, 4), at(second), Offset::default());
            stats.counted.in_a_minute(|c| c.hits).map(|g| g.by)
        };
        assert_eq!(hits("r", 10, 1), None);
        assert_eq!(hits("r", 30, 3), Some(20));
        assert_eq!(hits("s", 90, 5), None, "another run");
        assert_eq!(hits("s", 95, 7), Some(5));
        assert_eq!(hits("s", 2, 9), None, "a reset");
    }

    #[test]
    fn a_stretch_of_evictions_has_a_beginning_and_an_end() {
        let mut memory = Memory::default();
        let mut since = |evicted: u64, second: i64| {
            let stats = memory.stats(&said("r", 10, evicted, 4), at(second), Offset::default());
            stats.evicting_since
        };
        assert_eq!(since(5, 0), None, "what was before is no stretch");
        assert_eq!(since(6, 2), Some(at(2)));
        assert_eq!(since(9, 4), Some(at(2)));
        assert_eq!(since(9, 12), Some(at(2)), "a short rest");
        assert_eq!(since(9, 16), None, "over");
        assert_eq!(since(10, 18), Some(at(18)));
    }

    #[test]
    fn a_clearing_is_seen_and_an_eviction_is_none() {
        let mut memory = Memory::default();
        let mut cleared = |evicted: u64, keys: u64, second: i64| {
            memory
                .stats(&said("r", 10, evicted, keys), at(second), Offset::default())
                .cleared_at
        };
        assert_eq!(cleared(0, 1000, 0), None);
        assert_eq!(cleared(900, 100, 2), None, "evicted, not cleared");
        assert_eq!(cleared(900, 1000, 4), None);
        assert_eq!(cleared(900, 0, 6), Some(at(6)));
        assert_eq!(cleared(900, 50, 8), Some(at(6)));
    }

    #[test]
    fn what_is_refused_is_asked_again_only_after_a_minute() {
        let look = |slow: Said<Vec<SlowEntry>>| Look {
            info: BTreeMap::new(),
            slow,
            latency: Said::Value(vec![]),
            settings: Said::Refused,
        };
        let mut memory = Memory::default();
        memory.remembers(&look(Said::Refused), at(0), Offset::default());
        assert_eq!(memory.refused, ["slowlog|get", "config|get"]);
        let soon = memory.wants(at(2), false);
        assert!(!soon.slow && soon.latency && !soon.settings);
        let later = memory.wants(at(61), false);
        assert!(later.slow && later.settings);
        memory.remembers(&look(Said::Value(vec![])), at(61), Offset::default());
        assert_eq!(memory.refused, ["config|get"]);
    }

    #[test]
    fn slow_commands_are_counted_by_their_numbers() {
        let entry = |id: u64| SlowEntry {
            id,
            at_secs: 1,
            took_us: 20_000,
            command: "KEYS".into(),
        };
        let look = |entries: Vec<SlowEntry>| Look {
            info: BTreeMap::new(),
            slow: Said::Value(entries),
            latency: Said::NotAsked,
            settings: Said::NotAsked,
        };
        let mut memory = Memory::default();
        memory.remembers(&look(vec![entry(7), entry(6)]), at(0), Offset::default());
        assert_eq!(memory.slow_seen, 0, "what was before was not seen");
        memory.remembers(&look(vec![entry(7)]), at(2), Offset::default());
        assert_eq!(
            memory.slow.as_ref().map(Vec::len),
            Some(2),
            "nothing new: the list stays"
        );
        memory.remembers(&look(vec![entry(90), entry(89)]), at(4), Offset::default());
        assert_eq!(memory.slow_seen, 83, "the log is short, the numbers are not");
    }
}
