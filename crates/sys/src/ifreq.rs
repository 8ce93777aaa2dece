//! The classic interface requests of netdevice(7): one name in, one value out.
//!
//! Any socket carries them; the socket's network namespace decides which interface a name means.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Longest interface name in bytes (`IFNAMSIZ` less its terminator).
pub const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// An `ifreq` that is zero but for the name. A name that no interface can have is `ENODEV`, as if it had been looked up.
pub(crate) fn request(name: &str) -> io::Result<libc::ifreq> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    // SAFETY: all members of `ifreq` are integers, byte arrays or pointers; zero is a value of each.
    #[allow(unsafe_code)]
    let mut req: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in req.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(req)
}

/// One of the requests below: the kernel reads and writes the `ifreq` alone, no pointer in it is followed.
fn call(socket: BorrowedFd<'_>, op: libc::c_ulong, req: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: `req` is a valid `ifreq`, exclusively borrowed for the call. This function is private to this module, whose
    // requests (flags, hardware address, MTU, index, name) exchange plain values within the structure.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), op as _, req) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The index of the interface of that name.
pub fn index(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let mut req = request(name)?;
    call(socket, libc::SIOCGIFINDEX, &mut req)?;
    // SAFETY: SIOCGIFINDEX fills in this member; any bits are an integer.
    #[allow(unsafe_code)]
    let index = unsafe { req.ifr_ifru.ifru_ifindex };
    u32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))
}

/// The name of the interface of that index.
pub fn name(socket: BorrowedFd<'_>, index: u32) -> io::Result<String> {
    let mut req = request("?")?;
    req.ifr_ifru.ifru_ifindex =
        i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    call(socket, libc::SIOCGIFNAME, &mut req)?;
    Ok(name_in(&req))
}

/// The name that an `ifreq` holds.
pub(crate) fn name_in(req: &libc::ifreq) -> String {
    let bytes: Vec<u8> = req.ifr_name.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The interface's flags (`IFF_UP`, `IFF_RUNNING` ..; the low 16 bits).
pub fn flags(socket: BorrowedFd<'_>, name: &str) -> io::Result<u16> {
    let mut req = request(name)?;
    call(socket, libc::SIOCGIFFLAGS, &mut req)?;
    // SAFETY: SIOCGIFFLAGS fills in this member; any bits are an integer.
    #[allow(unsafe_code)]
    let flags = unsafe { req.ifr_ifru.ifru_flags };
    Ok(flags as u16)
}

/// Sets or clears `IFF_UP`; nothing happens when it is so already.
pub fn set_up(socket: BorrowedFd<'_>, name: &str, up: bool) -> io::Result<()> {
    let old = flags(socket, name)?;
    let bit = libc::IFF_UP as u16;
    let new = if up { old | bit } else { old & !bit };
    if new == old {
        return Ok(());
    }
    let mut req = request(name)?;
    req.ifr_ifru.ifru_flags = new as i16;
    call(socket, libc::SIOCSIFFLAGS, &mut req)
}

/// The link-layer type (`ARPHRD_ETHER` ..) and the hardware address.
pub fn hardware(socket: BorrowedFd<'_>, name: &str) -> io::Result<(u16, [u8; 6])> {
    let mut req = request(name)?;
    call(socket, libc::SIOCGIFHWADDR, &mut req)?;
    // SAFETY: SIOCGIFHWADDR fills in this member; any bits are an address.
    #[allow(unsafe_code)]
    let addr = unsafe { req.ifr_ifru.ifru_hwaddr };
    Ok((addr.sa_family, std::array::from_fn(|i| addr.sa_data[i] as u8)))
}

/// Sets the hardware address of an Ethernet interface.
pub fn set_mac(socket: BorrowedFd<'_>, name: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut req = request(name)?;
    let mut addr = libc::sockaddr { sa_family: libc::ARPHRD_ETHER, sa_data: [0; 14] };
    for (to, from) in addr.sa_data.iter_mut().zip(mac) {
        *to = from as libc::c_char;
    }
    req.ifr_ifru.ifru_hwaddr = addr;
    call(socket, libc::SIOCSIFHWADDR, &mut req)
}

/// The interface's MTU in bytes.
pub fn mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let mut req = request(name)?;
    call(socket, libc::SIOCGIFMTU, &mut req)?;
    // SAFETY: SIOCGIFMTU fills in this member; any bits are an integer.
    #[allow(unsafe_code)]
    let mtu = unsafe { req.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Sets the MTU.
pub fn set_mtu(socket: BorrowedFd<'_>, name: &str, mtu: u32) -> io::Result<()> {
    let mut req = request(name)?;
    req.ifr_ifru.ifru_mtu =
        i32::try_from(mtu).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    call(socket, libc::SIOCSIFMTU, &mut req)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn the_loopback_interface_answers() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let s = socket.as_fd();
        let i = index(s, "lo").unwrap();
        assert_eq!(name(s, i).unwrap(), "lo");
        assert_ne!(flags(s, "lo").unwrap() & libc::IFF_LOOPBACK as u16, 0);
        assert_eq!(hardware(s, "lo").unwrap().0, libc::ARPHRD_LOOPBACK);
        assert!(mtu(s, "lo").unwrap() >= 1500);
    }

    #[test]
    fn impossible_names_are_no_device() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for bad in ["", "sixteen-bytes-xx", "nul\0inside", "no-such-if"] {
            assert_eq!(
                index(socket.as_fd(), bad).unwrap_err().raw_os_error(),
                Some(libc::ENODEV),
                "{bad:?}"
            );
        }
        assert!(name(socket.as_fd(), u32::MAX).is_err());
    }
}
