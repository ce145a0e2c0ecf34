//! Who has a place at a listener, and who gives way where there is none.
//!
//! Whoever comes is a stranger. Where strangers have no place left, the one that has been here for longest
//! goes, of those at the address that has most of them: who opens many connections displaces his own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Limits;
use crate::telemetry;

/// The time that a stranger has, to be heard at all, before it gives way. A thousand peers that all
/// come at once, after we were away, are no reason to displace any.
const GRACE: Duration = Duration::from_millis(100);

/// A number of a connection, in the order in which they came.
type Number = u64;

/// The connections of a listener; `T` is how one of them is told to go.
#[derive(Debug)]
pub(super) struct Crowd<T> {
    limits: Limits,
    next: Number,
    strangers: HashMap<IpAddr, BTreeMap<Number, (Instant, T)>>,
    known: HashSet<Number>,
    displaced: u64,
    turned_away: u64,
}

/// Whether one more may come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room<T> {
    /// It may.
    Free,
    /// It may, once this one from there was told to go, which has no place any more.
    InPlaceOf(IpAddr, T),
    /// Not before so long, when somebody has had his time.
    After(Duration),
    /// It may not: nobody here gives way.
    None,
}

/// The crowd of a listener.
#[derive(Clone, Debug)]
pub(crate) struct SharedCrowd(Arc<Mutex<Crowd<Arc<Notify>>>>);

/// The place of one connection, which is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: SharedCrowd,
    from: IpAddr,
    number: Number,
    displaced: Arc<Notify>,
}

/// A place for a connection from there, once there is one, and from where one had to go for it; none where
/// all are taken by peers we know.
pub(super) async fn enter(crowd: &SharedCrowd, from: IpAddr) -> Option<(Place, Option<IpAddr>)> {
    let from = network(from);
    loop {
        let pause = {
            let mut held = lock(&crowd.0);
            let now = Instant::now();
            let displaced = match held.room(now) {
                Room::Free => Ok(None),
                Room::InPlaceOf(from, stranger) => {
                    held.displaced = held.displaced.saturating_add(1);
                    stranger.notify_one();
                    Ok(Some(from))
                }
                Room::After(pause) => Err(pause),
                Room::None => {
                    held.turned_away = held.turned_away.saturating_add(1);
                    return None;
                }
            };
            match displaced {
                Ok(gone) => {
                    let displaced = Arc::new(Notify::new());
                    let number = held.enter(from, now, displaced.clone());
                    return Some((Place { crowd: crowd.clone(), from, number, displaced }, gone));
                }
                Err(pause) => pause,
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// What an address counts as: of IPv6, whoever has one has a whole /64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What is behind the lock is whole between any two of its changes, whoever panics.
fn lock<T>(crowd: &Mutex<Crowd<T>>) -> MutexGuard<'_, Crowd<T>> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl SharedCrowd ===

impl SharedCrowd {
    /// Nobody, so far.
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Crowd::of(limits))))
    }

    /// Who is here, and who had to go.
    pub(crate) fn facts(&self) -> telemetry::Connections {
        let held = lock(&self.0);
        telemetry::Connections {
            known: held.known.len(),
            strangers: held.strangers(),
            displaced: held.displaced,
            turned_away: held.turned_away,
        }
    }
}

// === impl Place ===

impl Place {
    /// Its peer is known now: it gives way to nobody.
    pub(super) fn keep(&self) {
        lock(&self.crowd.0).know(self.from, self.number);
    }

    /// Waits until it has to give way.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.crowd.0).leave(self.from, self.number);
    }
}

// === impl Crowd ===

impl<T> Crowd<T> {
    fn of(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            strangers: HashMap::new(),
            known: HashSet::new(),
            displaced: 0,
            turned_away: 0,
        }
    }

    fn strangers(&self) -> usize {
        self.strangers.values().map(BTreeMap::len).sum()
    }

    fn room(&mut self, now: Instant) -> Room<T> {
        let strangers = self.strangers();
        let all = strangers.saturating_add(self.known.len());
        if strangers < self.limits.strangers && all < self.limits.connections {
            return Room::Free;
        }
        let oldest = |at: &BTreeMap<Number, _>| at.first_key_value().map(|(number, _)| *number);
        let crowded =
            self.strangers.iter().max_by_key(|(_, at)| (at.len(), std::cmp::Reverse(oldest(at))));
        let Some((from, (number, (since, _)))) =
            crowded.and_then(|(from, at)| Some((*from, at.first_key_value()?)))
        else {
            return Room::None;
        };
        let number = *number;
        let age = now.saturating_duration_since(*since);
        if let Some(left) = GRACE.checked_sub(age).filter(|left| !left.is_zero()) {
            return Room::After(left);
        }
        self.remove(from, number).map_or(Room::Free, |stranger| Room::InPlaceOf(from, stranger))
    }

    fn enter(&mut self, from: IpAddr, now: Instant, stranger: T) -> Number {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.strangers.entry(from).or_default().insert(number, (now, stranger));
        number
    }

    /// One that was displaced already stays so.
    fn know(&mut self, from: IpAddr, number: Number) {
        if self.remove(from, number).is_some() {
            self.known.insert(number);
        }
    }

    fn leave(&mut self, from: IpAddr, number: Number) {
        if self.remove(from, number).is_none() {
            self.known.remove(&number);
        }
    }

    fn remove(&mut self, from: IpAddr, number: Number) -> Option<T> {
        let at = self.strangers.get_mut(&from)?;
        let (_, stranger) = at.remove(&number)?;
        if at.is_empty() {
            self.strangers.remove(&from);
        }
        Some(stranger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const FEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn crowd(connections: usize, strangers: usize, from: &[IpAddr]) -> (Crowd<usize>, Instant) {
        let start = Instant::now();
        let mut crowd = Crowd::of(Limits { connections, strangers });
        for (which, from) in from.iter().enumerate() {
            crowd.enter(*from, start, which);
        }
        (crowd, start + GRACE)
    }

    #[test]
    fn the_oldest_of_the_most_crowded_address_gives_way() {
        for (strangers, from, room) in [
            (4, [FEW, MANY, MANY], Room::Free),
            (3, [FEW, MANY, MANY], Room::InPlaceOf(MANY, 1)),
            (3, [MANY, FEW, MANY], Room::InPlaceOf(MANY, 0)),
            (3, [MANY, MANY, MANY], Room::InPlaceOf(MANY, 0)),
        ] {
            let (mut crowd, now) = crowd(9, strangers, &from);
            assert_eq!(crowd.room(now), room, "{strangers} {from:?}");
        }
        // Where all are as many, whoever came first.
        let (mut crowd, now) = crowd(9, 2, &[FEW, MANY]);
        assert_eq!(crowd.room(now), Room::InPlaceOf(FEW, 0));
    }

    #[test]
    fn nobody_gives_way_who_just_came() {
        let (mut crowd, now) = crowd(9, 1, &[MANY]);
        let early = now.checked_sub(Duration::from_millis(30)).unwrap();
        assert_eq!(crowd.room(early), Room::After(Duration::from_millis(30)));
        assert_eq!(crowd.room(now), Room::InPlaceOf(MANY, 0));
        assert_eq!(crowd.room(now), Room::Free);
    }

    #[test]
    fn whoever_is_known_gives_way_to_nobody() {
        let (mut crowd, now) = crowd(2, 2, &[MANY, MANY]);
        crowd.know(MANY, 0);
        assert_eq!(crowd.room(now), Room::InPlaceOf(MANY, 1), "all places are taken, one by a stranger");
        // It was displaced, so it is late.
        crowd.know(MANY, 1);
        let third = crowd.enter(FEW, now, 2);
        crowd.know(FEW, third);
        assert_eq!(crowd.room(now), Room::None);
        crowd.leave(MANY, 1);
        assert_eq!(crowd.room(now), Room::None, "it had left before");
        crowd.leave(MANY, 0);
        assert_eq!(crowd.room(now), Room::Free);
    }

    #[test]
    fn places_are_given_back() {
        let (mut crowd, now) = crowd(3, 3, &[MANY, FEW]);
        let third = crowd.enter(MANY, now, 2);
        crowd.know(MANY, third);
        for (from, number) in [(MANY, 0), (FEW, 1), (MANY, third)] {
            crowd.leave(from, number);
        }
        assert!(crowd.strangers.is_empty() && crowd.known.is_empty());
    }

    #[test]
    fn an_address_counts_as_its_network() {
        for (address, counts_as) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(address.parse().unwrap()).to_string(), counts_as, "{address}");
        }
    }
}
