//! Splitting the process in two, which is how a daemon detaches.

use rustix::process::Pid;
use std::io;

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The process that called, and the other's id.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Makes a copy of this process. Refused once the process has a second thread: the child would have a copy of that thread's
/// locks, but not of the thread to release them.
pub fn fork() -> io::Result<Fork> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("cannot fork with {threads} threads running")));
    }
    // SAFETY: fork() itself has no preconditions; what may be unsafe is the child's use of locks and other state that another
    // thread held or was changing at that moment. There is no other thread: the only thread that could have started one since
    // the check is this one.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid)
            .map(Fork::Parent)
            .ok_or_else(|| io::Error::other("fork returned a bad process id")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_with_threads_is_not_split() {
        // The test harness runs tests in threads of their own.
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(super::fork().unwrap_err().to_string().contains("threads")));
        });
    }
}
