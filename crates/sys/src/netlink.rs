//! What netlink sockets can be asked for beyond what other crates know (netlink(7)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// From now on the socket hears of changes in other network namespaces too, as far as those have a number here (`NETLINK_LISTEN_ALL_NSID`,
/// Linux 4.2). `EPERM`: not without `CAP_NET_BROADCAST`.
pub fn listen_to_all_namespaces(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one int, which is alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_LISTEN_ALL_NSID,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
