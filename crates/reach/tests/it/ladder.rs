//! The lower rungs need no server: a name that does not resolve, a port that is closed, a port that never speaks.

use std::time::{Duration, Instant};

use muster_model::snapshot::Rung;
use muster_reach::error::Trouble;
use muster_reach::{Limits, ReachError};

use crate::estate::{login, server, url};

async fn refused(text: &str) -> ReachError {
    let limits = Limits {
        connect: Duration::from_millis(300),
        ..Limits::default()
    };
    let cluster = server(login(text), None, &limits);
    cluster.servers[0].observing().await.err().expect("an error")
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_the_rung_dns() {
    // An empty label is no name: this needs no name server.
    let e = refused("postgres://muster@db..invalid:5432/app").await;
    assert_eq!(
        (e.trouble.clone(), e.rung()),
        (Trouble::Dns, Some(Rung::Dns)),
        "{e}"
    );
    assert!(e.remedy().contains("host name"), "{}", e.remedy());
    assert_eq!(e.target, "shop/a");
}

#[tokio::test]
async fn a_closed_port_is_the_rung_tcp() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let e = refused(&url(port, "muster", "app")).await;
    assert_eq!(
        (e.trouble.clone(), e.rung()),
        (Trouble::Tcp, Some(Rung::Tcp)),
        "{e}"
    );
    assert!(e.remedy().contains("port"), "{}", e.remedy());
}

#[tokio::test]
async fn a_port_that_never_speaks_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let began = Instant::now();
    let e = refused(&url(
        listener.local_addr().expect("address").port(),
        "muster",
        "app",
    ))
    .await;
    assert_eq!(e.rung(), Some(Rung::Tcp), "{e}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_login_that_cannot_be_read_says_how_to_write_it() {
    for text in [
        "postgres://u@h/d?sslmode=maybe",
        "user=muster",
        "postgres://u@h:port/d",
    ] {
        let e = refused(text).await;
        assert_eq!(e.trouble, Trouble::Login, "{text}: {e}");
        assert!(e.remedy().contains("postgres://"), "{}", e.remedy());
    }
}

#[tokio::test]
async fn a_failed_connect_is_not_hammered() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let cluster = server(login(&url(port, "muster", "app")), None, &Limits::default());
    let server = &cluster.servers[0];
    let first = server.observing().await.err().expect("an error");
    // From here on somebody listens; within the pause the old answer is given and nobody knocks.
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("binds");
    listener.set_nonblocking(true).expect("nonblocking");
    let second = server.observing().await.err().expect("an error");
    assert_eq!(first, second);
    assert!(listener.accept().is_err(), "somebody knocked");
}
