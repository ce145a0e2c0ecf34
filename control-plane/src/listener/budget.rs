//! How many connections each listener may have, and whether the system lets us have them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Listener;

/// How many connections there may be at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// All of them.
    pub(crate) connections: usize,
    /// Those of peers that have shown no right token.
    pub(crate) strangers: usize,
}

/// The limits of all listeners. None can take another's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    admin: Limits,
    verdicts: Limits,
    xds: Limits,
    wire: Limits,
}

/// What there is where nothing is in short supply: of xDS, as many as it has streams, and strangers.
const WANTED: Budget = Budget {
    admin: Limits { connections: 1024, strangers: 512 },
    verdicts: Limits { connections: 12_032, strangers: 512 },
    xds: Limits { connections: 2048, strangers: 512 },
    wire: Limits { connections: 256, strangers: 128 },
};
/// Open files for everything else: questions to DNS, addresses that are tried, the store.
const OTHER: u64 = 1024;

// === impl Budget ===

impl Budget {
    /// Raises the limit of open files as far as we may, and shares out what there is.
    pub(crate) fn secure() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        let files = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        let budget = files.map_or(WANTED, Self::of);
        if let Some(files) = files.filter(|files| *files < WANTED.files()) {
            tracing::warn!(
                open_files = files,
                wanted = WANTED.files(),
                admin = budget.admin.connections,
                verdicts = budget.verdicts.connections,
                xds = budget.xds.connections,
                wire = budget.wire.connections,
                "the limit of open files is too small for as many connections as there might be: raise it (LimitNOFILE=, ulimit -n)"
            );
        }
        budget
    }

    /// What a number of open files is enough for: all that is wanted, or each listener's part of it.
    fn of(files: u64) -> Self {
        let wanted = WANTED.connections();
        let left = files.saturating_sub(OTHER.min(files / 4)).min(wanted);
        let part = |limits: Limits| {
            let share = |number: usize| {
                let number = u64::try_from(number).unwrap_or(u64::MAX);
                let share = number.saturating_mul(left).checked_div(wanted).unwrap_or_default();
                usize::try_from(share).unwrap_or(usize::MAX).max(2)
            };
            let connections = share(limits.connections);
            Limits { connections, strangers: limits.strangers.min(connections.div_ceil(2)) }
        };
        Self {
            admin: part(WANTED.admin),
            verdicts: part(WANTED.verdicts),
            xds: part(WANTED.xds),
            wire: part(WANTED.wire),
        }
    }

    /// The part of one listener.
    pub(crate) fn limits(&self, listener: Listener) -> Limits {
        match listener {
            Listener::Admin => self.admin,
            Listener::Verdicts => self.verdicts,
            Listener::Xds => self.xds,
            Listener::Wire => self.wire,
        }
    }

    fn connections(&self) -> u64 {
        let all = [self.admin, self.verdicts, self.xds, self.wire].map(|limits| limits.connections);
        u64::try_from(all.iter().sum::<usize>()).unwrap_or(u64::MAX)
    }

    fn files(&self) -> u64 {
        self.connections().saturating_add(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_of_files_is_shared_out_and_admin_has_its_part() {
        for (files, [admin, verdicts, xds, wire]) in [
            (u64::MAX, [(1024, 512), (12_032, 512), (2048, 512), (256, 128)]),
            (16_384, [(1024, 512), (12_032, 512), (2048, 512), (256, 128)]),
            (10_240, [(614, 307), (7219, 512), (1228, 512), (153, 77)]),
            (1024, [(51, 26), (601, 301), (102, 51), (12, 6)]),
            (0, [(2, 1); 4]),
        ] {
            let limits = |(connections, strangers)| Limits { connections, strangers };
            let [admin, verdicts, xds, wire] = [admin, verdicts, xds, wire].map(limits);
            let budget = Budget::of(files);
            assert_eq!(budget, Budget { admin, verdicts, xds, wire }, "{files}");
            assert!(files < 100 || budget.connections() < files, "{files}");
        }
    }
}
