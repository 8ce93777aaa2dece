//! Packets that do not fit a tunnel. All of it is rare: who sends too much is told, and sends less from then on.
//!
//! | the tunnel | the packet | what becomes of it |
//! |---|---|---|
//! | may be fragmented outside (`df_default=false`) | any | is wrapped, and the outer datagram cut |
//! | answers (`pmtud`) | IPv4 that may be cut | is cut inside, and each piece wrapped |
//! | answers | any other | its sender is told by the slow path, and it is dropped |
//! | does not answer | any | is dropped |
//!
//! Packets without an Ethernet header get one, of no addresses, for as long as they are taken apart: what cuts packets reads
//! frames.

use flow::{FlowKey, TnlPush};
use packet::fit;
use packet::gso::{self, Checksums};
use packet::wire::Header;
use packet::wire::ethernet::EthernetHeader;
use packet::{Buf, Packet};

use super::push::Template;
use super::{Executor, link};
use crate::drops::DropReason;
use crate::miss::{Miss, MissReason};

impl Executor {
    /// A packet that could not be wrapped for this reason. What comes of it instead is in `self.late`.
    #[cold]
    pub(super) fn not_pushed(
        &mut self,
        template: &Template<'_>,
        mut packet: Packet,
        key: &FlowKey,
        reason: DropReason,
    ) {
        let tnl = template.tnl();
        let is_long = reason == DropReason::TunnelTooBig;
        if is_long && tnl.bare {
            link::dress(&mut packet, key.packet_type);
        }
        let done = is_long
            && (tnl.fit.fragments && self.cut_outside(template, &packet, key)
                || tnl.fit.answers && self.cut_inside(template, &packet, key));
        if !done {
            self.tally.count(reason);
            if is_long {
                self.tell(tnl, &packet, key);
            }
        }
        self.buffers.put(packet.buf);
    }

    /// The frame as whole frames, complete; none if it does not make sense.
    fn wholes(&mut self, packet: &Packet) -> Vec<Packet> {
        let mut parts = Vec::new();
        if packet.offload.gso.is_some() {
            let buffers = &mut self.buffers;
            let _ = gso::segment(packet, Checksums::Complete, |n| buffers.take(n), &mut parts);
            return parts;
        }
        let mut whole = packet.clone();
        if gso::complete_csum(&mut whole).is_ok() {
            parts.push(whole);
        }
        parts
    }

    fn cut_outside(&mut self, template: &Template<'_>, packet: &Packet, key: &FlowKey) -> bool {
        let most = usize::from(template.tnl().fit.most);
        let mut out = Vec::new();
        for mut part in self.wholes(packet) {
            if template.tnl().bare {
                link::undress(&mut part);
            }
            let pushed = template.push_any(&mut part, key, &mut self.ip_id, self.now).is_ok()
                && gso::complete_csum(&mut part).is_ok();
            let buffers = &mut self.buffers;
            let take = |n| buffers.take(n);
            let cut = match template.is_v6() {
                false => fit::fragment(&part, most, take, &mut out),
                true => {
                    self.fragment_id = self.fragment_id.wrapping_add(1);
                    fit::fragment_v6(&part, most, self.fragment_id, take, &mut out)
                }
            };
            if !(pushed && cut) {
                return false;
            }
        }
        self.late.append(&mut out);
        true
    }

    fn cut_inside(&mut self, template: &Template<'_>, packet: &Packet, key: &FlowKey) -> bool {
        let tnl = template.tnl();
        let link = if tnl.bare { 0 } else { fit::link_header(packet.bytes()) };
        let most = usize::from(tnl.fit.inner(tnl, link));
        let (mut pieces, mut out) = (Vec::new(), Vec::new());
        for part in self.wholes(packet) {
            let buffers = &mut self.buffers;
            if !fit::fragment(&part, most, |n| buffers.take(n), &mut pieces) {
                return false;
            }
        }
        for mut piece in pieces {
            if tnl.bare {
                link::undress(&mut piece);
            }
            if template.push(&mut piece, key, &mut self.ip_id, self.now).is_err() {
                return false;
            }
            out.push(piece);
        }
        self.late.append(&mut out);
        true
    }

    /// Hands the beginning of the packet to the slow path, as it would come back through the tunnel.
    fn tell(&mut self, tnl: &TnlPush, packet: &Packet, key: &FlowKey) {
        let Some(back) = tnl.fit.back.as_deref() else { return };
        let (bytes, packet_type, link) = match tnl.bare {
            true => {
                (packet.bytes().get(EthernetHeader::LEN..).unwrap_or_default(), key.packet_type, 0)
            }
            false => (packet.bytes(), 0, fit::link_header(packet.bytes())),
        };
        let beginning = bytes.get(..fit::answer::NEEDED).unwrap_or(bytes);
        let without = packet.bytes().len() - bytes.len();
        let key = FlowKey { in_port: tnl.tnl_port.0, tunnel: *back, packet_type, ..*key };
        let reason = MissReason::TooBig {
            mtu: tnl.fit.inner(tnl, link),
            length: u16::try_from(fit::longest(packet) - without).unwrap_or(u16::MAX),
            answers: tnl.fit.answers,
        };
        let packet = Packet::new(Buf::from_slice(beginning));
        let options = Box::default();
        self.misses.push(Miss { packet, key, options, reason, source: self.source });
    }
}
