//! The first thing that anybody runs: `muster up`, here with its tour, while somebody else has the usual port.

use muster_lab::testing;

use crate::stage::{Stage, muster, pooled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_tells_the_whole_story_on_the_next_free_port_and_leaves_nothing() {
    if Stage::new(pooled(2)).await.is_none() {
        return;
    }
    // Either this takes the port, or somebody has it already.
    let taken = std::net::TcpListener::bind("127.0.0.1:7432");
    let dir = testing::small(15).dir;
    let folder = dir.display().to_string();
    let said = muster(None, &["up", "--tour", "--pg", "15", "--dir", &folder]).await;
    drop(taken);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("open      http://127.0.0.1:"), "{}", said.out);
    assert!(!said.out.contains("http://127.0.0.1:7432/"), "{}", said.out);
    for told in [
        "lab inject idle-in-transaction-leak",
        "Approved by",
        "Proven: symptom and cause are gone",
        "# i-",
        "repaired and proven; watched for a relapse",
    ] {
        assert!(said.out.contains(told), "`{told}` is not in {}", said.out);
    }
    assert!(!dir.exists(), "{folder} is left");
}
