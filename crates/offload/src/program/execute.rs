//! How the executor does what a flow says.

use super::asm::{Alu, FP, Helper, If, Label, R0, R1, R2, R3, R4, R6, R7, R9, Reg, Size};
use super::*;

/// The place of a number of a tally.
macro_rules! tally {
    ($word:ident) => {
        tally::Word::$word as i16 * size_of::<u64>() as i16
    };
}

/// A packet that has been put at another end so often takes the ordinary way once.
pub(super) const JUMPS_MAX: i32 = 8;
/// Of a packet's type: for the host that has it.
const HOST: i32 = 0;

impl Writer<'_> {
    /// Runs the verdict on the stack on the packet in R6, R7 bytes long, and leaves. Failures end at `shot`, placed here.
    pub(super) fn execute(&mut self, shot: Label) {
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

        self.asm.place(redirect);
        if self.jumps {
            self.jump();
        }
        let asm = &mut self.asm;
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

    /// Puts the packet at the other end of where it goes, if the verdict says that it may, and leaves. Else goes on.
    fn jump(&mut self) {
        let [ordinary, enough, fits, host] = [(); 4].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, verdict!(far));
        asm.jump_if_imm(If::Equal, R1, 0, ordinary);
        asm.load(Size::B4, R1, R6, GSO_SIZE);
        asm.jump_if_imm(If::NotEqual, R1, 0, fits);
        asm.load(Size::B4, R1, R6, LEN);
        asm.load(Size::B4, R2, R9, entry!(far_frame_max));
        asm.jump_if(If::Greater, R1, R2, ordinary);
        asm.place(fits);
        asm.load(Size::B4, R1, R6, TC_INDEX);
        asm.jump_if_imm(If::Greater, R1, JUMPS_MAX - 1, enough);
        asm.alu_imm(Alu::Add, R1, 1);
        asm.store(Size::B4, R6, TC_INDEX, R1);
        // What a queue between namespaces would have taken off.
        asm.mov_imm(R1, 0);
        asm.store(Size::B4, R6, MARK, R1);
        asm.store(Size::B4, R6, PRIORITY, R1);
        asm.load(Size::B4, R1, R6, PKT_TYPE);
        asm.jump_if_imm(If::Equal, R1, HOST, host);
        asm.mov(R1, R6);
        asm.mov_imm(R2, HOST);
        asm.call(Helper::ChangeType);
        asm.place(host);
        asm.map(R1, self.maps.tallies.map());
        asm.mov(R2, R9);
        asm.alu_imm(Alu::Add, R2, entry!(tally).into());
        asm.call(Helper::MapLookup);
        asm.jump_if_imm(If::Equal, R0, 0, ordinary);
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R0, tally!(Packets), R1);
        asm.load(Size::B4, R1, R6, LEN);
        asm.atomic(Alu::Add, R0, tally!(Bytes), R1);
        asm.load(Size::B4, R1, R9, entry!(ifindex));
        asm.mov_imm(R2, 0);
        asm.call(Helper::RedirectPeer);
        asm.exit();

        asm.place(enough);
        asm.mov_imm(R1, 0);
        asm.store(Size::B4, R6, TC_INDEX, R1);
        asm.place(ordinary);
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
}
