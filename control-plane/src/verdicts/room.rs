//! Room for lookups of unlisted domains, which anybody with a trusted certificate can make up.
//!
//! What our own services ask for has a room of its own. That of other backends is shared out among them
//! ([`fedgate_policy::Room`]): who has taken his share waits until lookups of his have ended, and nobody
//! waits for him. A lookup that is under way already is joined, whoever began it, and costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fedgate_policy::{Asker, Domain};

/// Questions of theirs under way at one time, over all DNS servers: of the sockets that there are for
/// discovery, the rest is always there for listed domains.
const QUESTIONS: usize = 256;
/// The same for our own services.
const OUR_QUESTIONS: usize = 64;
/// How many lookups there is room for at least, however many questions one takes.
const LEAST: usize = 8;
/// How long to wait before asking for a place again.
const PAUSE: Duration = Duration::from_millis(100);

/// The lookups under way, and who began them.
#[derive(Debug)]
pub(super) struct Room {
    peers: fedgate_policy::Room,
    ours: usize,
    taken: Mutex<HashMap<Domain, Asker>>,
}

/// Leave to look up, or to wait for who does.
#[derive(Debug)]
pub(super) enum Place {
    /// It is being looked up.
    Shared,
    /// Given back when it is dropped.
    Own { room: Arc<Room>, domain: Domain },
}

// === impl Room ===

impl Room {
    /// For lookups that have up to so many questions under way at one time.
    pub(super) fn new(width: usize) -> Self {
        let lookups = |questions: usize| questions.checked_div(width).unwrap_or(questions).max(LEAST);
        Self {
            peers: fedgate_policy::Room(lookups(QUESTIONS)),
            ours: lookups(OUR_QUESTIONS),
            taken: Mutex::default(),
        }
    }

    /// A place for a lookup on somebody's behalf, as soon as there is one.
    pub(super) async fn enter(self: &Arc<Self>, domain: &Domain, asker: Asker) -> Place {
        loop {
            if let Some(place) = self.try_enter(domain, asker) {
                return place;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn try_enter(self: &Arc<Self>, domain: &Domain, asker: Asker) -> Option<Place> {
        let mut taken = self.taken();
        if taken.contains_key(domain) {
            return Some(Place::Shared);
        }
        let ours = taken.values().filter(|other| **other == Asker::Ours).count();
        let admitted = match asker {
            Asker::Ours => ours < self.ours,
            Asker::Peer(_) => {
                let own = taken.values().filter(|other| **other == asker).count();
                self.peers.admits(taken.len().saturating_sub(ours), own)
            }
        };
        admitted.then(|| {
            taken.insert(domain.clone(), asker);
            Place::Own { room: self.clone(), domain: domain.clone() }
        })
    }

    /// Whether a domain is being looked up.
    pub(super) fn holds(&self, domain: &Domain) -> bool {
        self.taken().contains_key(domain)
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Domain, Asker>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Own { room, domain } = self {
            room.taken().remove(domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(number: usize) -> Domain {
        format!("d{number}.com").parse().unwrap()
    }

    /// Enters with made-up domains until there is no place.
    fn flood(room: &Arc<Room>, asker: Asker, from: usize) -> Vec<Place> {
        (from..).map_while(|number| room.try_enter(&domain(number), asker)).collect()
    }

    const P: Asker = Asker::Peer(1);

    #[test]
    fn a_flood_takes_a_share_and_leaves_room_for_others_and_for_us() {
        let room = Arc::new(Room::new(1));
        let places = flood(&room, P, 0);
        assert_eq!(places.len(), 39);
        let theirs: Vec<_> = (2..60)
            .zip((1..).map(|n| n * 1000))
            .map(|(peer, from)| flood(&room, Asker::Peer(peer), from))
            .collect();
        assert!(theirs.iter().all(|places| !places.is_empty()));
        assert_eq!(flood(&room, Asker::Ours, 90_000).len(), 64);
        assert!(room.try_enter(&domain(39), P).is_none());
        assert!(matches!(room.try_enter(&domain(7), Asker::Peer(99)), Some(Place::Shared)));
        drop((places, theirs));
        assert!(room.taken().is_empty(), "places are given back");
    }

    #[test]
    fn lookups_that_ask_much_are_fewer() {
        for (width, peers, ours) in [(0, 256, 64), (1, 256, 64), (3, 85, 21), (9, 28, 8), (100, 8, 8)] {
            let room = Room::new(width);
            assert_eq!((room.peers.0, room.ours), (peers, ours), "{width}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_taken_his_share_waits_for_lookups_of_his_own() {
        let room = Arc::new(Room::new(1));
        let mut places = flood(&room, P, 0);
        let late = domain(1000);
        let mut waiting = tokio::spawn({
            let (room, late) = (room.clone(), late.clone());
            async move { room.enter(&late, P).await }
        });
        let patience = Duration::from_secs(60);
        assert!(tokio::time::timeout(patience, &mut waiting).await.is_err());
        assert!(!room.holds(&late));
        places.pop();
        assert!(matches!(waiting.await.unwrap(), Place::Own { .. }));
        assert!(!room.holds(&late), "and it was given back");
    }
}
