//! The other end of a veth, as it is seen from here: whether the kernel may put packets there at once.
//!
//! # Why
//! What is sent by one end of a pair is received by the other a moment later, by way of a queue. Our programs can leave that way
//! out, if nothing that lies on it is missed.
//!
//! # What
//! At this end: somebody who listens ([`Bystanders`]), a queueing discipline, filters before it, programs. At the other end: an XDP
//! program, which is before all else there; and its MTU, for it drops what is longer. And the other end
//! must be in another network namespace, for the kernel puts packets nowhere else in this manner.
//!
//! The kernel takes what it puts there for something that was sent to that very interface; so only packets to its own address may go.
//!
//! What the kernel does not tell counts as a reason to keep to the ordinary way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sys::bpf::{self, Side};

use crate::bystanders::Bystanders;
use crate::host::Host;
use crate::rtnl::Link;

/// The other end of a veth pair, where packets may be put at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarEnd {
    /// Its hardware address: packets to it alone may go there.
    pub mac: [u8; 6],
    /// The longest frame that it takes, but for super-packets.
    pub frame_max: u32,
}

/// What was found when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Across {
    /// By what the kernel says of both ends.
    found: Option<FarEnd>,
    /// Somebody listens at this end.
    watched: bool,
}

impl Across {
    pub(super) fn far_end(&self) -> Option<FarEnd> {
        self.found.filter(|_| !self.watched)
    }

    /// What one has found; both ends only if they were looked at.
    pub(super) fn note(&mut self, watched: bool, found: Option<Option<FarEnd>>) {
        self.watched = watched;
        self.found = found.unwrap_or(self.found);
    }
}

/// Whether somebody listens at this end, besides these sockets of ours.
pub(super) fn is_watched(host: &Host, sockets: &[OwnedFd], bystanders: &Bystanders) -> bool {
    let ours = sockets.iter().map(inode).collect::<io::Result<Vec<_>>>();
    !ours.is_ok_and(|ours| bystanders.none_but(&ours, host.ifindex))
}

/// Looks at both ends.
pub(super) fn look(host: &Host) -> Option<FarEnd> {
    ask(host).unwrap_or_else(|error| {
        log::debug!("{}: the other end cannot be looked at: {error}", host.name);
        None
    })
}

fn ask(host: &Host) -> io::Result<Option<FarEnd>> {
    let (near, _) = host.link()?;
    let (Some(netns), Some(peer)) = (near.peer_netns, near.peer) else { return Ok(None) };
    let far = host.link_in(netns, peer)?;
    if host.filters_egress()? || bpf::attached(host.ifindex, Side::Egress)? > 0 {
        return Ok(None);
    }
    Ok(judge(&near, &far))
}

/// What is to be said of the two links.
fn judge(near: &Link, far: &Link) -> Option<FarEnd> {
    let veth = |link: &Link| link.kind.as_deref() == Some("veth") && link.admin_up && link.running;
    let plain = near.qdisc.as_deref() == Some("noqueue");
    let pair = far.peer == Some(near.ifindex) && veth(near) && veth(far);
    let takes = !far.xdp && far.mac != [0; 6];
    let frame_max = far.mtu.saturating_add(14 + 4);
    (pair && plain && takes).then_some(FarEnd { mac: far.mac, frame_max })
}

fn inode(socket: &OwnedFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(socket.as_fd())?.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_lies_on_the_way_is_left_out() {
        let near = Link {
            ifindex: 7,
            mtu: 1500,
            admin_up: true,
            running: true,
            kind: Some("veth".to_owned()),
            qdisc: Some("noqueue".to_owned()),
            peer: Some(2),
            peer_netns: Some(0),
            ..Link::default()
        };
        let mac = [2, 0, 0, 0, 0, 1];
        let far = Link { ifindex: 2, mac, peer: Some(7), ..near.clone() };
        assert_eq!(judge(&near, &far), Some(FarEnd { mac, frame_max: 1518 }));
        let near_is = |change: &dyn Fn(&mut Link)| {
            let mut near = near.clone();
            change(&mut near);
            judge(&near, &far)
        };
        let far_is = |change: &dyn Fn(&mut Link)| {
            let mut far = far.clone();
            change(&mut far);
            judge(&near, &far)
        };
        assert_eq!(near_is(&|near| near.qdisc = Some("htb".to_owned())), None);
        assert_eq!(near_is(&|near| near.qdisc = None), None);
        assert_eq!(near_is(&|near| near.admin_up = false), None);
        assert_eq!(near_is(&|near| near.kind = Some("netkit".to_owned())), None);
        assert_eq!(far_is(&|far| far.xdp = true), None);
        assert_eq!(far_is(&|far| far.peer = Some(8)), None);
        assert_eq!(far_is(&|far| far.admin_up = false), None);
        assert_eq!(far_is(&|far| far.mtu = 9000), Some(FarEnd { mac, frame_max: 9018 }));
        assert!(far_is(&|far| far.qdisc = Some("fq".to_owned())).is_some());
    }
}
