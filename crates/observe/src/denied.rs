//! What to run when the server refuses a statement: the privilege that its own words name.
//!
//! Knows the English words of a refusal, and its SQLSTATE for any other language. Refuses to guess a privilege that is not named.

use muster_reach::ReachError;
use muster_reach::error::Trouble;
use muster_reach::quoted;

/// The line that closes the gap, where the refusal names what is missing.
pub(crate) fn remedy(e: &ReachError, user: &str) -> String {
    if e.trouble != Trouble::Privilege {
        return e.remedy();
    }
    let to = quoted(user);
    let named = |kind: &str| {
        let rest = e.reason.split_once(&format!("permission denied for {kind} "))?.1;
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        (!name.is_empty()).then_some(name)
    };
    if let Some(function) = named("function") {
        return format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {to};");
    }
    let view = ["table", "view", "relation"].into_iter().find_map(named);
    view.map_or_else(
        || format!("GRANT pg_monitor TO {to};"),
        |view| format!("GRANT SELECT ON pg_catalog.{view} TO {to};"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_grants_what_the_refusal_names() {
        let refused = |text: &str| {
            let mut e = ReachError::new("shop/a", Trouble::Privilege, text);
            e.sqlstate = Some("42501".to_owned());
            remedy(&e, "muster")
        };
        assert_eq!(
            refused("permission denied for function pg_blocking_pids"),
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_blocking_pids TO \"muster\";"
        );
        assert_eq!(
            refused("permission denied for view pg_stat_replication"),
            "GRANT SELECT ON pg_catalog.pg_stat_replication TO \"muster\";"
        );
        assert_eq!(refused("Berechtigung fehlt"), "GRANT pg_monitor TO \"muster\";");
    }
}
