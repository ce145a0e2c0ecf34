//! Which core runs what: the servers one, the client another, so that neither disturbs the other.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this program may use, shared out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    all: CpuSet,
    servers: CpuSet,
    client: CpuSet,
}

// === impl Cores ===

impl Cores {
    /// The first core for the servers and the second for the client; `None` where there is only one.
    pub(crate) fn share_out() -> Option<Self> {
        let all = sched_getaffinity(None).expect("a thread knows its cores");
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).map(|core| {
            let mut set = CpuSet::new();
            set.set(core);
            set
        });
        Some(Self { all, servers: cores.next()?, client: cores.next()? })
    }

    /// From here on this thread, and all threads and programs that it starts, run on the servers' core.
    pub(crate) fn be_server(&self) {
        be_on(&self.servers);
    }

    /// As [`Cores::be_server`], on the client's core.
    pub(crate) fn be_client(&self) {
        be_on(&self.client);
    }

    /// Puts one thread of another program on the client's core.
    pub(crate) fn be_alone(&self, thread: u32) {
        let thread = i32::try_from(thread).ok().and_then(Pid::from_raw);
        // What has ended meanwhile needs no core.
        let _ = thread.map(|thread| sched_setaffinity(Some(thread), &self.client));
    }

    /// As [`Cores::be_server`], wherever the system puts them.
    pub(crate) fn be_anywhere(&self) {
        be_on(&self.all);
    }
}

fn be_on(cores: &CpuSet) {
    sched_setaffinity(None, cores).expect("a thread may choose among its cores");
}
