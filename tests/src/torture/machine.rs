//! Whether this machine lets programs run: one that does not is no witness.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::book::Book;
use super::fault::Ms;

/// How often it is looked whether this machine lets programs run.
const HEARTBEAT: Duration = Duration::from_millis(20);
/// What is less is no lateness.
const LATE: Ms = 50;

/// Writes down how late a thread runs that has nothing else to do: so late is everybody on this machine.
pub(crate) fn watch(book: &Arc<Book>) {
    let book = Arc::clone(book);
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            loop {
                let before = book.now();
                tokio::time::sleep(HEARTBEAT).await;
                let beat = u64::try_from(HEARTBEAT.as_millis()).unwrap_or_default();
                let late = (book.now() - before).saturating_sub(beat);
                if late >= LATE {
                    book.late(late);
                }
            }
        });
    });
}

/// How long the thread of a process that waited longest has waited for a processor, since it began: what a busy
/// machine takes from it. 0 where it has ended, or the kernel does not tell.
pub(crate) fn waited(process: u32) -> Ms {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let waits = threads.filter_map(|thread| {
        let account = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        account.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waits.max().unwrap_or_default() / 1_000_000
}

/// For how long some program of this machine has waited for a processor, since it was started; nothing where the
/// kernel does not tell.
pub(crate) fn pressure() -> Option<Ms> {
    let text = fs::read_to_string("/proc/pressure/cpu").ok()?;
    let total = text.lines().next()?.rsplit_once("total=")?.1;
    total.parse::<u64>().ok().map(|microseconds| microseconds / 1000)
}
