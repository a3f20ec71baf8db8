//! What Muster shows to Prometheus: every metric is defined here once, with its samples.
//!
//! Alert rules and the dashboard are generated from the same definitions ([`crate::export`]), so none of them can name a metric
//! that does not exist. What was not read has no sample: no zero stands for the unknown.

use std::fmt::Write as _;

use muster_model::snapshot::{AppView, DurationBuckets, Reach, Role, ServerView};
use muster_model::{Health, IncidentSeverity, Severity};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::view::{ClusterPicture, View};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Goes up and down.
    Gauge,
    /// Only grows; `_total` is part of its name.
    Counter,
    /// Counts in buckets, and their sum.
    Histogram,
}

/// A value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
    buckets: Option<DurationBuckets>,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Name; a counter's without `_total`.
    pub name: &'static str,
    /// Gauge or counter.
    pub sort: Sort,
    /// What it says, with its unit.
    pub help: &'static str,
    /// Its values in a picture of everything.
    samples: fn(&View) -> Vec<Sample>,
}

impl Metric {
    /// The name that queries use.
    #[must_use]
    pub fn series(&self) -> String {
        match self.sort {
            Sort::Gauge | Sort::Histogram => self.name.to_owned(),
            Sort::Counter => format!("{}_total", self.name),
        }
    }
}

fn sample(value: f64, labels: &[(&'static str, &str)]) -> Sample {
    Sample {
        labels: labels.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
        value,
        buckets: None,
    }
}

const fn gauge(name: &'static str, help: &'static str, samples: fn(&View) -> Vec<Sample>) -> Metric {
    Metric {
        name,
        sort: Sort::Gauge,
        help,
        samples,
    }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&View) -> Vec<Sample>) -> Metric {
    Metric {
        name,
        sort: Sort::Counter,
        help,
        samples,
    }
}

const fn histogram(name: &'static str, help: &'static str, samples: fn(&View) -> Vec<Sample>) -> Metric {
    Metric {
        name,
        sort: Sort::Histogram,
        help,
        samples,
    }
}

/// All of them.
pub const METRICS: &[Metric] = &[
    gauge("muster_build", "1, with the version of the program", |v| {
        vec![sample(1.0, &[("version", &v.version)])]
    }),
    gauge("muster_clusters", "Clusters that are to be watched", |v| {
        vec![sample(bytes(v.watched as u64), &[])]
    }),
    gauge(
        "muster_snapshot_age_seconds",
        "Age of the newest pass over a cluster, in seconds",
        |v| {
            let age = |c: &ClusterPicture| v.at.since(c.snapshot.taken_at).secs_f64();
            v.clusters
                .iter()
                .map(|c| sample(age(c), &[("cluster", &c.name)]))
                .collect()
        },
    ),
    gauge(
        "muster_health",
        "Health of a component: 0 ok, 1 warning, 2 unknown, 3 critical",
        |v| {
            let all = |c: &ClusterPicture| -> Vec<Sample> {
                c.health
                    .iter()
                    .map(|(target, h)| sample(level(*h), &[("cluster", &c.name), ("target", target)]))
                    .collect()
            };
            v.clusters.iter().flat_map(all).collect()
        },
    ),
    gauge("muster_findings", "Findings now, by kind and severity", |v| {
        let mut out: Vec<Sample> = Vec::new();
        for c in &v.clusters {
            for rule in muster_rules::catalogue() {
                for (severity, word) in SEVERITIES {
                    let of = |f: &&muster_model::Finding| f.kind == rule.kind && f.severity == severity;
                    let n = c.findings.iter().filter(of).count();
                    if n > 0 {
                        out.push(sample(
                            number(n),
                            &[("cluster", &c.name), ("kind", rule.kind), ("severity", word)],
                        ));
                    }
                }
            }
        }
        out
    }),
    gauge(
        "muster_incidents_open",
        "Incidents that are not over, by severity",
        |v| {
            let open = |s: IncidentSeverity| {
                let of = |x: &&crate::view::Story| {
                    crate::daemon::watch::is_open(&x.incident) && x.incident.severity == s
                };
                number(v.stories.iter().filter(of).count())
            };
            [
                (IncidentSeverity::P0, "P0"),
                (IncidentSeverity::P1, "P1"),
                (IncidentSeverity::P2, "P2"),
            ]
            .map(|(s, word)| sample(open(s), &[("severity", word)]))
            .to_vec()
        },
    ),
    gauge(
        "muster_gaps",
        "Things that could not be read in the newest pass",
        |v| {
            let gaps = |c: &ClusterPicture| number(c.snapshot.gaps.len());
            v.clusters
                .iter()
                .map(|c| sample(gaps(c), &[("cluster", &c.name)]))
                .collect()
        },
    ),
    gauge(
        "muster_rules_unknown",
        "Rules that could not decide in the newest pass",
        |v| {
            let unknown = |c: &ClusterPicture| number(c.unknown.len());
            v.clusters
                .iter()
                .map(|c| sample(unknown(c), &[("cluster", &c.name)]))
                .collect()
        },
    ),
    gauge(
        "muster_rule_proved",
        "1 when a rule found its specimen and left its look-alike alone in the last self-test, else 0",
        |v| {
            let proved = |p: &muster_rules::Proved| f64::from(u8::from(p.fires && p.quiet));
            let of = |c: &ClusterPicture| -> Vec<Sample> {
                c.proved
                    .iter()
                    .flat_map(|(_, all)| all)
                    .map(|p| sample(proved(p), &[("cluster", &c.name), ("kind", &p.kind)]))
                    .collect()
            };
            v.clusters.iter().flat_map(of).collect()
        },
    ),
    counter(
        "muster_collect_queries",
        "Statements that collection has sent",
        |v| cost(v, |c| c.queries),
    ),
    counter("muster_collect_rows", "Rows that collection has read", |v| {
        cost(v, |c| c.rows)
    }),
    counter(
        "muster_collect_busy_seconds",
        "Time that collection has waited for answers since the start, in seconds",
        |v| {
            let busy = |c: &ClusterPicture| c.snapshot.cost.busy_ms / 1000.0;
            v.clusters
                .iter()
                .map(|c| sample(busy(c), &[("cluster", &c.name)]))
                .collect()
        },
    ),
    gauge(
        "pg_up",
        "1 when a server answers, else 0; none before it was tried",
        |v| {
            servers(v, |s| match s.reach {
                Reach::Unknown => None,
                _ => Some(f64::from(u8::from(s.answers()))),
            })
        },
    ),
    gauge(
        "pg_primary",
        "1 for a server that says that it is the primary, 0 for a standby",
        |v| servers(v, |s| s.role().map(|r| f64::from(u8::from(r == Role::Primary)))),
    ),
    gauge("pg_connections_used", "Client sessions of a server", |v| {
        servers(v, |s| {
            let a = s.activity.as_ref()?;
            Some(number(a.value.sessions.iter().filter(|s| s.is_client()).count()))
        })
    }),
    gauge(
        "pg_connections_usable",
        "Slots that clients may use: max_connections less the reserved ones",
        |v| {
            servers(v, |s| {
                let a = &s.activity.as_ref()?.value;
                Some(f64::from(a.max_connections.saturating_sub(a.reserved)))
            })
        },
    ),
    gauge("pg_lock_waiters", "Sessions that wait for a lock", |v| {
        servers(v, |s| {
            let a = s.activity.as_ref()?;
            let waits = |s: &&muster_model::snapshot::Session| s.wait_type.as_deref() == Some("Lock");
            Some(number(a.value.sessions.iter().filter(waits).count()))
        })
    }),
    gauge(
        "pg_idle_in_transaction",
        "Client sessions that idle in a transaction",
        |v| {
            servers(v, |s| {
                let a = s.activity.as_ref()?;
                let idle = |s: &&muster_model::snapshot::Session| s.is_client() && s.idle_in_transaction();
                Some(number(a.value.sessions.iter().filter(idle).count()))
            })
        },
    ),
    counter("db_commits", "Transactions committed, by database", |v| {
        traffic(v, |c| c.commits)
    }),
    counter("db_rollbacks", "Transactions rolled back, by database", |v| {
        traffic(v, |c| c.rollbacks)
    }),
    counter(
        "db_deadlocks",
        "Deadlocks that the server broke, by database",
        |v| traffic(v, |c| c.deadlocks),
    ),
    counter(
        "db_temp_bytes",
        "Bytes written to temporary files, by database",
        |v| traffic(v, |c| c.temp_bytes),
    ),
    counter(
        "db_blocks_hit",
        "Blocks found in shared buffers, by database",
        |v| traffic(v, |c| c.blocks_hit),
    ),
    counter(
        "db_blocks_read",
        "Blocks read from outside shared buffers, by database",
        |v| traffic(v, |c| c.blocks_read),
    ),
    counter(
        "db_checksum_failures",
        "Pages whose checksum was wrong, by database",
        |v| traffic(v, |c| c.checksum_failures),
    ),
    gauge(
        "pg_standby_streaming",
        "1 when a standby streams by both ends, else 0",
        |v| standbys(v, |s| Some(f64::from(u8::from(s.streaming)))),
    ),
    gauge(
        "pg_standby_lag_seconds",
        "Lag of a standby by time, 0 while there is nothing to replay, in seconds; none while it cannot be known",
        |v| standbys(v, |s| s.lag_known.then(|| s.lag.secs_f64())),
    ),
    gauge(
        "pg_standby_lag_bytes",
        "Position of the primary less the replayed position of a standby, in bytes; none while one of them is not known",
        |v| standbys(v, |s| s.lag_known.then(|| bytes(s.lag_bytes))),
    ),
    gauge(
        "pg_slot_retained_bytes",
        "Write-ahead log that a slot keeps, in bytes",
        |v| {
            let mut out = Vec::new();
            for (c, s) in each(v) {
                let Some(r) = &s.replication else { continue };
                let at = r.value.current.or(r.value.replayed);
                for slot in &r.value.slots {
                    if let (Some(at), Some(kept)) = (at, slot.restart) {
                        let labels = [
                            ("cluster", c.name.as_str()),
                            ("server", &s.address),
                            ("slot", &slot.name),
                        ];
                        out.push(sample(bytes(at.saturating_sub(kept)), &labels));
                    }
                }
            }
            out
        },
    ),
    histogram(
        "db_query_duration_seconds",
        "How long statements of clients took, in seconds, by the server's log; only where every statement is logged",
        durations,
    ),
    gauge("db_pool_size", "Most server connections of a pool", |v| {
        pools(v, |p| f64::from(p.size))
    }),
    gauge("db_pool_active", "Server connections in use", |v| {
        pools(v, |p| f64::from(p.sv_active))
    }),
    gauge("db_pool_idle", "Server connections ready for use", |v| {
        pools(v, |p| f64::from(p.sv_idle))
    }),
    gauge(
        "db_pool_waiting",
        "Clients that wait for a server connection",
        |v| pools(v, |p| f64::from(p.cl_waiting)),
    ),
    gauge(
        "db_pool_wait_seconds",
        "How long the oldest of them waits, in seconds",
        |v| pools(v, |p| bytes(p.maxwait_us) / 1_000_000.0),
    ),
    gauge(
        "app_up",
        "1 when the health route of an application answers, whatever it says, else 0; none without a route",
        |v| {
            apps(v, |a| match a.reach {
                Reach::Unknown => None,
                Reach::Up => Some(1.0),
                _ => Some(0.0),
            })
        },
    ),
    gauge(
        "app_health_status",
        "HTTP status of the newest answer of a health route",
        |v| apps(v, |a| Some(f64::from(a.health.as_ref()?.value.status))),
    ),
    gauge(
        "app_health_latency_seconds",
        "How long the newest answer of a health route took, in seconds",
        |v| apps(v, |a| Some(a.health.as_ref()?.value.latency_ms / 1000.0)),
    ),
    gauge(
        "app_health_said",
        "What an application says of itself: 0 healthy, 1 degraded, 2 unhealthy; none when it says nothing",
        |v| {
            apps(v, |a| match a.health.as_ref()?.value.said.as_deref()? {
                "healthy" => Some(0.0),
                "degraded" => Some(1.0),
                "unhealthy" => Some(2.0),
                _ => None,
            })
        },
    ),
    gauge("redis_up", "1 when a Redis answers, else 0", |v| {
        caches(v, |c| match c.reach {
            Reach::Unknown => None,
            Reach::Up => Some(1.0),
            _ => Some(0.0),
        })
    }),
    gauge(
        "redis_memory_used_bytes",
        "Memory that a Redis uses, in bytes",
        |v| caches(v, |c| c.used_memory.map(bytes)),
    ),
    gauge(
        "redis_memory_max_bytes",
        "maxmemory of a Redis, 0 without a limit, in bytes",
        |v| caches(v, |c| c.max_memory.map(bytes)),
    ),
];

const SEVERITIES: [(Severity, &str); 3] = [
    (Severity::Info, "info"),
    (Severity::Warning, "warning"),
    (Severity::Critical, "critical"),
];

fn level(health: Health) -> f64 {
    match health {
        Health::Ok => 0.0,
        Health::Warning => 1.0,
        Health::Unknown => 2.0,
        Health::Critical => 3.0,
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(n: usize) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss)]
fn bytes(n: u64) -> f64 {
    n as f64
}

fn each(v: &View) -> impl Iterator<Item = (&ClusterPicture, &ServerView)> {
    v.clusters
        .iter()
        .flat_map(|c| c.snapshot.servers.iter().map(move |s| (c, s)))
}

fn servers(v: &View, of: impl Fn(&ServerView) -> Option<f64>) -> Vec<Sample> {
    each(v)
        .filter_map(|(c, s)| Some(sample(of(s)?, &[("cluster", &c.name), ("server", &s.address)])))
        .collect()
}

fn cost(v: &View, of: impl Fn(&muster_model::snapshot::Cost) -> u64) -> Vec<Sample> {
    let one = |c: &ClusterPicture| sample(bytes(of(&c.snapshot.cost)), &[("cluster", &c.name)]);
    v.clusters.iter().map(one).collect()
}

fn traffic(v: &View, of: impl Fn(&muster_model::snapshot::DatabaseCounters) -> u64) -> Vec<Sample> {
    let mut out = Vec::new();
    for (c, s) in each(v) {
        for t in s.traffic.iter().flat_map(|p| &p.value) {
            let labels = [
                ("cluster", c.name.as_str()),
                ("server", &s.address),
                ("database", &t.database),
            ];
            out.push(sample(bytes(of(&t.counted.now)), &labels));
        }
    }
    out
}

/// A log that leaves the quick ones out gives none: whoever made a percentile of it would be told a lie.
fn durations(v: &View) -> Vec<Sample> {
    let of = |(c, s): (&ClusterPicture, &ServerView)| {
        let log = s.host.as_ref()?.log.as_ref()?;
        let buckets = log.value.durations.ever.clone()?;
        let mut out = sample(
            buckets.sum_ms / 1000.0,
            &[("cluster", &c.name), ("server", &s.address)],
        );
        out.buckets = Some(buckets);
        Some(out)
    };
    each(v).filter_map(of).collect()
}

fn standbys(v: &View, of: impl Fn(&muster_model::standby::StandbyState) -> Option<f64>) -> Vec<Sample> {
    let mut out = Vec::new();
    for (c, s) in each(v).filter(|(_, s)| s.role() == Some(Role::Standby)) {
        let state = muster_model::standby::judge(c.snapshot.primary(), s);
        if let Some(value) = of(&state).filter(|_| state.word != "unknown") {
            out.push(sample(value, &[("cluster", &c.name), ("server", &s.address)]));
        }
    }
    out
}

fn pools(v: &View, of: impl Fn(&muster_model::snapshot::Pool) -> f64) -> Vec<Sample> {
    let mut out = Vec::new();
    for c in &v.clusters {
        for pooler in &c.snapshot.poolers {
            for p in pooler.state.iter().flat_map(|s| &s.value.pools) {
                let labels = [
                    ("cluster", c.name.as_str()),
                    ("pooler", &pooler.address),
                    ("database", &p.database),
                    ("user", &p.user),
                ];
                out.push(sample(of(p), &labels));
            }
        }
    }
    out
}

fn apps(v: &View, of: impl Fn(&AppView) -> Option<f64>) -> Vec<Sample> {
    let mut out = Vec::new();
    for c in &v.clusters {
        for app in &c.snapshot.apps {
            if let Some(value) = of(app) {
                let endpoint = app.endpoint.as_deref().unwrap_or_default();
                let labels = [
                    ("cluster", c.name.as_str()),
                    ("app", &app.address),
                    ("endpoint", endpoint),
                ];
                out.push(sample(value, &labels));
            }
        }
    }
    out
}

fn caches(v: &View, of: impl Fn(&muster_model::snapshot::CacheView) -> Option<f64>) -> Vec<Sample> {
    let mut out = Vec::new();
    for c in &v.clusters {
        for cache in &c.snapshot.caches {
            if let Some(value) = of(cache) {
                out.push(sample(value, &[("cluster", &c.name), ("cache", &cache.address)]));
            }
        }
    }
    out
}

/// The samples of one moment, as the encoder wants them.
#[derive(Debug)]
struct Moment(Vec<(&'static Metric, Vec<Sample>)>);

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for (metric, samples) in &self.0 {
            let kind = match metric.sort {
                Sort::Gauge => MetricType::Gauge,
                Sort::Counter => MetricType::Counter,
                Sort::Histogram => MetricType::Histogram,
            };
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
            for s in samples {
                let mut one = family.encode_family(&s.labels)?;
                match metric.sort {
                    Sort::Histogram => {
                        let counts = s.buckets.clone().unwrap_or_default();
                        let edges = DurationBuckets::EDGES.iter().copied().chain([f64::INFINITY]);
                        let buckets: Vec<(f64, u64)> = edges
                            .enumerate()
                            .map(|(i, edge)| (edge, counts.counts.get(i).copied().unwrap_or(0)))
                            .collect();
                        one.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
                            s.value,
                            counts.count(),
                            &buckets,
                            None,
                        )?;
                    }
                    Sort::Gauge => ConstGauge::new(s.value).encode(one)?,
                    Sort::Counter => ConstCounter::new(s.value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

/// Everything, in the OpenMetrics text format.
#[must_use]
pub fn page(view: &View) -> String {
    let mut registry = Registry::default();
    let moment = METRICS.iter().map(|m| (m, (m.samples)(view))).collect();
    registry.register_collector(Box::new(Moment(moment)));
    let mut out = String::new();
    if let Err(e) = prometheus_client::encoding::text::encode(&mut out, &registry) {
        // A page that is cut off must not look whole: without `# EOF` it is refused by who reads it.
        let _ = write!(out, "# the page is not whole: {e}");
    }
    out
}

/// The content type of [`page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_well_formed_and_say_what_they_are() {
        let mut seen = BTreeSet::new();
        for m in METRICS {
            assert!(seen.insert(m.series()), "{} is there twice", m.series());
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(
                m.name.chars().all(fine) && !m.name.ends_with("_total"),
                "{}",
                m.name
            );
            assert!(!m.help.is_empty());
            if m.name.ends_with("_seconds") || m.name.ends_with("_bytes") {
                let unit = m.name.rsplit('_').next().unwrap_or_default();
                assert!(
                    m.help.contains(unit) || m.help.to_lowercase().contains(unit),
                    "{}: {}",
                    m.name,
                    m.help
                );
            }
        }
    }

    #[test]
    fn what_was_not_read_has_no_sample() {
        let view = crate::web::sample::calm();
        let text = page(&view);
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(
            text.contains("pg_up{cluster=\"shop\",server=\"shop/a\"} 1.0"),
            "{text}"
        );
        let mut blind = view;
        for c in &mut blind.clusters {
            for s in &mut c.snapshot.servers {
                s.reach = Reach::Unknown;
                s.activity = None;
            }
        }
        let text = page(&blind);
        assert!(
            !text.contains("pg_up{") && !text.contains("pg_connections_used{"),
            "{text}"
        );
    }
}
