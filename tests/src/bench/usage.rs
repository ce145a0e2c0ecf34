//! What a process has used: CPU time, and memory.

use std::fs;
use std::time::Duration;

/// The CPU time of all threads of a process, in user and kernel mode, by the scheduler's exact account.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let nanoseconds = threads(process)
        .into_iter()
        .filter_map(|thread| fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// The memory that a process holds now (`VmRSS`), in MiB.
pub(crate) fn memory_mib(process: u32) -> f64 {
    kib(process, "VmRSS:") / 1024.0
}

/// The most that it ever held (`VmHWM`), in MiB.
pub(crate) fn peak_memory_mib(process: u32) -> f64 {
    kib(process, "VmHWM:") / 1024.0
}

/// The thread of a process that has this name.
pub(crate) fn thread_named(process: u32, name: &str) -> Option<u32> {
    threads(process).into_iter().find(|thread| {
        let comm = fs::read_to_string(format!("/proc/{process}/task/{thread}/comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    })
}

fn threads(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

fn kib(process: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).expect("a size in KiB")
}
