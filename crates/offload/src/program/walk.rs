//! How the filter reads a packet and finds its flow.

use std::mem::offset_of;

use flow::tunnel_flag;
use packet::wire::ethernet::eth_type;
use packet::wire::{icmpv6, ip_proto};

use super::asm::{Alu, FP, If, Label, R0, R1, R2, R4, R5, R6, R7, R8, R9, Size};
use super::*;

impl Writer<'_> {
    /// The walk: from the packet in R1 to one of the ends. Keeps the packet in R6, its length in R7 and the masks in R8.
    pub(super) fn walk(&mut self) -> Ends {
        let [hit, pass, spare, miss, drain] = [(); 5].map(|()| self.asm.label());
        let [pop, odd, odd_inside, unfit, unfit_inside] = [(); 5].map(|()| self.asm.label());
        self.begin(miss);
        self.parse(0, odd, miss);
        self.find(miss);
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::Equal, R1, Kind::Pop as i32, pop);
        self.check_fit(0, unfit);
        self.note_far();
        self.pass_gates(unfit, [hit, pass, miss, drain]);
        self.asm.place(odd);
        self.count_odd([pass, miss]);
        self.asm.place(pop);
        self.pop(spare);
        self.parse(OUTER, odd_inside, spare);
        self.find(spare);
        self.check_popped(unfit_inside, spare);
        self.note_far();
        self.pass_gates(unfit_inside, [hit, spare, spare, drain]);
        self.asm.place(odd_inside);
        self.count_odd([spare, spare]);
        Ends { hit, pass, spare, miss, drain }
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
        asm.load(Size::B4, R1, R0, offset_of!(PortEntry, port) as i16);
        asm.store(Size::B4, FP, key!(port), R1);
        asm.load(Size::B4, R1, R0, offset_of!(PortEntry, gate) as i16);
        asm.store(Size::B4, FP, PORT_GATE, R1);
        asm.store_imm(Size::B4, FP, FIT, 1);
        asm.load(Size::B4, R1, R6, VLAN_PRESENT);
        asm.jump_if_imm(If::Equal, R1, 0, untagged);
        asm.load(Size::B4, R1, R6, VLAN_TCI);
        asm.alu_imm(Alu::Or, R1, i32::from(flow::Vlan::CFI));
        asm.store(Size::B2, FP, key!(vlan_tci), R1);
        asm.load(Size::B4, R1, R6, VLAN_PROTO);
        asm.store(Size::B2, FP, key!(vlan_tpid), R1);
        asm.place(untagged);
    }

    /// Reads the headers of the frame at `base` into the key. What may be UDP, but does not say of which flow, is `odd`.
    fn parse(&mut self, base: i32, odd: Label, miss: Label) {
        let [v6, odd_v4, odd_v6, l4_v4, l4_v6, done] = [(); 6].map(|()| self.asm.label());
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
        asm.jump_if_imm(If::NotEqual, R1, 0x45, odd_v4);
        asm.load(Size::B2, R1, FP, IP + 6);
        asm.jump_if_imm(If::AnyBit, R1, wire16(0x3fff), odd_v4);
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
        asm.place(odd_v4);
        asm.load(Size::B1, R1, FP, IP + 9);
        asm.jump_if_imm(If::Equal, R1, ip_proto::UDP.into(), odd);
        asm.jump(miss);

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
        for extension in EXTENSIONS {
            asm.jump_if_imm(If::Equal, R4, extension.into(), odd_v6);
        }
        for at in [0, 8] {
            asm.load(Size::B8, R1, FP, IP + 8 + at);
            asm.store(Size::B8, FP, key!(src) + at, R1);
            asm.load(Size::B8, R1, FP, IP + 24 + at);
            asm.store(Size::B8, FP, key!(dst) + at, R1);
        }
        asm.store_imm(Size::B4, FP, verdict!(v6), 1);
        asm.jump(l4_v6);
        asm.place(odd_v6);
        // What comes next: mostly it is multicast's management.
        self.load_bytes(base + ETHERNET + IPV6, L4, 8, miss);
        let asm = &mut self.asm;
        asm.load(Size::B1, R1, FP, L4);
        for next in EXTENSIONS.into_iter().chain([ip_proto::UDP]) {
            asm.jump_if_imm(If::Equal, R1, next.into(), odd);
        }
        asm.jump(miss);

        asm.place(l4_v4);
        self.transport(base + ETHERNET + IPV4, ip_proto::ICMP, done, miss);
        self.asm.place(l4_v6);
        self.transport(base + ETHERNET + IPV6, ip_proto::ICMPV6, done, miss);
        self.asm.place(done);
    }

    /// The R5 bytes behind the frame's first `headers` are there. Of a super-packet inside of a tunnel they are all there is; if not,
    /// it is many datagrams under one header, and unfit.
    fn check_extent(&mut self, base: i32, headers: i32, miss: Label) {
        let within = self.asm.label();
        let asm = &mut self.asm;
        asm.mov(R1, R5);
        asm.alu_imm(Alu::Add, R1, base + headers);
        asm.jump_if(If::Greater, R1, R7, miss);
        if base > 0 {
            asm.load(Size::B4, R2, R6, GSO_SIZE);
            asm.jump_if_imm(If::Equal, R2, 0, within);
            asm.jump_if(If::Equal, R1, R7, within);
            asm.store_imm(Size::B4, FP, FIT, 0);
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
    pub(super) fn entry(&mut self, at: i16, none: Label) {
        let asm = &mut self.asm;
        asm.map(R1, &self.maps.entries);
        asm.mov(R2, FP);
        asm.alu_imm(Alu::Add, R2, at.into());
        asm.call(Helper::MapLookup);
        asm.jump_if_imm(If::Equal, R0, 0, none);
    }

    /// The packet at `base`, or each segment of it, is not too long for where it goes; and a tag stays where it is.
    fn check_fit(&mut self, base: i32, unfit: Label) {
        let [single, known, push, compare] = [(); 4].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::Equal, R1, 0, single);
        // Of super-packets, TCP alone.
        asm.load(Size::B1, R2, FP, key!(proto));
        asm.jump_if_imm(If::NotEqual, R2, ip_proto::TCP.into(), unfit);
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
            asm.jump_if_imm(If::NotEqual, R1, 0, unfit);
        }
        asm.place(compare);
        asm.load(Size::B4, R1, R9, entry!(frame_max));
        asm.jump_if(If::Greater, R2, R1, unfit);
    }

    /// Whether the packet may be put at the other end of where it goes, by the entry in R9: what a tunnel takes is to the address in
    /// the prepared headers, which was looked at when the rule was made; others must be to the address of that end.
    fn note_far(&mut self) {
        let [far, near] = [(); 2].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(flags));
        asm.alu_imm(Alu::And, R1, FAR as i32);
        asm.jump_if_imm(If::Equal, R1, 0, near);
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::Equal, R1, Kind::Push as i32, far);
        for (size, at) in [(Size::B2, 0), (Size::B4, 2)] {
            asm.load(size, R1, FP, key!(eth_dst) + at);
            asm.load(size, R2, R9, entry!(far_mac) + at);
            asm.jump_if(If::NotEqual, R1, R2, near);
        }
        asm.place(far);
        asm.store_imm(Size::B4, FP, verdict!(far), 1);
        asm.place(near);
    }

    /// A packet matched by a flow that pops a tunnel (in R9): judges the outer headers, and makes them part of the key.
    fn pop(&mut self, spare: Label) {
        let [whole, examine, plain, sound] = [(); 4].map(|()| self.asm.label());
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
        // Unfit is what has something behind the IP packet, something behind the datagram, or a checksum to verify.
        asm.load(Size::B2, R5, FP, IP + 2);
        asm.swap16(R5);
        asm.mov(R1, R5);
        asm.alu_imm(Alu::Add, R1, ETHERNET);
        asm.jump_if(If::Equal, R1, R7, whole);
        asm.store_imm(Size::B4, FP, FIT, 0);
        asm.place(whole);
        asm.load(Size::B2, R1, FP, L4 + 6);
        asm.jump_if_imm(If::Equal, R1, 0, examine);
        asm.store_imm(Size::B4, FP, FIT, 0);
        asm.place(examine);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::NotEqual, R1, 0, sound);
        asm.load(Size::B2, R1, FP, L4 + 4);
        asm.swap16(R1);
        asm.alu_imm(Alu::Add, R1, IPV4);
        asm.jump_if(If::Equal, R1, R5, plain);
        asm.store_imm(Size::B4, FP, FIT, 0);
        asm.place(plain);
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

    /// The entry in R9 is one that an unpacked packet can take, and the packet is fit.
    fn check_popped(&mut self, unfit: Label, spare: Label) {
        let single = self.asm.label();
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, R9, entry!(kind));
        asm.jump_if_imm(If::NotEqual, R1, Kind::Output as i32, spare);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::Equal, R1, 0, single);
        asm.load(Size::B4, R1, R9, entry!(flags));
        asm.alu_imm(Alu::And, R1, POPPED_SUPER as i32);
        asm.jump_if_imm(If::Equal, R1, 0, unfit);
        asm.place(single);
        self.check_fit(OUTER, unfit);
    }

    /// Writes the verdict to this processor's slot.
    pub(super) fn tell(&mut self) {
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
}
