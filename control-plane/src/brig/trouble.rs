//! What is wrong between brig and us, since when; told once when it begins, and once when it is over.

use std::time::SystemTime;

/// How it stands with brig.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    /// When it last went well.
    pub(crate) last_success: Option<SystemTime>,
    /// Since when it does not, and why not.
    pub(crate) failing: Option<(SystemTime, String)>,
    /// Whether it was told that the lists differ.
    told: bool,
}

// === impl Trouble ===

impl Trouble {
    /// A round has ended, well or not.
    pub(super) fn heard(&mut self, failure: Option<&String>) {
        let now = SystemTime::now();
        match (failure, &mut self.failing) {
            (None, failing) => {
                self.last_success = Some(now);
                if failing.take().is_some() {
                    tracing::info!("brig's list is heard of again");
                }
            }
            (Some(cause), Some((_, known))) => known.clone_from(cause),
            (Some(cause), failing) => {
                tracing::warn!(
                    cause,
                    "we are not in step with brig; the border goes by our list, and nothing waits for brig"
                );
                *failing = Some((now, cause.clone()));
            }
        }
    }

    /// So many rows differ and stay so, of which one is `first`; and these are the strategies.
    pub(super) fn differs(&mut self, stands: usize, first: Option<&str>, strategies: (&str, &str)) {
        let (ours, brigs) = strategies;
        let differs = stands > 0 || ours != brigs;
        match (self.told, differs) {
            (false, true) => tracing::warn!(
                rows = stands,
                first,
                strategy = ours,
                strategy_of_brig = brigs,
                "brig's list differs from ours, and nothing here mends it: see `fedgate brig diff`"
            ),
            (true, false) => tracing::info!("brig's list and ours agree again"),
            (true, true) | (false, false) => {}
        }
        self.told = differs;
    }
}
