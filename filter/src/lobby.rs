//! Where connections from outside wait until something is permitted on them: for a while, and in limited room.
//!
//! ```text
//!  connection ──► lobby ── a request is permitted ──► stays, as long as the listener lets it
//!                   ├── none within `patience_s` ───► closed
//!                   └── no room: the one that has waited for longest ──► closed
//! ```
//!
//! So whoever has nothing to show cannot keep those out who have: not by idle connections, by half a
//! handshake or half a request, nor by requests that are refused. What Envoy itself has for this does not tell
//! a connection on which something was permitted from another.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, StreamContext};
use proxy_wasm::types::Action;

use crate::config::LobbyConfig;
use crate::host::{self, Metric};

/// How often the lobby is looked after; its measure of time, which no step of the clock disturbs.
const TICK: Duration = Duration::from_millis(100);
const TICKS_A_SECOND: u64 = 10;

/// The lobby of one worker.
pub(crate) struct Lobby {
    root: u32,
    config: LobbyConfig,
    ticks: Cell<u64>,
    /// Those who came, in their order: when, and their contexts. Some are gone, and some admitted meanwhile.
    guests: RefCell<VecDeque<(u64, u32)>>,
    impatience: Option<Metric>,
    crowding: Option<Metric>,
}

/// One connection, as Envoy drives it.
pub(crate) struct Guest {
    id: u32,
    lobby: Rc<Lobby>,
}

// === impl Lobby ===

impl Lobby {
    /// An empty one. `root` is the root context.
    pub(crate) fn new(config: LobbyConfig, root: u32) -> Self {
        host::tick_every(TICK);
        Self {
            root,
            config,
            ticks: Cell::new(0),
            guests: RefCell::default(),
            impatience: host::counter("fedgate.lobby_timeouts"),
            crowding: host::counter("fedgate.lobby_evictions"),
        }
    }

    /// Shows out who is to go. (Not while a connection comes in: the SDK cannot have one go meanwhile.)
    pub(crate) fn tick(&self) {
        let now = self.ticks.get().saturating_add(1);
        self.ticks.set(now);
        let patience = self.config.patience_s.saturating_mul(TICKS_A_SECOND);
        // Given back before a guest goes: a second borrow would panic.
        let next = || next(&mut self.guests.borrow_mut(), now, patience, self.config.places);
        while let Some((guest, crowded)) = next() {
            if host::act_for(guest).is_err() || host::is_admitted() {
                continue;
            }
            let (why, metric) = if crowded {
                ("nothing was permitted on it, and others need the room", self.crowding)
            } else {
                ("nothing was permitted on it in time", self.impatience)
            };
            host::note("fedgate_closed", why);
            host::increment(metric, 1);
            host::close();
        }
        if host::act_for(self.root).is_err() {
            log::error!("the root context is gone");
        }
    }
}

/// Takes who came first, if that one's time is over, or else too many are here; and whether it is the latter.
fn next(
    guests: &mut VecDeque<(u64, u32)>,
    now: u64,
    patience: u64,
    places: usize,
) -> Option<(u32, bool)> {
    let &(came, guest) = guests.front()?;
    let late = now.saturating_sub(came) >= patience;
    if !late && guests.len() <= places {
        return None;
    }
    guests.pop_front();
    Some((guest, !late))
}

// === impl Guest ===

impl Guest {
    /// The connection whose context is `id`.
    pub(crate) fn new(id: u32, lobby: Rc<Lobby>) -> Self {
        Self { id, lobby }
    }
}

impl Context for Guest {}

impl StreamContext for Guest {
    fn on_new_connection(&mut self) -> Action {
        self.lobby.guests.borrow_mut().push_back((self.lobby.ticks.get(), self.id));
        Action::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn who_came_first_goes_first_when_time_or_room_is_over() {
        let all = [(5, 1), (5, 2), (7, 3)];
        for (now, places, expected) in [
            (5, 3, &[][..]),
            (14, 3, &[]),
            (15, 3, &[(1, false), (2, false)]),
            (17, 3, &[(1, false), (2, false), (3, false)]),
            (u64::MAX, 0, &[(1, false), (2, false), (3, false)]),
            (7, 2, &[(1, true)]),
            (7, 0, &[(1, true), (2, true), (3, true)]),
            (15, 0, &[(1, false), (2, false), (3, true)]),
            (0, 3, &[]),
        ] {
            let mut guests = all.into();
            let gone: Vec<_> = std::iter::from_fn(|| next(&mut guests, now, 10, places)).collect();
            assert_eq!(gone, expected, "at {now}, {places} places");
            assert_eq!(guests.len(), all.len() - gone.len());
        }
    }
}
