//! The two programs that run flows in the kernel, written instruction by instruction.
//!
//! # What
//! [`filter`] stands before a port's packet socket: it reads a packet's headers, looks the flow up and, on a hit, writes
//! the [verdict](Verdict) to this processor's slot and keeps the packet from the socket. [`executor`] runs next on the same
//! packet, at the interface: it takes the verdict out of the slot and does what the flow says. [`whole`] is both in one, for
//! tests.
//!
//! # Why two
//! A packet socket is given its copy before any program at the interface runs, so the decision must fall there; but a socket's
//! program cannot change or send packets. Between both nothing else happens on that processor, so the slot always speaks of
//! this packet, and one lookup serves both: no packet is taken by neither or by both.
//!
//! # The walk
//! The filter understands the packets that make up nearly all traffic: IPv4 without options and IPv6 without extensions,
//! no fragments, with TCP, UDP or ICMP in them, sane lengths, at most one VLAN tag. Whatever else comes is a miss, for the
//! workers to handle, and so nothing here needs the fine print of `flow::extract`; what is understood is read exactly as there.
//!
//! A flow that pops a tunnel sends the walk once more over what is inside, with the tunnel in the key. Outside,
//! that must be a VXLAN header over IPv4 with a UDP checksum of zero; else a miss. When the flow inside misses, the workers have
//! the packet, and the host's own stack is spared it: nobody there would want it.
//!
//! # Order
//! What runs here overtakes what workers still hold. TCP puts that right, and it happens when a flow comes here, once. UDP does
//! not, and workers carry datagrams of one flow now joined under one outer header, now alone; so all of UDP stays with workers.
//!
//! Everything that could stop the executor (the packet is too long for the other interface, say) is checked in the filter, as
//! long as the workers can still have the packet.

mod asm;

use std::mem::offset_of;

use asm::{Alu, Asm, FP, Helper, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Reg, Size};
use flow::tunnel_flag;
use packet::wire::ethernet::eth_type;
use packet::wire::{icmpv6, ip_proto};

use crate::entry::{Entry, Kind, POPPED_SUPER};
use crate::key::{Key, MASKS_MAX, Masks};
use crate::maps::Maps;

/// What the filter tells the executor. All zero: nothing.
#[derive(
    Clone, Copy, Debug, Default, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
)]
#[repr(C)]
pub(crate) struct Verdict {
    /// [`RUN`] or [`SPARE`].
    what: u32,
    /// The entry to run.
    entry: u32,
    /// One more than the entry that popped the tunnel; 0 without one.
    outer: u32,
    /// TCP flags, as far as a byte goes.
    tcp_flags: u32,
    /// Whether an IPv6 packet was inside of the tunnel.
    v6: u32,
    _pad: u32,
}

/// Run the entry.
const RUN: i32 = 1;
/// The workers have it; the host's stack shall not.
const SPARE: i32 = 2;

// What programs return.
const WHOLE_PACKET: i32 = -1;
const NEXT: i32 = -1;
const SHOT: i32 = 2;

// Offsets in struct __sk_buff.
const LEN: i16 = 0;
const VLAN_PRESENT: i16 = 20;
const VLAN_TCI: i16 = 24;
const VLAN_PROTO: i16 = 28;
const IFINDEX: i16 = 40;
const GSO_SIZE: i16 = 176;

/// Bytes of the headers that a tunnel puts before a packet: Ethernet, IPv4, UDP, VXLAN.
const OUTER: i32 = 50;
const ETHERNET: i32 = 14;
const IPV4: i32 = 20;
const IPV6: i32 = 40;

// The stack. Accesses must be aligned, so the Ethernet header begins at an odd multiple of 2 and what follows is aligned to 8.
const KEY: i16 = -(size_of::<Key>() as i16);
const MASKED: i16 = 2 * KEY;
const IP: i16 = -208;
const ETH: i16 = IP - ETHERNET as i16;
const L4: i16 = -240;
const VXLAN: i16 = -248;
/// The verdict being made.
const VERDICT: i16 = VXLAN - size_of::<Verdict>() as i16;
/// Bytes up to the end of the TCP header.
const HEADERS: i16 = VERDICT - 8;
/// A number for a helper to read.
const INDEX: i16 = HEADERS - 8;
/// Outer headers being made, and the Ethernet header inside.
const PUSHED: i16 = INDEX - 64;

const _: () = assert!(size_of::<Key>() == 80 && ETH >= L4 + 16 && IP + 40 <= MASKED);

/// Where a member of the key being made is on the stack.
macro_rules! key {
    ($field:ident) => {
        KEY + offset_of!(Key, $field) as i16
    };
}
/// Where a member of the verdict being made is.
macro_rules! verdict {
    ($field:ident) => {
        VERDICT + offset_of!(Verdict, $field) as i16
    };
}
/// A member of an entry.
macro_rules! entry {
    ($field:ident) => {
        offset_of!(Entry, $field) as i16
    };
}

/// The program for packet sockets.
pub(crate) fn filter(maps: &Maps) -> Vec<u64> {
    let mut writer = Writer::new(maps);
    let Ends { hit, spare, miss } = writer.walk();
    let asm = &mut writer.asm;
    asm.place(hit);
    asm.store_imm(Size::B4, FP, verdict!(what), RUN);
    writer.tell();
    writer.leave(0);
    let asm = &mut writer.asm;
    asm.place(spare);
    asm.store_imm(Size::B4, FP, verdict!(what), SPARE);
    writer.tell();
    writer.asm.place(miss);
    writer.leave(WHOLE_PACKET);
    writer.asm.finish()
}

/// The program for interfaces.
pub(crate) fn executor(maps: &Maps) -> Vec<u64> {
    let mut writer = Writer::new(maps);
    let (nothing, shot) = (writer.asm.label(), writer.asm.label());
    writer.asm.mov(R6, R1);
    writer.look_up_number(&maps.slot, None);
    let asm = &mut writer.asm;
    asm.jump_if_imm(If::Equal, R0, 0, nothing);
    asm.load(Size::B4, R1, R0, offset_of!(Verdict, what) as i16);
    asm.jump_if_imm(If::Equal, R1, 0, nothing);
    for at in (0..size_of::<Verdict>() as i16).step_by(8) {
        asm.load(Size::B8, R2, R0, at);
        asm.store(Size::B8, FP, VERDICT + at, R2);
    }
    asm.store_imm(Size::B4, R0, offset_of!(Verdict, what) as i16, 0);
    asm.jump_if_imm(If::NotEqual, R1, RUN, shot);
    asm.load(Size::B4, R7, R6, LEN);
    writer.execute(shot);
    writer.asm.place(nothing);
    writer.leave(NEXT);
    writer.asm.finish()
}

/// Both in one, at an interface.
#[cfg(test)]
pub(crate) fn whole(maps: &Maps) -> Vec<u64> {
    let mut writer = Writer::new(maps);
    let Ends { hit, spare, miss } = writer.walk();
    writer.asm.place(spare);
    writer.asm.place(miss);
    writer.leave(NEXT);
    writer.asm.place(hit);
    let shot = writer.asm.label();
    writer.execute(shot);
    writer.asm.finish()
}

/// Where a walk ends.
struct Ends {
    /// The verdict on the stack names the entries.
    hit: Label,
    /// A packet for a tunnel of ours, but nothing that runs here.
    spare: Label,
    /// Nothing for us.
    miss: Label,
}

struct Writer<'a> {
    asm: Asm,
    maps: &'a Maps,
}

impl<'a> Writer<'a> {
    fn new(maps: &'a Maps) -> Self {
        Self { asm: Asm::default(), maps }
    }

    fn leave(&mut self, result: i32) {
        self.asm.mov_imm(R0, result);
        self.asm.exit();
    }

    // -- looking up --

    /// The walk: from the packet in R1 to one of the ends. Keeps the packet in R6, its length in R7 and the masks in R8.
    fn walk(&mut self) -> Ends {
        let [hit, spare, miss] = [(); 3].map(|()| self.asm.label());
        let pop = self.asm.label();
        self.begin(miss);
        self.parse(0, miss);
        self.find(miss);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::Equal, R1, Kind::Pop as i32, pop);
        self.check_fit(0, miss);
        self.asm.jump(hit);
        self.asm.place(pop);
        self.pop(spare);
        self.parse(OUTER, spare);
        self.find(spare);
        self.check_popped(spare);
        self.asm.jump(hit);
        Ends { hit, spare, miss }
    }

    /// Registers, an empty key but for the port and the tag, an empty verdict.
    fn begin(&mut self, miss: Label) {
        let (known, untagged) = (self.asm.label(), self.asm.label());
        let asm = &mut self.asm;
        asm.mov(R6, R1);
        asm.load(Size::B4, R7, R6, LEN);
        asm.mov_imm(R1, 0);
        for at in (KEY..0).step_by(8).chain((VERDICT..VXLAN).step_by(8)) {
            asm.store(Size::B8, FP, at, R1);
        }
        self.look_up_number(&self.maps.masks, None);
        let asm = &mut self.asm;
        asm.jump_if_imm(If::Equal, R0, 0, miss);
        asm.mov(R8, R0);
        // Which port of the switch the interface is.
        self.look_up_number(&self.maps.ports, Some(IFINDEX));
        let asm = &mut self.asm;
        asm.jump_if_imm(If::NotEqual, R0, 0, known);
        asm.jump(miss);
        asm.place(known);
        asm.load(Size::B4, R1, R0, 0);
        asm.store(Size::B4, FP, key!(port), R1);
        asm.load(Size::B4, R1, R6, VLAN_PRESENT);
        asm.jump_if_imm(If::Equal, R1, 0, untagged);
        asm.load(Size::B4, R1, R6, VLAN_TCI);
        asm.alu_imm(Alu::Or, R1, i32::from(flow::Vlan::CFI));
        asm.store(Size::B2, FP, key!(vlan_tci), R1);
        asm.load(Size::B4, R1, R6, VLAN_PROTO);
        asm.store(Size::B2, FP, key!(vlan_tpid), R1);
        asm.place(untagged);
    }

    /// Reads the headers of the frame at `base` into the key.
    fn parse(&mut self, base: i32, miss: Label) {
        let [v6, l4_v4, l4_v6, done] = [(); 4].map(|()| self.asm.label());
        self.load_bytes(base, ETH, ETHERNET + IPV4, miss);
        let asm = &mut self.asm;
        // Destination and source: 2 + 4 + 4 + 2 bytes, each aligned.
        for (size, from, to) in [
            (Size::B2, ETH, key!(eth_dst)),
            (Size::B4, ETH + 2, key!(eth_dst) + 2),
            (Size::B4, ETH + 6, key!(eth_src)),
            (Size::B2, ETH + 10, key!(eth_src) + 4),
        ] {
            asm.load(size, R1, FP, from);
            asm.store(size, FP, to, R1);
        }
        asm.load(Size::B2, R1, FP, ETH + 12);
        asm.store(Size::B2, FP, key!(eth_type), R1);
        asm.jump_if_imm(If::Equal, R1, wire16(eth_type::IPV6), v6);
        asm.jump_if_imm(If::NotEqual, R1, wire16(eth_type::IPV4), miss);

        // IPv4: no options, not a fragment.
        asm.load(Size::B1, R1, FP, IP);
        asm.jump_if_imm(If::NotEqual, R1, 0x45, miss);
        asm.load(Size::B2, R1, FP, IP + 6);
        asm.jump_if_imm(If::AnyBit, R1, wire16(0x3fff), miss);
        asm.load(Size::B2, R5, FP, IP + 2);
        asm.swap16(R5);
        self.check_extent(base, ETHERNET, miss);
        let asm = &mut self.asm;
        asm.load(Size::B1, R4, FP, IP + 9);
        asm.store(Size::B1, FP, key!(proto), R4);
        asm.load(Size::B1, R1, FP, IP + 1);
        asm.store(Size::B1, FP, key!(tos), R1);
        for (from, to) in [(IP + 12, key!(src)), (IP + 16, key!(dst))] {
            asm.load(Size::B4, R1, FP, from);
            asm.store(Size::B4, FP, to, R1);
        }
        asm.jump_if_imm(If::Less, R5, IPV4, miss);
        asm.alu_imm(Alu::Sub, R5, IPV4);
        asm.jump(l4_v4);

        asm.place(v6);
        self.load_bytes(base + ETHERNET, IP, IPV6, miss);
        let asm = &mut self.asm;
        // Version and traffic class: VT TF .. in hexadecimal digits.
        asm.load(Size::B2, R1, FP, IP);
        asm.swap16(R1);
        asm.mov(R2, R1);
        asm.alu_imm(Alu::ShiftRight, R2, 12);
        asm.jump_if_imm(If::NotEqual, R2, 6, miss);
        asm.alu_imm(Alu::ShiftRight, R1, 4);
        asm.store(Size::B1, FP, key!(tos), R1);
        asm.load(Size::B2, R5, FP, IP + 4);
        asm.swap16(R5);
        self.check_extent(base, ETHERNET + IPV6, miss);
        let asm = &mut self.asm;
        asm.load(Size::B1, R4, FP, IP + 6);
        asm.store(Size::B1, FP, key!(proto), R4);
        for at in [0, 8] {
            asm.load(Size::B8, R1, FP, IP + 8 + at);
            asm.store(Size::B8, FP, key!(src) + at, R1);
            asm.load(Size::B8, R1, FP, IP + 24 + at);
            asm.store(Size::B8, FP, key!(dst) + at, R1);
        }
        asm.store_imm(Size::B4, FP, verdict!(v6), 1);
        asm.jump(l4_v6);

        asm.place(l4_v4);
        self.transport(base + ETHERNET + IPV4, ip_proto::ICMP, done, miss);
        self.asm.place(l4_v6);
        self.transport(base + ETHERNET + IPV6, ip_proto::ICMPV6, done, miss);
        self.asm.place(done);
    }

    /// The R5 bytes behind the frame's first `headers` are there. A super-packet inside of a tunnel is all there is (many datagrams under one header look
    /// the same, but each of them is only a part).
    fn check_extent(&mut self, base: i32, headers: i32, miss: Label) {
        let within = self.asm.label();
        let asm = &mut self.asm;
        asm.mov(R1, R5);
        asm.alu_imm(Alu::Add, R1, base + headers);
        asm.jump_if(If::Greater, R1, R7, miss);
        if base > 0 {
            asm.load(Size::B4, R2, R6, GSO_SIZE);
            asm.jump_if_imm(If::Equal, R2, 0, within);
            asm.jump_if(If::NotEqual, R1, R7, miss);
        }
        asm.place(within);
    }

    /// Reads what is at `l4`: protocol R4, R5 bytes of it.
    fn transport(&mut self, l4: i32, icmp: u8, done: Label, miss: Label) {
        let [tcp, udp, ports] = [(); 3].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.jump_if_imm(If::Less, R5, 8, miss);
        asm.jump_if_imm(If::Equal, R4, ip_proto::TCP.into(), tcp);
        asm.jump_if_imm(If::Equal, R4, ip_proto::UDP.into(), udp);
        asm.jump_if_imm(If::NotEqual, R4, icmp.into(), miss);
        // Type and code, in the places of ports.
        self.load_bytes(l4, L4, 8, miss);
        let asm = &mut self.asm;
        for (from, to) in [(L4, key!(tp_src)), (L4 + 1, key!(tp_dst))] {
            asm.load(Size::B1, R1, FP, from);
            if icmp == ip_proto::ICMPV6 && from == L4 {
                // The key has no place for what neighbour discovery says.
                for kind in
                    [icmpv6::kind::NEIGHBOUR_SOLICITATION, icmpv6::kind::NEIGHBOUR_ADVERTISEMENT]
                {
                    asm.jump_if_imm(If::Equal, R1, kind.into(), miss);
                }
            }
            asm.swap16(R1);
            asm.store(Size::B2, FP, to, R1);
        }
        asm.jump(done);

        asm.place(tcp);
        asm.jump_if_imm(If::Less, R5, 20, miss);
        // R5 does not survive the call.
        asm.store(Size::B8, FP, HEADERS, R5);
        self.load_bytes(l4, L4, 16, miss);
        let asm = &mut self.asm;
        asm.load(Size::B8, R5, FP, HEADERS);
        asm.load(Size::B1, R1, FP, L4 + 12);
        asm.alu_imm(Alu::ShiftRight, R1, 4);
        asm.alu_imm(Alu::ShiftLeft, R1, 2);
        asm.jump_if_imm(If::Less, R1, 20, miss);
        asm.jump_if(If::Greater, R1, R5, miss);
        asm.alu_imm(Alu::Add, R1, l4);
        asm.store(Size::B8, FP, HEADERS, R1);
        asm.load(Size::B1, R1, FP, L4 + 13);
        asm.store(Size::B4, FP, verdict!(tcp_flags), R1);
        asm.jump(ports);

        asm.place(udp);
        self.load_bytes(l4, L4, 8, miss);
        let asm = &mut self.asm;
        asm.place(ports);
        for (from, to) in [(L4, key!(tp_src)), (L4 + 2, key!(tp_dst))] {
            asm.load(Size::B2, R1, FP, from);
            asm.store(Size::B2, FP, to, R1);
        }
        asm.jump(done);
    }

    /// Looks for a flow under each mask. Its number goes to the verdict, the entry to R9.
    fn find(&mut self, miss: Label) {
        let found = self.asm.label();
        for i in 0..MASKS_MAX {
            let asm = &mut self.asm;
            asm.load(Size::B4, R1, R8, offset_of!(Masks, count) as i16);
            asm.jump_if_imm(If::Less, R1, i as i32 + 1, miss);
            let mask = offset_of!(Masks, masks) + i * size_of::<Key>();
            for at in (0..size_of::<Key>() as i16).step_by(8) {
                asm.load(Size::B8, R1, FP, KEY + at);
                asm.load(Size::B8, R2, R8, mask as i16 + at);
                asm.alu(Alu::And, R1, R2);
                asm.store(Size::B8, FP, MASKED + at, R1);
            }
            asm.store_imm(Size::B1, FP, MASKED + offset_of!(Key, mask) as i16, i as i32);
            asm.map(R1, &self.maps.flows);
            asm.mov(R2, FP);
            asm.alu_imm(Alu::Add, R2, MASKED.into());
            asm.call(Helper::MapLookup);
            asm.jump_if_imm(If::NotEqual, R0, 0, found);
        }
        let asm = &mut self.asm;
        asm.jump(miss);
        asm.place(found);
        asm.load(Size::B4, R1, R0, 0);
        asm.store(Size::B4, FP, verdict!(entry), R1);
        self.entry(verdict!(entry), miss);
        self.asm.mov(R9, R0);
    }

    /// The entry whose number is on the stack at `at`, in R0.
    fn entry(&mut self, at: i16, none: Label) {
        let asm = &mut self.asm;
        asm.map(R1, &self.maps.entries);
        asm.mov(R2, FP);
        asm.alu_imm(Alu::Add, R2, at.into());
        asm.call(Helper::MapLookup);
        asm.jump_if_imm(If::Equal, R0, 0, none);
    }

    /// The packet at `base` is one that may run here (see "Order"); it, or each segment of it, is not too long for where it goes; and
    /// a tag stays where it is.
    fn check_fit(&mut self, base: i32, miss: Label) {
        let [single, known, push, compare] = [(); 4].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.load(Size::B1, R1, FP, key!(proto));
        asm.jump_if_imm(If::Equal, R1, ip_proto::UDP.into(), miss);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::Equal, R1, 0, single);
        // Of super-packets, TCP alone.
        asm.load(Size::B1, R2, FP, key!(proto));
        asm.jump_if_imm(If::NotEqual, R2, ip_proto::TCP.into(), miss);
        asm.load(Size::B8, R2, FP, HEADERS);
        asm.alu(Alu::Add, R2, R1);
        asm.jump(known);
        asm.place(single);
        asm.mov(R2, R7);
        asm.place(known);
        if base > 0 {
            asm.alu_imm(Alu::Sub, R2, base);
        } else {
            asm.load(Size::B4, R1, R9, entry!(kind));
            asm.jump_if_imm(If::Equal, R1, Kind::Push as i32, push);
            asm.jump(compare);
            asm.place(push);
            asm.alu_imm(Alu::Add, R2, OUTER);
            // The tag would be the outer packet's.
            asm.load(Size::B2, R1, FP, key!(vlan_tci));
            asm.jump_if_imm(If::NotEqual, R1, 0, miss);
        }
        asm.place(compare);
        asm.load(Size::B4, R1, R9, entry!(frame_max));
        asm.jump_if(If::Greater, R2, R1, miss);
    }

    /// A packet matched by a flow that pops a tunnel (in R9): judges the outer headers, and makes them part of the key.
    fn pop(&mut self, spare: Label) {
        let sound = self.asm.label();
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, verdict!(entry));
        asm.alu_imm(Alu::Add, R1, 1);
        asm.store(Size::B4, FP, verdict!(outer), R1);
        asm.load(Size::B2, R1, FP, key!(vlan_tci));
        asm.jump_if_imm(If::NotEqual, R1, 0, spare);
        asm.load(Size::B2, R1, FP, key!(eth_type));
        asm.jump_if_imm(If::NotEqual, R1, wire16(eth_type::IPV4), spare);
        asm.load(Size::B1, R1, FP, key!(proto));
        asm.jump_if_imm(If::NotEqual, R1, ip_proto::UDP.into(), spare);
        // Nothing behind the IP packet, nothing behind the datagram.
        asm.load(Size::B2, R5, FP, IP + 2);
        asm.swap16(R5);
        asm.mov(R1, R5);
        asm.alu_imm(Alu::Add, R1, ETHERNET);
        asm.jump_if(If::NotEqual, R1, R7, spare);
        asm.load(Size::B2, R1, FP, L4 + 6);
        asm.jump_if_imm(If::NotEqual, R1, 0, spare);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::NotEqual, R1, 0, sound);
        asm.load(Size::B2, R1, FP, L4 + 4);
        asm.swap16(R1);
        asm.alu_imm(Alu::Add, R1, IPV4);
        asm.jump_if(If::NotEqual, R1, R5, spare);
        // The header's checksum.
        asm.mov_imm(R1, 0);
        for at in (0..IPV4 as i16).step_by(4) {
            asm.load(Size::B4, R2, FP, IP + at);
            asm.alu(Alu::Add, R1, R2);
        }
        self.fold(4);
        let asm = &mut self.asm;
        asm.jump_if_imm(If::NotEqual, R1, 0xffff, spare);
        asm.place(sound);
        self.load_bytes(ETHERNET + IPV4 + 8, VXLAN, 8, spare);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, VXLAN);
        asm.jump_if_imm(If::NotEqual, R1, i32::from_ne_bytes([8, 0, 0, 0]), spare);
        asm.load(Size::B4, R1, FP, VXLAN + 4);
        asm.swap32(R1);
        asm.jump_if_imm(If::AnyBit, R1, 0xff, spare);
        asm.alu_imm(Alu::ShiftRight, R1, 8);
        asm.store(Size::B4, FP, key!(tun_id), R1);
        for (size, from, to) in [
            (Size::B4, IP + 12, key!(tun_src)),
            (Size::B4, IP + 16, key!(tun_dst)),
            (Size::B1, IP + 1, key!(tun_tos)),
            (Size::B1, IP + 8, key!(tun_ttl)),
        ] {
            asm.load(size, R1, FP, from);
            asm.store(size, FP, to, R1);
        }
        asm.store_imm(Size::B2, FP, key!(tun_flags), tunnel_flag::KEY.into());
        asm.load(Size::B4, R1, R9, entry!(tunnel_port));
        asm.store(Size::B4, FP, key!(port), R1);
        // The outer addresses are not the inner ones.
        asm.mov_imm(R1, 0);
        for at in (key!(src)..key!(dst) + 16).step_by(8) {
            asm.store(Size::B8, FP, at, R1);
        }
        asm.store(Size::B4, FP, verdict!(v6), R1);
        asm.store(Size::B4, FP, verdict!(tcp_flags), R1);
    }

    /// The entry in R9 is one that an unpacked packet can take.
    fn check_popped(&mut self, spare: Label) {
        let single = self.asm.label();
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::NotEqual, R1, Kind::Output as i32, spare);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::Equal, R1, 0, single);
        asm.load(Size::B4, R1, R9, entry!(flags));
        asm.alu_imm(Alu::And, R1, POPPED_SUPER as i32);
        asm.jump_if_imm(If::Equal, R1, 0, spare);
        asm.place(single);
        self.check_fit(OUTER, spare);
    }

    /// Writes the verdict to this processor's slot.
    fn tell(&mut self) {
        let none = self.asm.label();
        self.look_up_number(&self.maps.slot, None);
        let asm = &mut self.asm;
        asm.jump_if_imm(If::Equal, R0, 0, none);
        for at in (0..size_of::<Verdict>() as i16).step_by(8) {
            asm.load(Size::B8, R1, FP, VERDICT + at);
            asm.store(Size::B8, R0, at, R1);
        }
        asm.place(none);
    }

    // -- running --

    /// Runs the verdict on the stack on the packet in R6, R7 bytes long, and leaves. Failures end at `shot`, placed here.
    fn execute(&mut self, shot: Label) {
        let [pop, push, redirect, failed] = [(); 4].map(|()| self.asm.label());
        self.entry(verdict!(entry), shot);
        let asm = &mut self.asm;
        asm.mov(R9, R0);
        asm.load(Size::B4, R1, FP, verdict!(outer));
        asm.jump_if_imm(If::NotEqual, R1, 0, pop);
        self.count(R9, 0);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::Equal, R1, Kind::Push as i32, push);
        asm.jump(redirect);

        asm.place(pop);
        self.count(R9, OUTER);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, verdict!(outer));
        asm.alu_imm(Alu::Sub, R1, 1);
        asm.store(Size::B4, FP, INDEX, R1);
        self.entry(INDEX, failed);
        self.count(R0, 0);
        self.take_outer_off(failed);
        self.asm.jump(redirect);

        self.asm.place(push);
        self.put_outer_on(failed);

        let asm = &mut self.asm;
        asm.place(redirect);
        asm.load(Size::B4, R1, R9, entry!(ifindex));
        asm.mov_imm(R2, 0);
        asm.call(Helper::Redirect);
        asm.exit();

        asm.place(failed);
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R9, entry!(failed), R1);
        asm.place(shot);
        self.leave(SHOT);
    }

    /// Counts the packet, less `without` bytes, in an entry.
    fn count(&mut self, entry: Reg, without: i32) {
        let [untagged, seen] = [(); 2].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, entry, entry!(packets), R1);
        asm.mov(R1, R7);
        asm.alu_imm(Alu::Sub, R1, without);
        asm.load(Size::B4, R2, R6, VLAN_PRESENT);
        asm.jump_if_imm(If::Equal, R2, 0, untagged);
        asm.alu_imm(Alu::Add, R1, 4);
        asm.place(untagged);
        asm.atomic(Alu::Add, entry, entry!(bytes), R1);
        // Flags are rarely news.
        asm.load(Size::B4, R1, FP, verdict!(tcp_flags));
        asm.load(Size::B8, R2, entry, entry!(tcp_flags));
        asm.mov(R3, R2);
        asm.alu(Alu::Or, R3, R1);
        asm.jump_if(If::Equal, R3, R2, seen);
        asm.atomic(Alu::Or, entry, entry!(tcp_flags), R1);
        asm.place(seen);
    }

    fn take_outer_off(&mut self, failed: Label) {
        const FIXED_GSO: u64 = 1 << 0;
        const DECAP_L3_IPV4: u64 = 1 << 7;
        const DECAP_L3_IPV6: u64 = 1 << 8;
        let v4 = self.asm.label();
        const INNER_ETH: i16 = PUSHED + OUTER as i16;
        self.load_bytes(OUTER, INNER_ETH, ETHERNET, failed);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, verdict!(v6));
        asm.mov_imm64(R4, FIXED_GSO | DECAP_L3_IPV4);
        asm.jump_if_imm(If::Equal, R1, 0, v4);
        asm.mov_imm64(R4, FIXED_GSO | DECAP_L3_IPV6);
        asm.place(v4);
        self.adjust_room(-OUTER, failed);
        self.store_bytes(INNER_ETH, ETHERNET, failed);
    }

    fn put_outer_on(&mut self, failed: Label) {
        const FIXED_GSO: u64 = 1 << 0;
        const ENCAP_L3_IPV4: u64 = 1 << 1;
        const ENCAP_L4_UDP: u64 = 1 << 4;
        const ENCAP_L2_ETH: u64 = 1 << 6;
        const ENCAP_L2_SHIFT: u32 = 56;
        // The prepared headers, then the inner Ethernet header.
        for at in (0..48).step_by(8) {
            self.asm.load(Size::B8, R1, R9, entry!(header) + at);
            self.asm.store(Size::B8, FP, PUSHED + at, R1);
        }
        self.asm.load(Size::B2, R1, R9, entry!(header) + 48);
        self.asm.store(Size::B2, FP, PUSHED + 48, R1);
        self.load_bytes(0, PUSHED + OUTER as i16, ETHERNET, failed);
        let asm = &mut self.asm;
        // IP: total length and the checksum that follows from it.
        const OUTER_IP: i16 = PUSHED + ETHERNET as i16;
        asm.mov(R1, R7);
        asm.alu_imm(Alu::Add, R1, OUTER - ETHERNET);
        asm.mov(R2, R1);
        asm.swap16(R2);
        asm.store(Size::B2, FP, OUTER_IP + 2, R2);
        asm.load(Size::B4, R2, R9, entry!(ip_sum));
        asm.alu(Alu::Add, R1, R2);
        self.fold(2);
        let asm = &mut self.asm;
        asm.mov_imm(R2, 0xffff);
        asm.alu(Alu::Sub, R2, R1);
        asm.swap16(R2);
        asm.store(Size::B2, FP, OUTER_IP + 10, R2);
        // UDP: the length, and a source port for each flow inside.
        const OUTER_UDP: i16 = OUTER_IP + IPV4 as i16;
        asm.mov(R1, R7);
        asm.alu_imm(Alu::Add, R1, OUTER - ETHERNET - IPV4);
        asm.swap16(R1);
        asm.store(Size::B2, FP, OUTER_UDP + 4, R1);
        asm.mov(R1, R6);
        asm.call(Helper::HashRecalc);
        asm.alu_imm(Alu::ShiftLeft, R0, 32);
        asm.alu_imm(Alu::ShiftRight, R0, 32);
        asm.load(Size::B2, R1, R9, entry!(source_ports));
        asm.alu(Alu::Mul, R0, R1);
        asm.alu_imm(Alu::ShiftRight, R0, 32);
        asm.load(Size::B2, R1, R9, entry!(source_low));
        asm.alu(Alu::Add, R0, R1);
        asm.swap16(R0);
        asm.store(Size::B2, FP, OUTER_UDP, R0);
        let inner = (ETHERNET as u64) << ENCAP_L2_SHIFT;
        asm.mov_imm64(R4, FIXED_GSO | ENCAP_L3_IPV4 | ENCAP_L4_UDP | ENCAP_L2_ETH | inner);
        self.adjust_room(OUTER, failed);
        self.store_bytes(PUSHED, OUTER + ETHERNET, failed);
    }

    /// Makes room behind the Ethernet header, or takes it. Flags are in R4.
    fn adjust_room(&mut self, by: i32, failed: Label) {
        const BEHIND_ETHERNET: i32 = 1;
        let asm = &mut self.asm;
        asm.mov(R1, R6);
        asm.mov_imm(R2, by);
        asm.mov_imm(R3, BEHIND_ETHERNET);
        asm.call(Helper::AdjustRoom);
        asm.jump_if_imm(If::NotEqual, R0, 0, failed);
    }

    // -- small change --

    /// Adds the halves of R1 until 16 bits are left: `times`.
    fn fold(&mut self, times: usize) {
        let asm = &mut self.asm;
        for _ in 0..times {
            asm.mov(R2, R1);
            asm.alu_imm(Alu::ShiftRight, R2, 16);
            asm.alu_imm(Alu::And, R1, 0xffff);
            asm.alu(Alu::Add, R1, R2);
        }
    }

    /// Looks in a map whose key is a number: one from the packet's description, else 0.
    fn look_up_number(&mut self, map: &sys::bpf::Map, from: Option<i16>) {
        let asm = &mut self.asm;
        match from {
            Some(offset) => {
                asm.load(Size::B4, R1, R6, offset);
                asm.store(Size::B4, FP, INDEX, R1);
            }
            None => asm.store_imm(Size::B4, FP, INDEX, 0),
        }
        asm.map(R1, map);
        asm.mov(R2, FP);
        asm.alu_imm(Alu::Add, R2, INDEX.into());
        asm.call(Helper::MapLookup);
    }

    /// Copies bytes of the packet to the stack.
    fn load_bytes(&mut self, offset: i32, to: i16, len: i32, miss: Label) {
        let asm = &mut self.asm;
        asm.mov(R1, R6);
        asm.mov_imm(R2, offset);
        asm.mov(R3, FP);
        asm.alu_imm(Alu::Add, R3, to.into());
        asm.mov_imm(R4, len);
        asm.call(Helper::LoadBytes);
        asm.jump_if_imm(If::NotEqual, R0, 0, miss);
    }

    /// Overwrites the beginning of the packet from the stack.
    fn store_bytes(&mut self, from: i16, len: i32, failed: Label) {
        let asm = &mut self.asm;
        asm.mov(R1, R6);
        asm.mov_imm(R2, 0);
        asm.mov(R3, FP);
        asm.alu_imm(Alu::Add, R3, from.into());
        asm.mov_imm(R4, len);
        asm.mov_imm(R5, 0);
        asm.call(Helper::StoreBytes);
        asm.jump_if_imm(If::NotEqual, R0, 0, failed);
    }
}

/// A number as it is read from a packet by two bytes.
fn wire16(n: u16) -> i32 {
    u16::from_ne_bytes(n.to_be_bytes()).into()
}

#[cfg(test)]
mod tests;
