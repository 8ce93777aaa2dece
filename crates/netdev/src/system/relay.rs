//! The way out for tunnel super-packets.
//!
//! # Why
//! A packet socket cannot describe a TCP super-packet inside of a tunnel: its header has no place for where the inner headers
//! are. So such a packet would have to be cut, with an inner checksum for each piece, although most drivers (and a veth, to the
//! other end) take it whole. A tap's header has the place.
//!
//! # What
//! A [`Relay`] is a tap of ours beside the device, called `fs-tx0` or the like, with a program on it that sends whatever comes
//! from there out of the device. It is made when the first tunnel super-packet wants to leave by a device that takes them, and
//! goes with the port. It has no carrier, so the host never sends anything by it.
//!
//! Where the kernel has none of this (before 6.17), where we may not, or where the driver would have the kernel cut the packets
//! anyway, there is no relay, and packets are made outer UDP super-packets as before.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use packet::Packet;
use rustix::io::Errno;
use sys::bpf::Redirection;
use sys::{ifreq, tun};

use crate::common::strerror;
use crate::host::Host;
use crate::vnet::TUNNEL_HEAD;

/// See the module.
pub(super) struct Relay {
    tap: OwnedFd,
    /// Of its tap.
    pub(super) name: String,
    _redirection: Redirection,
}

/// How the kernel numbers relays.
const NAME: &str = "fs-tx%d";
/// The driver's features that make it worth while.
const FEATURES: [&str; 2] = ["tx-udp_tnl-segmentation", "tx-tcp-segmentation"];
/// The kernel wants the first three together before it hears of tunnels.
const OFFLOADS: u32 =
    tun::CSUM | tun::TSO4 | tun::TSO6 | tun::TSO_ECN | tun::USO4 | tun::USO6 | tun::UDP_TUNNEL;

impl Relay {
    /// Makes one for that interface, which must be in this thread's network namespace.
    pub(super) fn open(host: &Host) -> io::Result<Self> {
        if !worth_while(host)? {
            return Err(Errno::OPNOTSUPP.into());
        }
        let tap = tun::open_tap(NAME, false)?;
        tun::set_vnet_header(tap.as_fd(), TUNNEL_HEAD)?;
        tun::set_offload(tap.as_fd(), OFFLOADS)?;
        tun::set_carrier(tap.as_fd(), false)?;
        let own = tun::attached(tap.as_fd())?.name;
        let socket = socket()?;
        // Numbers mean something in one network namespace only.
        if ifreq::index(socket.as_fd(), &host.name)? != host.ifindex {
            return Err(Errno::NODEV.into());
        }
        let index = ifreq::index(socket.as_fd(), &own)?;
        let redirection = Redirection::new(index, host.ifindex)?;
        ifreq::set_mtu(socket.as_fd(), &own, MTU_MAX)?;
        ifreq::set_up(socket.as_fd(), &own, true)?;
        Ok(Self { tap, name: own, _redirection: redirection })
    }

    /// Sends a packet with that header before it.
    pub(super) fn send(&self, head: &[u8; TUNNEL_HEAD], packet: &mut Packet) -> io::Result<()> {
        packet.buf.push_front(TUNNEL_HEAD).copy_from_slice(head);
        let result = rustix::io::write(&self.tap, packet.bytes());
        packet.buf.pull_front(TUNNEL_HEAD);
        result.map(drop).map_err(Into::into)
    }
}

/// The most that a tap takes.
const MTU_MAX: u32 = 65_521;

/// Whether the driver segments tunnels itself, now.
pub(super) fn worth_while(host: &Host) -> io::Result<bool> {
    let features = host.features()?;
    Ok(FEATURES.iter().all(|feature| features.contains(*feature)))
}

/// What the failure to open one means, in words.
pub(super) fn why_not(error: &io::Error) -> String {
    let [tunnel, tcp] = FEATURES;
    let advice = match Errno::from_io_error(error) {
        Some(Errno::OPNOTSUPP) => {
            return format!("the driver does not segment tunnels itself ({tunnel}, {tcp})");
        }
        Some(Errno::INVAL) => "; a tap that takes them needs Linux 6.17",
        Some(Errno::PERM | Errno::ACCESS) => "; it needs CAP_NET_ADMIN, CAP_BPF and /dev/net/tun",
        _ => "",
    };
    format!("no relay could be made: {}{advice}", strerror(error))
}

/// Any socket will do to ask of interfaces.
fn socket() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(socket)
}
