//! The incident corpus on one major, everything read every second: each fault is named by its cause, nothing is named that is not there.

use muster::bench::diagnosis::{Play, Row, play};
use muster::corpus::read;

use crate::shapes::root;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_named_and_nothing_else() {
    let cases = read(&root().join("corpus")).expect("the corpus reads");
    // Where parts are missing, the other tests of fleets are left out as well.
    if muster_lab::testing::fleet(crate::stage::pooled(15))
        .await
        .is_none()
    {
        return;
    }
    let how = Play {
        pg: Some("15".to_owned()),
        only: None,
        fast: true,
        jobs: 4,
    };
    let (major, rows) = play(&cases, &how).await.map_err(|f| f.message).expect("plays");
    assert_eq!(major, 15);
    let played = cases.iter().filter(|c| c.plays_on(15)).count();
    assert_eq!(rows.len(), played);
    let wrong: Vec<String> = rows
        .iter()
        .filter(|r| !r.passed())
        .map(|r: &Row| format!("{}: {}", r.case, r.why()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
