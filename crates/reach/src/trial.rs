//! A session of its own for a statement that a person brings: one statement, in a read-only transaction that is always rolled
//! back, with the limits of a session on the server's side.
//!
//! The text goes through PREPARE in the extended protocol first: there the server itself refuses more than one statement.
//! Refuses to judge whether the statement may run; whoever calls [`Trial::analyze`] has asked that before. What the server says
//! about a value is cut: a value may be a secret.

use std::time::Duration;

use muster_model::query::PlanMethod;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::config::Limits;
use crate::error::{ReachError, Trouble};
use crate::redact;
use crate::server::Server;
use crate::session::{Capability, PgSession};

const PARAMETERS: &str = include_str!("sql/trial_parameters.sql");
const SET: &str = include_str!("sql/trial_set.sql");
const PLAN: &str = "EXPLAIN (VERBOSE, COSTS, FORMAT JSON)";
const PLAN_GENERIC: &str = "EXPLAIN (GENERIC_PLAN, VERBOSE, COSTS, FORMAT JSON)";
const ANALYZE: &str = "EXPLAIN (ANALYZE, BUFFERS, VERBOSE, COSTS, FORMAT JSON)";
/// Without a clock at every node: what is measured is the statement, not the measuring.
const MEASURE: &str = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, COSTS, FORMAT JSON)";
/// First version with GENERIC_PLAN.
const HAS_GENERIC: u32 = 160_000;

/// A person's statement, and values for its parameters.
#[derive(Clone, Debug, Default)]
pub struct Brought {
    /// The text, with its literals. Never printed.
    pub text: String,
    /// Values for `$1`, `$2`, … Never printed.
    pub values: Vec<String>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every node, with its time.
    Nodes,
    /// The statement as a whole.
    Whole,
}

/// The session.
pub struct Trial {
    session: PgSession,
    deadline: Duration,
    /// Address of its server.
    pub address: String,
}

impl Server {
    /// A session for a person's statement, in a database (`None`: that of the login); a statement may take `statement`.
    ///
    /// # Errors
    /// With the rung that failed.
    pub async fn trial(&self, database: Option<&str>, statement: Duration) -> Result<Trial, ReachError> {
        let limits = Limits {
            statement,
            ..self.limits().clone()
        };
        let session = self.alone(database, &limits).await?;
        Ok(Trial {
            session,
            deadline: limits.deadline(),
            address: self.address.clone(),
        })
    }
}

impl Trial {
    /// What the login may do.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        self.session.capability()
    }

    /// A statement of ours, in or out of the transaction.
    ///
    /// # Errors
    /// As [`PgSession::query`].
    pub async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReachError> {
        self.session.query_within(sql, params, self.deadline).await
    }

    /// Begins; `settings` hold until the end of the transaction.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn begin(&self, settings: &[(String, String)]) -> Result<(), ReachError> {
        self.session
            .simple_within("BEGIN TRANSACTION READ ONLY", self.deadline)
            .await?;
        for (name, value) in settings {
            self.query(SET, &[name, value]).await?;
        }
        Ok(())
    }

    /// A setting until the end of the transaction.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn set(&self, name: &str, value: &str) -> Result<(), ReachError> {
        self.query(SET, &[&name, &value]).await.map(|_| ())
    }

    /// Prepares the statement and returns the types of its parameters.
    ///
    /// # Errors
    /// When it is more than one statement, or none that can be planned.
    pub async fn prepare(&self, brought: &Brought) -> Result<Vec<String>, ReachError> {
        let sql = format!("PREPARE muster_trial AS {}", brought.text);
        self.session
            .execute_within(&sql, self.deadline)
            .await
            .map_err(silent)?;
        let rows = self.query(PARAMETERS, &[]).await?;
        Ok(rows.first().map(|r| r.get("types")).unwrap_or_default())
    }

    /// How [`Self::plan`] will plan a statement with so many parameters.
    #[must_use]
    pub fn method(&self, parameters: usize, brought: &Brought) -> PlanMethod {
        if parameters == 0 {
            PlanMethod::Values
        } else if !brought.values.is_empty() {
            PlanMethod::Given
        } else if self.capability().version_num >= HAS_GENERIC {
            PlanMethod::Generic
        } else {
            PlanMethod::ForcedGeneric
        }
    }

    /// The plan of the prepared statement. It is not carried out.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn plan(&self, parameters: usize, brought: &Brought) -> Result<Value, ReachError> {
        let method = self.method(parameters, brought);
        let sql = match method {
            // The prepared statement keeps a generic plan from before a hypothetical index: it is planned anew each time.
            PlanMethod::Values => format!("{PLAN} {}", brought.text),
            PlanMethod::Generic => format!("{PLAN_GENERIC} {}", brought.text),
            PlanMethod::Given => {
                self.mode("force_custom_plan").await?;
                format!("{PLAN} {}", execute(&brought.values))
            }
            PlanMethod::ForcedGeneric => {
                self.mode("force_generic_plan").await?;
                self.deallocate().await?;
                self.prepare(brought).await?;
                format!("{PLAN} {}", execute_nulls(parameters))
            }
        };
        self.explained(&sql).await
    }

    /// Carries it out and returns its plan with what was measured.
    ///
    /// # Errors
    /// When the server refuses, or it takes too long.
    pub async fn analyze(&self, brought: &Brought, depth: Depth) -> Result<Value, ReachError> {
        self.mode("force_custom_plan").await?;
        let head = if depth == Depth::Nodes { ANALYZE } else { MEASURE };
        self.explained(&format!("{head} {}", execute(&brought.values)))
            .await
    }

    /// Rolls back, and forgets the statement where it should be prepared again.
    pub async fn end(&self) {
        // A session that is gone has rolled back by itself.
        let _ = self.session.simple_within("ROLLBACK", self.deadline).await;
    }

    /// Forgets the prepared statement.
    ///
    /// # Errors
    /// When there is none.
    pub async fn deallocate(&self) -> Result<(), ReachError> {
        let sql = "DEALLOCATE muster_trial";
        self.session.simple_within(sql, self.deadline).await.map(|_| ())
    }

    async fn mode(&self, mode: &str) -> Result<(), ReachError> {
        self.set("plan_cache_mode", mode).await
    }

    async fn explained(&self, sql: &str) -> Result<Value, ReachError> {
        let answer = self
            .session
            .simple_within(sql, self.deadline)
            .await
            .map_err(silent)?;
        let text: String = answer
            .iter()
            .filter_map(|m| match m {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        serde_json::from_str(&text).map_err(|e| {
            let reason = format!("its plan cannot be read: {e}");
            ReachError::new(&self.address, Trouble::Statement, reason)
        })
    }
}

/// `EXECUTE` with values; each is a text that the server reads as the parameter's type.
fn execute(values: &[String]) -> String {
    let literal = |v: &String| {
        if v == "\\N" {
            "NULL".to_owned()
        } else {
            format!("E'{}'", v.replace('\\', "\\\\").replace('\'', "''"))
        }
    };
    let list: Vec<String> = values.iter().map(literal).collect();
    call(&list)
}

fn execute_nulls(parameters: usize) -> String {
    call(&vec!["NULL".to_owned(); parameters])
}

fn call(list: &[String]) -> String {
    if list.is_empty() {
        "EXECUTE muster_trial".to_owned()
    } else {
        format!("EXECUTE muster_trial({})", list.join(", "))
    }
}

/// What the server says of a person's text, without what could be a value.
fn silent(mut e: ReachError) -> ReachError {
    let said = e.sqlstate.as_deref().unwrap_or_default();
    // Data exceptions and syntax errors quote the text.
    if (said.starts_with("22") || said == "42601")
        && let Some(at) = e.reason.find('"')
    {
        let quoted = &e.reason[at..];
        let harmless = said == "42601"
            && quoted
                .chars()
                .all(|c| c.is_alphabetic() || "\";,)(_ ".contains(c));
        if !harmless {
            e.reason = format!("{} …", e.reason[..at].trim_end_matches([' ', ':']));
        }
    }
    e.reason = redact::statement(&e.reason);
    e
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_literals_that_nothing_escapes_from() {
        let values = ["4".to_owned(), "O'Hara\\' OR 1=1 --".to_owned(), "\\N".to_owned()];
        assert_eq!(
            execute(&values),
            "EXECUTE muster_trial(E'4', E'O''Hara\\\\'' OR 1=1 --', NULL)"
        );
        assert_eq!(execute(&[]), "EXECUTE muster_trial");
        assert_eq!(execute_nulls(2), "EXECUTE muster_trial(NULL, NULL)");
    }

    #[test]
    fn what_the_server_says_of_a_value_is_cut() {
        let said = |code: &str, reason: &str| {
            let mut e = ReachError::new("a", Trouble::Statement, reason);
            e.sqlstate = Some(code.to_owned());
            silent(e).reason
        };
        assert_eq!(
            said("22P02", "invalid input syntax for type integer: \"geheim\""),
            "invalid input syntax for type integer …"
        );
        assert_eq!(
            said("42601", "syntax error at or near \"SELEC\""),
            "syntax error at or near \"SELEC\""
        );
        assert_eq!(
            said("42601", "syntax error at or near \"'geheim'\""),
            "syntax error at or near …"
        );
        assert_eq!(
            said("42P01", "relation \"notes\" does not exist"),
            "relation \"notes\" does not exist"
        );
    }
}
