//! A collector that breaks ends its own reading and nothing else: what it broke on is a Gap, and the watch goes on.
//!
//! A column that a server has as something else than was thought ends in a panic of the driver. Nobody would watch a server
//! whose watcher dies of its answer once a second.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use muster_reach::ReachError;
use muster_reach::error::Trouble;

/// The outcome of some reading, also when it broke off in a panic.
pub(crate) async fn caught<T>(
    target: &str,
    work: impl Future<Output = Result<T, ReachError>>,
) -> Result<T, ReachError> {
    // What the reading had half written is a picture, and every part of it carries its own age.
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let reason = format!("an answer could not be read: {}", words(panic.as_ref()));
            Err(ReachError::new(target, Trouble::Statement, reason))
        })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words_and_an_answer_stays_one() {
        assert_eq!(caught("shop/a", async { Ok(7) }).await, Ok(7));
        let none = "no number".parse::<u32>().ok();
        let e = caught("shop/a", async { Ok(none.expect("a column")) })
            .await
            .expect_err("broke");
        assert_eq!((e.target.as_str(), &e.trouble), ("shop/a", &Trouble::Statement));
        assert!(e.reason.contains("a column"), "{e}");
        assert!(e.remedy().contains("report"), "{}", e.remedy());
    }
}
