//! `disk.data_filling`: the volume of the data is nearly full, or will be within hours.

use super::{KeyInfo, RuleInfo, sample};
use crate::judge::Context;
use crate::volumes;
use muster_model::snapshot::Holding;

/// For the reference.
pub(super) const INFO: RuleInfo = RuleInfo {
    rule,
    kind: "disk.data_filling",
    title: "The data volume fills",
    about: "The volume of the data folder, or of a tablespace, is 85 % full, or has less than 10 GB and less than 20 % free; bytes or \
            files, whichever is scarcer. Critical when it is full within 4 h, by the growth of at least 10 min. What eats it is \
            added up: data, WAL, temporary files, log. A volume that holds the WAL too is judged here, once.",
    ignores: "A burst (both halves of the time must show the growth), volumes of logs alone, and blocks that only the superuser may \
              fill.",
    advice: "Stop what grows first: a slot or a failing archive that keeps WAL, temporary files of a statement, old server logs. \
             Never delete in pg_wal.",
    needs: &["host"],
    keys: &[
        KeyInfo {
            key: "warning",
            default: "85",
            about: "per cent used",
        },
        KeyInfo {
            key: "free",
            default: "10",
            about: "GB free; only together with `free_percent`",
        },
        KeyInfo {
            key: "free_percent",
            default: "20",
            about: "per cent free; only together with `free`",
        },
        KeyInfo {
            key: "eta",
            default: "4h",
            about: "full within: an incident",
        },
        KeyInfo {
            key: "over",
            default: "10m",
            about: "growth is judged over at least so long (for WAL volumes too)",
        },
    ],
    specimen: || {
        vec![sample::host::disks(vec![sample::host::volume(
            "/srv/data",
            1,
            86,
            &[Holding::Data],
        )])]
    },
    lookalike: || vec![sample::host::disks(vec![sample::host::growing(200.0, 20, false)])],
};

pub(super) fn rule(c: &mut Context<'_>) {
    volumes::rule(c, INFO.kind);
}

#[cfg(test)]
mod tests {
    use muster_model::Severity;
    use muster_model::snapshot::Holding;

    use super::super::sample::host::{GB, disks, growing, hosted, volume};
    use super::super::sample::{judged, kinds, looks};

    #[test]
    fn eighty_five_per_cent_or_little_room_warns() {
        let one = |v| disks(vec![v]);
        assert_eq!(
            kinds(&judged(&one(volume("/d", 1, 84, &[Holding::Data])))),
            [""; 0]
        );
        let j = judged(&one(volume("/d", 1, 85, &[Holding::Data])));
        assert_eq!(
            (kinds(&j), j.findings[0].severity),
            (vec!["disk.data_filling"], Severity::Warning)
        );
        assert!(!j.findings[0].incident);
        let mut small = volume("/d", 1, 0, &[Holding::Data]);
        (small.size, small.free) = (50 * GB, 9 * GB);
        assert_eq!(
            kinds(&judged(&one(small.clone()))),
            ["disk.data_filling"],
            "9 of 50 GB are free"
        );
        (small.size, small.free) = (40 * GB, 9 * GB);
        assert_eq!(kinds(&judged(&one(small))), [""; 0], "22 % are free");
        let mut files = volume("/d", 1, 10, &[Holding::Data]);
        files.inodes = Some((100, 1000));
        assert_eq!(
            kinds(&judged(&one(files))),
            ["disk.data_filling"],
            "files run out before bytes"
        );
    }

    #[test]
    fn it_does_not_come_and_go_at_its_threshold() {
        let at = |used| disks(vec![volume("/d", 1, used, &[Holding::Data])]);
        let last = |percents: &[u64]| kinds(&looks(percents.iter().map(|p| at(*p)))).len();
        assert_eq!((last(&[85, 84]), last(&[85, 83]), last(&[85, 83, 84])), (1, 0, 0));
        // From full to filling, and no further.
        assert_eq!(kinds(&looks([95, 94].map(at))), ["disk.data_full"]);
        assert_eq!(kinds(&looks([95, 93].map(at))), ["disk.data_filling"]);
    }

    #[test]
    fn a_steady_growth_that_fills_it_within_hours_is_an_incident() {
        let said = |per_hour, minutes, steady| {
            let j = judged(&disks(vec![growing(per_hour, minutes, steady)]));
            j.findings.first().map(|f| (f.severity, f.incident))
        };
        // 200 GB are free.
        assert_eq!(said(51.0, 10, true), Some((Severity::Critical, true)));
        assert_eq!(said(49.0, 10, true), None);
        assert_eq!(said(51.0, 9, true), None, "too short a look");
        assert_eq!(said(51.0, 30, false), None, "a burst");
        let text = judged(&disks(vec![growing(100.0, 10, true)])).findings[0]
            .summary
            .clone();
        assert!(
            text.contains("200 GB free") && text.contains("100 GB an hour it is full in 2h"),
            "{text}"
        );
    }

    #[test]
    fn one_volume_is_one_finding_whoever_uses_it() {
        let both = volume("/d", 1, 90, &[Holding::Data, Holding::Wal]);
        assert_eq!(kinds(&judged(&disks(vec![both.clone()]))), ["disk.data_filling"]);
        let mut s = disks(vec![both]);
        let mut b = s.servers[0].clone();
        b.name = "b".into();
        b.address = "shop/b".into();
        s.servers.insert(0, b);
        let j = judged(&s);
        assert_eq!(j.findings.len(), 1);
        assert!(j.findings[0].summary.contains("too"), "{}", j.findings[0].summary);
        let log = volume("/l", 3, 99, &[Holding::Log]);
        assert_eq!(
            kinds(&judged(&disks(vec![log]))),
            [""; 0],
            "a server without a log goes on"
        );
    }

    #[test]
    fn an_enrolled_host_that_was_not_read_is_unknown_and_one_that_is_not_enrolled_lacks_nothing() {
        let j = judged(&hosted(|h| h.disks = None));
        let mut unknown: Vec<_> = j
            .unknown
            .iter()
            .map(|u| u.kind.as_str())
            .filter(|k| k.starts_with("disk."))
            .collect();
        unknown.sort_unstable();
        assert_eq!(
            unknown,
            [
                "disk.data_filling",
                "disk.data_full",
                "disk.wal_filling",
                "disk.wal_full"
            ]
        );
        let j = judged(&super::sample::healthy());
        assert!(!j.unknown.iter().any(|u| u.kind.starts_with("disk.")));
    }
}
