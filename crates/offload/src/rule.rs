//! Which flows can run in the kernel, and what they are there.

use flow::{Action, DpPort, MaskedKey, TnlPush, TunnelProtocol};
use packet::checksum;
use packet::wire::Header;
use packet::wire::ipv4::Ipv4Header;
use packet::wire::udp::UdpHeader;

use crate::entry::{Entry, FAR, HEADER, Kind, POPPED_SUPER};
use crate::key::{Key, translate};

/// An interface that packets can be sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its index.
    pub ifindex: u32,
    /// The longest frame, Ethernet header included.
    pub frame_max: u32,
    /// Whether what is unfinished in a packet is finished there, before anybody else sees it.
    pub finishes: bool,
    /// Whether super-packets that came out of a tunnel may go there as they are. The kernel goes on to take them for packets
    /// in a tunnel, which a driver that is asked to cut them could not do right.
    pub takes_popped_super: bool,
    /// Its other end, if packets may be put there at once.
    pub far: Option<Far>,
}

/// The other end of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Far {
    /// Its address: other packets go by the ordinary way.
    pub mac: [u8; 6],
    /// The longest frame that may be put there; not of super-packets.
    pub frame_max: u32,
}

/// A flow that can run in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(crate) key: Key,
    pub(crate) mask: Key,
    pub(crate) entry: Entry,
}

impl Rule {
    /// Whether it only finds the flow inside of a tunnel.
    pub fn is_pop(&self) -> bool {
        self.entry.kind == Kind::Pop as u32
    }

    /// Where packets are put at once, if they are.
    pub fn far(&self) -> Option<Far> {
        let Entry { flags, far_mac, far_frame_max, .. } = self.entry;
        (flags & FAR != 0).then_some(Far { mac: far_mac, frame_max: far_frame_max })
    }

    /// The interface whose other end packets are put at.
    pub fn jumps_from(&self) -> Option<u32> {
        (self.entry.flags & FAR != 0).then_some(self.entry.ifindex)
    }

    /// The same flow, its packets by the ordinary way.
    pub(crate) fn without_jump(mut self) -> Self {
        self.entry.flags &= !FAR;
        self
    }

    /// Whether workers may join its datagrams under one header, or get them joined.
    pub fn is_joined(&self) -> bool {
        self.entry.kind == Kind::Push as u32 || self.key.tun_dst != [0; 4]
    }
}

/// Makes a rule of a flow, if the kernel can run it. `exit`: the interface behind a port, if there is one. `keeps_offloads`:
/// whether packets from that tunnel end come with what is unfinished in them marked as such (else they must be examined, which
/// workers do). `mark`: puts our mark into an outer header.
pub fn judge(
    flow: &MaskedKey,
    actions: &[Action],
    exit: impl Fn(DpPort) -> Option<Exit>,
    keeps_offloads: impl Fn(u32) -> bool,
    mark: impl Fn(&mut Ipv4Header) -> bool,
) -> Option<Rule> {
    let (key, mask) = translate(flow)?;
    let tunnel = &flow.key().tunnel;
    let entry = match actions {
        [Action::Output(port)] => {
            let exit = exit(*port)?;
            let exact = flow.mask().0.tunnel.ip_src == u32::MAX;
            if tunnel.is_set() && !(exact && keeps_offloads(tunnel.ip_src)) {
                return None;
            }
            let mut entry = to(Kind::Output, &exit);
            if exit.takes_popped_super {
                entry.flags |= POPPED_SUPER;
            }
            entry
        }
        [Action::TnlPush(push), Action::Output(port)] if !tunnel.is_set() => {
            let exit = exit(*port)?;
            // Packets are pushed unfinished.
            (push.peer_offloads || exit.finishes).then(|| prepare(push, &exit, mark)).flatten()?
        }
        [Action::TnlPop(port)] if !tunnel.is_set() => {
            Entry { kind: Kind::Pop as u32, tunnel_port: port.0, ..Entry::default() }
        }
        _ => return None,
    };
    Some(Rule { key, mask, entry })
}

fn to(kind: Kind, exit: &Exit) -> Entry {
    Entry {
        kind: kind as u32,
        ifindex: exit.ifindex,
        frame_max: exit.frame_max,
        flags: if exit.far.is_some() { FAR } else { 0 },
        far_mac: exit.far.map_or([0; 6], |far| far.mac),
        far_frame_max: exit.far.map_or(0, |far| far.frame_max),
        ..Entry::default()
    }
}

/// Headers with all in them that no packet changes.
fn prepare(push: &TnlPush, exit: &Exit, mark: impl Fn(&mut Ipv4Header) -> bool) -> Option<Entry> {
    const L3: usize = 14;
    const L4: usize = L3 + 20;
    const VLAN: usize = 4;
    let mut header: [u8; HEADER] = push.header.as_slice().try_into().ok()?;
    // Connections whose segments are to be lowered, and packets that the device would take and the way would not, are for us.
    let fits = usize::from(push.fit.most) + L3 + VLAN >= exit.frame_max as usize;
    if push.fit.clamps || !fits {
        return None;
    }
    let plain = push.protocol == TunnelProtocol::Vxlan
        && !push.csum
        && (push.l3, push.l4) == (L3 as u16, L4 as u16);
    if !plain || header[L3] != 0x45 {
        return None;
    }
    let ip = Ipv4Header::at_mut(&mut header, L3)?;
    // Others need an identification each.
    if !mark(ip) {
        return None;
    }
    ip.total_len = 0.into();
    ip.csum = 0.into();
    let udp = UdpHeader::at_mut(&mut header, L4)?;
    udp.csum = 0.into();
    let ip_sum = !checksum::checksum(&header[L3..L4]);
    let (low, high) = push.src_ports;
    let mut entry = Entry {
        ip_sum: ip_sum.into(),
        source_low: low,
        source_ports: high.checked_sub(low)?.checked_add(1)?,
        header,
        ..to(Kind::Push, exit)
    };
    // The outer address is the same for all.
    if header[..6] != entry.far_mac {
        entry.flags &= !FAR;
    }
    Some(entry)
}
