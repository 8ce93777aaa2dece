//! UDP sockets that hand several datagrams to the kernel at once (`UDP_SEGMENT`, Linux 4.18).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has the kernel cut what is sent into datagrams of that many bytes, the last one excepted. 0: not any more.
pub fn set(socket: BorrowedFd<'_>, size: usize) -> io::Result<()> {
    let size =
        libc::c_int::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let len = std::mem::size_of_val(&size) as libc::socklen_t;
    // SAFETY: the kernel reads one int, which is alive for the call.
    #[allow(unsafe_code)]
    let rc = unsafe {
        let value = (&raw const size).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, len)
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_sent_at_once_comes_in_pieces() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        super::set(sender.as_fd(), 100).unwrap();
        sender.send(&[7; 250]).unwrap();
        let lens = [0; 3].map(|_: usize| receiver.recv(&mut [0; 300]).unwrap());
        assert_eq!(lens, [100, 100, 50]);
    }
}
