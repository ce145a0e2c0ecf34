//! Who is there: streams and polls that are open now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one may be away who comes back.
const A_MOMENT: Duration = Duration::from_secs(5);

/// All that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attendance(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// When somebody went last.
    left: Option<Instant>,
    guests: HashMap<u64, Guest>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The name of its token.
    pub(crate) by: Arc<str>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) since: Instant,
    /// What it says of itself, where it does: legible, and short.
    pub(crate) says: Option<Arc<str>>,
}

/// Somebody is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    book: Attendance,
    number: u64,
}

// === impl Attendance ===

impl Attendance {
    /// Somebody comes.
    pub(crate) fn enter(&self, by: &Arc<str>, address: Option<SocketAddr>, since: Instant) -> Visit {
        let mut book = self.lock();
        book.next = book.next.wrapping_add(1);
        let number = book.next;
        book.guests.insert(number, Guest { by: by.clone(), address, since, says: None });
        drop(book);
        Visit { book: self.clone(), number }
    }

    /// All that are there, those who came first in front.
    pub(crate) fn all(&self) -> Vec<Guest> {
        let mut guests: Vec<_> = self.lock().guests.values().cloned().collect();
        guests.sort_by_key(|guest| guest.since);
        guests
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().guests.len()
    }

    /// Whether anybody is there, or was a moment ago: between two polls nobody is.
    pub(crate) fn is_attended(&self, now: Instant) -> bool {
        let book = self.lock();
        let is_recent = |left| now.saturating_duration_since(left) < A_MOMENT;
        !book.guests.is_empty() || book.left.is_some_and(is_recent)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Visit ===

impl Visit {
    /// Notes what this one says of itself.
    pub(crate) fn says(&self, text: Arc<str>) {
        if let Some(guest) = self.book.lock().guests.get_mut(&self.number) {
            guest.says = Some(text);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut book = self.book.lock();
        book.guests.remove(&self.number);
        book.left = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_there_until_he_goes() {
        let (attendance, now) = (Attendance::default(), Instant::now());
        let (first, second) =
            (attendance.enter(&"a".into(), None, now), attendance.enter(&"b".into(), None, now));
        second.says("Envoy".into());
        drop(first);
        let all = attendance.all();
        assert_eq!((all.len(), attendance.count(), all[0].says.as_deref()), (1, 1, Some("Envoy")));
        drop(second);
        assert_eq!(attendance.count(), 0);
        let left = attendance.lock().left.unwrap();
        assert!(attendance.is_attended(left) && !attendance.is_attended(left + A_MOMENT));
    }
}
