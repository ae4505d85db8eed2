//! The node's condition, for those who route requests to it or restart it: `/health` and `/ready`
//! over HTTP, and gRPC health, which follows `/ready`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

/// A condition that was told longer ago than this is nobody's any more: whoever looks has ended.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Something that must hold, and the reason why it does or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which does not change: alerts and scripts match on it.
    pub name: &'static str,
    /// True if it holds.
    pub ok: bool,
    /// A sentence with the figure and its bound.
    pub reason: String,
}

/// All checks at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The newest block's height.
    pub height: u64,
    /// The checks of a node that works: while one fails, a restart or an operator is needed.
    pub health: Vec<Check>,
    /// The checks of a node that answers as the chain would: while one fails, requests are better
    /// off elsewhere.
    pub ready: Vec<Check>,
}

/// The last condition that was told. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Option<(Instant, Condition)>>>);

/// A page's content, as JSON.
#[derive(Serialize)]
struct Page<'a> {
    ok: bool,
    height: u64,
    checks: &'a [Check],
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl Readiness {
    /// Tells the condition of now.
    pub fn tell(&self, condition: Condition) {
        self.0.send_replace(Some((Instant::now(), condition)));
    }

    /// Returns true if every check of `/ready` held a moment ago.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|(at, condition)| {
            at.elapsed() <= TOLD_WITHIN && all_hold(&condition.ready)
        })
    }

    /// Waits until the condition is told anew, or for a second.
    pub async fn told(&self) {
        let mut told = self.0.subscribe();
        told.mark_unchanged();
        let _ = tokio::time::timeout(Duration::from_secs(1), told.changed()).await;
    }

    /// Page `/health`: true if all is well, and the page's text.
    #[must_use]
    pub fn health_page(&self) -> (bool, String) {
        self.page(|condition| &condition.health)
    }

    /// Page `/ready`, as [`Readiness::health_page`].
    #[must_use]
    pub fn ready_page(&self) -> (bool, String) {
        self.page(|condition| &condition.ready)
    }

    fn page(&self, checks: impl Fn(&Condition) -> &[Check]) -> (bool, String) {
        let told = self.0.borrow();
        let watched = |reason: String| Check { name: "watch", ok: false, reason };
        let (height, checks) = match told.as_ref() {
            None => (0, vec![watched("the node has just started".to_owned())]),
            Some((at, condition)) if at.elapsed() > TOLD_WITHIN => {
                let reason =
                    format!("the node has not looked at itself for {} s", at.elapsed().as_secs());
                (condition.height, vec![watched(reason)])
            }
            Some((_, condition)) => (condition.height, checks(condition).to_vec()),
        };
        let ok = all_hold(&checks);
        let page = Page { ok, height, checks: &checks };
        // Numbers and texts always make JSON.
        (ok, serde_json::to_string(&page).unwrap_or_default() + "\n")
    }
}

fn all_hold(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &'static str, ok: bool) -> Check {
        Check { name, ok, reason: format!("{name} is {ok}") }
    }

    #[test]
    fn a_page_has_every_check_with_its_reason_and_one_that_fails_is_enough() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready() && !readiness.health_page().0, "nothing is told yet");
        let ready = vec![check("synced", true), check("disk", false)];
        readiness.tell(Condition { height: 7, health: vec![check("blocks", true)], ready });
        let (ok, text) = readiness.ready_page();
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!ok && !readiness.is_ready() && page["ok"] == false && page["height"] == 7);
        assert_eq!(page["checks"][1]["name"], "disk");
        assert_eq!(page["checks"][1]["reason"], "disk is false");
        assert!(readiness.health_page().0, "health has checks of its own");
        let ready = vec![check("synced", true)];
        readiness.tell(Condition { height: 8, health: Vec::new(), ready });
        assert!(readiness.is_ready() && readiness.ready_page().0);
    }
}
