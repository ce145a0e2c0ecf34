//! What of a configuration counts after a restart only.

use super::Config;

/// What counts at once.
const AT_ONCE: [&str; 2] = ["log.filter", "token"];

impl Config {
    /// The keys that are read at start alone, and are others in `next`.
    pub(crate) fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        let (told, next) = (self.told(), next.told());
        let changed = told.iter().zip(&next).filter(|(now, next)| now != next).map(|((key, _), _)| *key);
        changed.filter(|key| !AT_ONCE.contains(key)).collect()
    }
}
