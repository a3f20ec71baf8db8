//! How long statements take: percentiles with their method and error, or null with the reason, and the share of slow ones.
//!
//! Percentiles come from the durations in the server's log alone. `pg_stat_statements` keeps sums, from which none can be had,
//! and a look at running statements once a second sees the long ones too often: neither is used.

use muster_model::histogram::{Method, Quantile, RELATIVE_ERROR};
use muster_model::snapshot::{Distribution, ServerView, StatementWindow, Work};
use serde_json::{Value, json};

use super::primary;
use crate::view::ClusterPicture;

/// What the share of slow calls is made of.
const SLOW_METHOD: &str =
    "calls of statements whose mean in the window is at least 100 ms, of all calls (pg_stat_statements)";
/// A statement is slow from this mean on.
const SLOW_MS: f64 = 100.0;
/// Below so many calls a share says nothing.
const ENOUGH: u64 = 50;
/// The percentiles that are told.
const RANKS: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// The distribution of a server's durations.
fn distribution(s: &ServerView) -> Result<&Distribution, String> {
    let address = &s.address;
    let Some(host) = &s.host else {
        return Err(format!(
            "percentiles come from the durations in the server's log, and no host of {address} is enrolled (`host: {{local: true}}`); \
             none can be had from the sums of pg_stat_statements"
        ));
    };
    let Some(log) = &host.log else {
        return Err(format!(
            "the log of {address} is not read, and percentiles come from it alone"
        ));
    };
    let durations = &log.value.durations;
    durations.distribution.as_ref().ok_or_else(|| {
        let why = durations.refused.clone();
        let why = why.unwrap_or_else(|| "durations were not read yet".to_owned());
        format!("{address}: {why}; none can be had from the sums of pg_stat_statements")
    })
}

/// Those of several servers together, and why others are not in it.
fn together<'a>(
    servers: impl Iterator<Item = Option<&'a ServerView>>,
) -> (Option<Distribution>, Vec<String>) {
    let (mut all, mut without): (Option<Distribution>, _) = (None, Vec::new());
    for server in servers {
        let Some(server) = server else {
            without.push("no server says that it is the primary".to_owned());
            continue;
        };
        match distribution(server) {
            Err(why) => without.push(why),
            Ok(d) if d.tells_of_all() => {
                all = Some(all.map_or_else(|| d.clone(), |sum| sum.with(d)));
            }
            Ok(d) => {
                let why = d.quantile(0.5).err().map(|e| e.to_string()).unwrap_or_default();
                without.push(format!("{}: {why}", server.address));
            }
        }
    }
    (all, without)
}

fn method(q: &Quantile) -> String {
    let word = |m: &Method| match m {
        Method::Log => "durations in the server's log, of all statements",
        Method::LogSampled => "durations in the server's log, of a sample of the statements",
        Method::LogThreshold => {
            "durations in the server's log above its threshold; how many calls were quicker, by pg_stat_statements"
        }
        Method::Client => "durations that clients measured",
    };
    q.methods.iter().map(word).collect::<Vec<_>>().join("; ")
}

/// One percentile: its value with what is to be known about it, or null with the reason.
fn percentile(d: Option<&Distribution>, q: f64, why: &str) -> Value {
    let Some(d) = d else {
        return json!({"value": Value::Null, "reason": why});
    };
    let (samples, over) = (d.histogram.samples(), d.over.millis());
    match d.quantile(q) {
        Ok(found) => json!({
            "value": found.ms, "low": found.low_ms, "high": found.high_ms, "method": method(&found), "error": RELATIVE_ERROR,
            "samples": samples, "over": over,
        }),
        Err(e) => json!({"value": Value::Null, "reason": e.to_string(), "samples": samples, "over": over}),
    }
}

fn window(s: &ServerView) -> Option<&StatementWindow> {
    s.statements.as_ref()?.value.window.as_ref()
}

/// Per cent of the calls; nothing where nothing was called.
#[allow(clippy::cast_precision_loss)]
fn slow_share(w: &StatementWindow) -> Option<f64> {
    let slow: u64 = w
        .top
        .iter()
        .filter(|s| s.toplevel && s.work.mean_ms() >= SLOW_MS)
        .map(|s| s.work.calls)
        .sum();
    (w.total.calls > 0).then(|| slow as f64 * 100.0 / w.total.calls as f64)
}

/// The worse of the two: p95 below 300 ms and less than 5 % of the calls slow is healthy, up to 600 ms and 10 % degraded.
fn word(p95: Option<f64>, share: Option<f64>) -> &'static str {
    let level = |value: Option<f64>, warning: f64, critical: f64| {
        value.map(|v| u8::from(v >= warning) + u8::from(v > critical))
    };
    match level(p95, 300.0, 600.0).max(level(share, 5.0, 10.0)) {
        None => "unknown",
        Some(0) => "healthy",
        Some(1) => "degraded",
        Some(_) => "unhealthy",
    }
}

/// `services.queries` of `/health/detailed`.
pub(super) fn of_cluster(c: &ClusterPicture) -> Value {
    let (spread, without) = together(std::iter::once(primary(c)));
    let why = without.join("; ");
    let p95 = percentile(spread.as_ref(), 0.95, &why);
    let window = primary(c).and_then(window);
    let share = window.and_then(slow_share);
    let judged = share.filter(|_| window.is_some_and(|w| w.total.calls >= ENOUGH));
    json!({
        "status": word(p95["value"].as_f64(), judged.or(share.filter(|s| *s <= 0.0))),
        "p95_latency": p95["value"],
        "slow_query_percentage": share,
        "method": window.map(|_| SLOW_METHOD),
        "reason": p95["reason"],
        "p95": p95,
    })
}

/// `GET /metrics/queries`: the last minute of every primary, by statement; null with a reason for what is not known.
#[must_use]
pub fn queries(clusters: &[ClusterPicture]) -> Value {
    let windows: Vec<(&ClusterPicture, &StatementWindow)> = clusters
        .iter()
        .filter_map(|c| Some((c, primary(c).and_then(window)?)))
        .collect();
    let mut slow: Vec<(f64, Value)> = Vec::new();
    for (c, w) in &windows {
        for s in w.top.iter().filter(|s| s.work.mean_ms() >= SLOW_MS) {
            let row = json!({
                "cluster": c.name, "query": s.text, "fingerprint": s.fingerprint, "duration": s.work.mean_ms(),
                "count": s.work.calls, "threshold": SLOW_MS, "database": s.database, "user": s.user,
            });
            slow.push((s.work.ms, row));
        }
    }
    slow.sort_by(|a, b| b.0.total_cmp(&a.0));
    slow.truncate(50);
    let mut total = Work::default();
    for (_, w) in &windows {
        total.add(&w.total);
    }
    let read = !windows.is_empty();
    let called = read && total.calls > 0;
    let (spread, without) = together(clusters.iter().map(primary));
    let why = without.join("; ");
    let mut statistics = json!({
        "average": called.then(|| total.mean_ms()),
        "total_queries": read.then_some(total.calls),
        "method": read.then_some("average and total_queries: sums of pg_stat_statements over the last minute, or what was seen of it, in milliseconds"),
    });
    for (name, q) in RANKS {
        statistics[name] = percentile(spread.as_ref(), q, &why);
    }
    // Percentiles of some of the clusters are none of all: what is missing is named.
    statistics["without"] = json!(if spread.is_some() {
        without.clone()
    } else {
        Vec::new()
    });
    let shares = windows.iter().filter(|(_, w)| w.total.calls >= ENOUGH);
    let share = shares.filter_map(|(_, w)| slow_share(w)).max_by(f64::total_cmp);
    let health = word(
        statistics["p95"]["value"].as_f64(),
        share.or(read.then_some(0.0).filter(|_| slow.is_empty())),
    );
    json!({
        "slowQueries": slow.into_iter().map(|(_, row)| row).collect::<Vec<_>>(),
        "statistics": statistics,
        "health": health,
        "reason": if read { Value::Null } else { json!("statements are not counted, or not read yet") },
    })
}

#[cfg(test)]
mod tests {
    use muster_model::histogram::Histogram;
    use muster_model::snapshot::{HostView, Part, ServerLog};
    use muster_model::{Span, Time};

    use super::*;

    fn logged(histogram: Histogram) -> ClusterPicture {
        let mut c = crate::web::sample::calm().clusters.remove(0);
        let mut log = ServerLog::default();
        log.durations.distribution = Some(Distribution {
            over: Span::from_secs(60),
            histogram,
            calls: None,
        });
        let part = Part {
            taken_at: Time::from_millis(1),
            value: log,
        };
        let lead = primary(&c).expect("a primary").address.clone();
        for s in c.snapshot.servers.iter_mut().filter(|s| s.address == lead) {
            s.host = Some(HostView {
                log: Some(part.clone()),
                ..HostView::default()
            });
        }
        c
    }

    #[test]
    fn a_percentile_says_method_error_samples_and_time_and_judges() {
        let mut h = Histogram::complete(Method::Log);
        for _ in 0..100 {
            h.record(400.0, 1.0);
        }
        let c = logged(h);
        let told = of_cluster(&c);
        let p95 = &told["p95"];
        assert!(
            p95["value"]
                .as_f64()
                .is_some_and(|v| (v / 400.0 - 1.0).abs() < 0.06),
            "{told}"
        );
        assert_eq!(
            (
                p95["error"].as_f64(),
                p95["samples"].as_u64(),
                p95["over"].as_i64()
            ),
            (Some(0.06), Some(100), Some(60_000))
        );
        assert!(
            p95["method"]
                .as_str()
                .is_some_and(|m| m.contains("all statements"))
        );
        assert_eq!(
            (told["status"].as_str(), told["reason"].is_null()),
            (Some("degraded"), true)
        );
        let all = queries(&[c]);
        assert!(all["statistics"]["p99"]["value"].is_number(), "{all}");
    }

    #[test]
    fn a_tail_without_its_calls_and_clusters_without_a_log_are_named() {
        let mut h = Histogram::above(Method::LogThreshold, 500.0);
        for _ in 0..100 {
            h.record(900.0, 1.0);
        }
        let tail = logged(h);
        let told = of_cluster(&tail);
        assert_eq!(told["p95_latency"], Value::Null);
        assert!(
            told["reason"]
                .as_str()
                .is_some_and(|r| r.contains("how many were shorter is not known")),
            "{told}"
        );
        let mut h = Histogram::complete(Method::Log);
        for _ in 0..100 {
            h.record(5.0, 1.0);
        }
        let all = queries(&[logged(h), tail]);
        assert!(all["statistics"]["p95"]["value"].is_number());
        assert_eq!(
            all["statistics"]["without"].as_array().map(Vec::len),
            Some(1),
            "{all}"
        );
    }

    #[test]
    fn the_worse_of_p95_and_share_counts() {
        assert_eq!(word(Some(299.0), Some(0.0)), "healthy");
        assert_eq!(word(Some(20.0), Some(7.0)), "degraded");
        assert_eq!(word(Some(601.0), None), "unhealthy");
        assert_eq!(word(None, None), "unknown");
    }
}
