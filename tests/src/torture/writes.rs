//! kill -9 while thousands of writes are acknowledged: not one of them is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fedgate_tests::World;
use tokio::runtime::{Builder, Runtime};

use super::book::Book;
use super::fault::Side;
use super::lists::List;
use super::timeline::Written;
use fedgate_tests::rng::Rng;

/// Who writes at the same time.
const WRITERS: usize = 4;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) unknown: usize,
    pub(crate) kills: usize,
}

/// Has writers add and remove domains until `wanted` writes are acknowledged, and kills the control plane at
/// random moments meanwhile; after each start its list is compared with what was acknowledged.
pub(crate) fn run(wanted: usize, seed: u64, book: &Book) -> Tally {
    let mut world = World::builder().start();
    let mut rng = Rng::new(seed);
    let list = List::new(Side::A, world.control_plane().url());
    let waiting = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (acknowledged, unknown) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut kills = 0;
    while acknowledged.load(Ordering::Relaxed) < wanted && !book.is_stopped() {
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (mut rng, list, killed) = (rng.fork(), &list, &killed);
                let (acknowledged, unknown) = (&acknowledged, &unknown);
                scope.spawn(move || {
                    // One of them may be under way when it is killed; the others have no more to say.
                    while !killed.load(Ordering::Relaxed) {
                        let domain = format!("w{writer}n{}.com", rng.between(0, 400));
                        match list.write(book, &domain, rng.between(0, 3) > 0) {
                            Written::Acknowledged => acknowledged.fetch_add(1, Ordering::Relaxed),
                            Written::Refused | Written::Unknown => {
                                unknown.fetch_add(1, Ordering::Relaxed);
                                return;
                            }
                        };
                    }
                });
            }
            wait(&waiting, rng.between(10, 600));
            world.control_plane().kill();
            killed.store(true, Ordering::Relaxed);
        });
        kills += 1;
        world.control_plane().restart();
        compare(&list, book);
        eprintln!(
            "torture: {} of {wanted} writes acknowledged, {kills} kills, {} lost",
            acknowledged.load(Ordering::Relaxed),
            book.pages().violations.len()
        );
    }
    Tally { acknowledged: acknowledged.into_inner(), unknown: unknown.into_inner(), kills }
}

fn compare(list: &List, book: &Book) {
    let from = book.now();
    let entries = list.read().expect("a control plane that has just started tells its list");
    book.read(list.side, from, &entries);
}

fn wait(runtime: &Runtime, ms: u64) {
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(ms)).await });
}
