//! An index that is not there: hypopg makes the planner of one session believe in it.
//!
//! It costs no lock and no disk, and is gone with the session. Only plain EXPLAIN sees it.

use muster_reach::{ReachError, Trial};

const CREATE: &str = include_str!("../sql/hypo_create.sql");
const SIZE: &str = include_str!("../sql/hypo_size.sql");
const RESET: &str = include_str!("../sql/hypo_reset.sql");

/// A hypothetical index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hypothetical {
    /// Its name in plans.
    pub name: String,
    /// What it would take on disk, as hypopg estimates.
    pub bytes: Option<u64>,
}

impl Hypothetical {
    /// Makes the planner believe in it. `ddl` has only quoted names. hypopg must be on the session's path.
    ///
    /// # Errors
    /// When hypopg refuses.
    pub async fn create(trial: &Trial, ddl: &str) -> Result<Option<Self>, ReachError> {
        let rows = trial.query(CREATE, &[&ddl]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (oid, name): (i64, String) = (row.get("oid"), row.get("name"));
        let size = trial.query(SIZE, &[&oid]).await?;
        let bytes = size
            .first()
            .and_then(|r| u64::try_from(r.get::<_, i64>("bytes")).ok());
        Ok(Some(Self { name, bytes }))
    }

    /// Forgets all of them.
    ///
    /// # Errors
    /// When the session is gone.
    pub async fn reset(trial: &Trial) -> Result<(), ReachError> {
        trial.query(RESET, &[]).await.map(|_| ())
    }
}
