//! What cannot be undone needs something to fall back on: a backup that was restored lately, archiving that works, a standby
//! that is not far behind. What is not known counts as not there.

use muster_model::{Risk, Span};

use super::{Facts, Phase, Refusal};

/// Oldest restore that still counts.
const RESTORED: Span = Span::from_mins(26 * 60);
/// Farthest a standby may be behind.
const LAG: Span = Span::from_secs(30);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.plan.risk < Risk::Irreversible || facts.phase == Phase::Plan {
        return Ok(());
    }
    let refuse = |why: String, remedy: &str| Err(Refusal::new("safety_net", why, remedy));
    let Some(safety) = facts.safety else {
        return refuse(
            "this cannot be undone, and nothing is known about a backup to fall back on".to_owned(),
            "restore a backup and have it verified first; a person may do this by hand, the plan prints how",
        );
    };
    match safety.restored_at {
        Some(at) if facts.now.since(at) <= RESTORED => {}
        Some(at) => {
            return refuse(
                format!(
                    "the last backup that was restored and found right is {} old",
                    facts.now.since(at).human()
                ),
                "restore the newest backup and have it verified",
            );
        }
        None => {
            return refuse(
                "no backup was ever restored and found right".to_owned(),
                "restore one first",
            );
        }
    }
    if safety.archiving != Some(true) {
        return refuse(
            "the archiving of the write-ahead log is not known to work".to_owned(),
            "look at `muster check`",
        );
    }
    match safety.lag {
        Some(lag) if lag > LAG => refuse(
            format!("the best standby is {} behind", lag.human()),
            "wait until it has caught up",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use muster_model::Safety;

    use super::super::fixture::{at, facts, plan, policy};
    use super::*;

    #[test]
    fn the_irreversible_needs_a_backup_that_was_restored_and_an_archive_that_works() {
        let (mut plan, policy) = (plan(1), policy());
        assert_eq!(
            check(&facts(&plan, &policy, &[])),
            Ok(()),
            "a session comes back by itself"
        );
        plan.risk = Risk::Irreversible;
        assert!(
            check(&facts(&plan, &policy, &[]))
                .expect_err("unknown")
                .why
                .contains("nothing is known")
        );
        let good = Safety {
            restored_at: Some(at(0)),
            archiving: Some(true),
            lag: Some(Span::from_secs(1)),
        };
        let judge = |safety: &Safety, now| {
            let mut f = facts(&plan, &policy, &[]);
            f.safety = Some(safety);
            f.now = at(now);
            check(&f)
        };
        assert_eq!(judge(&good, 20), Ok(()));
        assert!(judge(&good, 27 * 3600).is_err(), "too old");
        assert!(
            judge(
                &Safety {
                    restored_at: None,
                    ..good.clone()
                },
                20
            )
            .is_err()
        );
        assert!(
            judge(
                &Safety {
                    archiving: None,
                    ..good.clone()
                },
                20
            )
            .is_err(),
            "unknown is not working"
        );
        assert!(
            judge(
                &Safety {
                    lag: Some(Span::from_secs(60)),
                    ..good
                },
                20
            )
            .is_err()
        );
    }
}
