//! How packets pass gates, and are counted there.

use packet::wire::ip_proto;

use super::asm::{Alu, FP, Helper, If, Label, R0, R1, R2, R8, Size};
use super::*;

/// The place of a number of a gate.
macro_rules! gate {
    ($word:ident) => {
        Word::$word as i16 * size_of::<u64>() as i16
    };
}

impl Writer<'_> {
    /// Whether the packet may run here now. The `unfit` come here, too, and may not; `counted` are those that a gate has counted,
    /// `uncounted` those that nobody counts, `drained` those that nobody is to have.
    pub(super) fn pass_gates(
        &mut self,
        unfit: Label,
        [hit, counted, uncounted, drained]: [Label; 4],
    ) {
        let [judge, other, apart, count, drain] = [(); 5].map(|()| self.asm.label());
        let asm = &mut self.asm;
        asm.jump(judge);
        asm.place(unfit);
        asm.store_imm(Size::B4, FP, FIT, 0);
        asm.place(judge);
        asm.load(Size::B4, R1, FP, verdict!(entry));
        asm.alu_imm(Alu::ShiftLeft, R1, 1);
        asm.load(Size::B1, R2, FP, key!(proto));
        asm.jump_if_imm(If::NotEqual, R2, ip_proto::UDP.into(), other);
        asm.alu_imm(Alu::Or, R1, 1);
        asm.place(other);
        asm.store(Size::B4, FP, INDEX, R1);
        self.gate(uncounted);
        let asm = &mut self.asm;
        asm.load(Size::B8, R1, R0, gate!(Expect));
        // An immediate is extended by its sign.
        asm.jump_if_imm(If::Equal, R1, SHUT as i32, uncounted);
        asm.load(Size::B4, R2, FP, FIT);
        asm.jump_if_imm(If::Equal, R2, 0, count);
        asm.jump_if_imm(If::Equal, R1, DRAINING as i32, drain);
        asm.load(Size::B8, R2, R0, gate!(Passed));
        asm.jump_if(If::NotEqual, R1, R2, count);
        asm.load(Size::B1, R2, FP, key!(proto));
        asm.jump_if_imm(If::NotEqual, R2, ip_proto::UDP.into(), hit);
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R0, gate!(Ran), R1);
        // Masks are no longer needed.
        asm.mov(R8, R0);
        asm.call(Helper::Nanoseconds);
        asm.load(Size::B8, R1, R8, gate!(Last));
        asm.store(Size::B8, R8, gate!(Last), R0);
        asm.alu(Alu::Sub, R0, R1);
        asm.jump_if_imm(If::Greater, R0, CLOSE, apart);
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R8, gate!(Near), R1);
        asm.place(apart);
        // UDP has the port's gate to pass as well.
        asm.load(Size::B4, R1, FP, PORT_GATE);
        asm.store(Size::B4, FP, INDEX, R1);
        self.gate(uncounted);
        let asm = &mut self.asm;
        asm.load(Size::B8, R1, R0, gate!(Expect));
        asm.load(Size::B8, R2, R0, gate!(Passed));
        asm.jump_if(If::Equal, R1, R2, hit);
        asm.place(count);
        self.count_passed(counted);
        let asm = &mut self.asm;
        asm.place(drain);
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R0, gate!(Drained), R1);
        asm.jump(drained);
    }

    /// Counts a packet at its port's gate.
    pub(super) fn count_odd(&mut self, [counted, uncounted]: [Label; 2]) {
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, PORT_GATE);
        asm.store(Size::B4, FP, INDEX, R1);
        self.gate(uncounted);
        self.count_passed(counted);
    }

    /// Counts a packet at the gate in R0, whose number is at [`INDEX`].
    fn count_passed(&mut self, counted: Label) {
        let asm = &mut self.asm;
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R0, gate!(Passed), R1);
        asm.load(Size::B4, R1, FP, INDEX);
        asm.alu_imm(Alu::Add, R1, 1);
        asm.store(Size::B4, FP, verdict!(gate), R1);
        asm.jump(counted);
    }

    /// The gate whose number is at [`INDEX`], in R0.
    fn gate(&mut self, none: Label) {
        let asm = &mut self.asm;
        asm.map(R1, self.maps.gates.map());
        asm.mov(R2, FP);
        asm.alu_imm(Alu::Add, R2, INDEX.into());
        asm.call(Helper::MapLookup);
        asm.jump_if_imm(If::Equal, R0, 0, none);
    }

    /// The packet of the verdict on the stack is in a socket's queue: its gate is told, if one has counted it.
    pub(super) fn count_queued(&mut self) {
        let none = self.asm.label();
        let asm = &mut self.asm;
        asm.load(Size::B4, R1, FP, verdict!(gate));
        asm.jump_if_imm(If::Equal, R1, 0, none);
        asm.alu_imm(Alu::Sub, R1, 1);
        asm.store(Size::B4, FP, INDEX, R1);
        self.gate(none);
        let asm = &mut self.asm;
        asm.mov_imm(R1, 1);
        asm.atomic(Alu::Add, R0, gate!(Queued), R1);
        asm.place(none);
    }
}
