//! Which of the functions, operators and types that a statement names could do more than read: what the server itself says of them.
//!
//! Names are looked up without their schemas: any function of that name that may have an effect is a doubt. The views that a
//! statement reads are opened, and the views in them.

use std::collections::BTreeSet;

use muster_reach::{ReachError, Trial, redact};

const VOLATILE: &str = include_str!("../sql/query_volatile.sql");
const VIEWS: &str = include_str!("../sql/query_views.sql");
/// Views in views in views.
const DEEP: usize = 12;

/// Something that may have an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// `function`, `operator`, `type`.
    pub what: String,
    /// Its name.
    pub name: String,
}

/// The doubts about a statement. `names` tells the functions, operators and words of a text without literals.
///
/// # Errors
/// When the server cannot be asked.
pub async fn doubts<F>(trial: &Trial, texts: &[String], names: F) -> Result<Vec<Doubt>, ReachError>
where
    F: Fn(&str) -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>),
{
    let (mut calls, mut operators, mut words) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut opened: BTreeSet<String> = BTreeSet::new();
    let mut texts: Vec<String> = texts.to_vec();
    for _ in 0..DEEP {
        let mut fresh = BTreeSet::new();
        for text in &texts {
            let (c, o, w) = names(text);
            calls.extend(c);
            operators.extend(o);
            fresh.extend(w);
        }
        let ask: Vec<String> = fresh.difference(&words).cloned().collect();
        words.extend(fresh);
        if ask.is_empty() {
            break;
        }
        let rows = trial.query(VIEWS, &[&ask]).await?;
        texts = rows
            .iter()
            .filter(|r| opened.insert(r.get("name")))
            .filter_map(|r| r.get::<_, Option<String>>("text"))
            .map(|t| redact::whole_statement(&t))
            .collect();
        if texts.is_empty() {
            break;
        }
    }
    let list = |of: BTreeSet<String>| of.into_iter().collect::<Vec<String>>();
    let (calls, operators, words) = (list(calls), list(operators), list(words));
    let rows = trial.query(VOLATILE, &[&calls, &operators, &words]).await?;
    Ok(rows
        .iter()
        .map(|r| Doubt {
            what: r.get("what"),
            name: r.get("name"),
        })
        .collect())
}
