//! Writes instructions of the kernel's machine (RFC 9669): registers, labels, and a method for each instruction that is needed.

use std::os::fd::{AsFd, AsRawFd};

use sys::bpf::{Map, op};

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reg(u8);

/// What helpers and the program give back. Helpers spoil it and the five that follow.
pub(super) const R0: Reg = Reg(0);
/// Arguments of helpers.
pub(super) const R1: Reg = Reg(1);
pub(super) const R2: Reg = Reg(2);
pub(super) const R3: Reg = Reg(3);
pub(super) const R4: Reg = Reg(4);
pub(super) const R5: Reg = Reg(5);
/// Helpers leave these alone.
pub(super) const R6: Reg = Reg(6);
pub(super) const R7: Reg = Reg(7);
pub(super) const R8: Reg = Reg(8);
pub(super) const R9: Reg = Reg(9);
/// The end of the stack, which grows down from it.
pub(super) const FP: Reg = Reg(10);

/// How much of memory an instruction reads or writes.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Size {
    B1 = 0x10,
    B2 = 0x08,
    B4 = 0x00,
    B8 = 0x18,
}

/// A calculation on 64 bits.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Alu {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// A comparison of 64 bits without sign.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum If {
    Equal = 0x10,
    Greater = 0x20,
    AnyBit = 0x40,
    NotEqual = 0x50,
    Less = 0xa0,
}

/// A place in the program, known or to be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A program being written.
#[derive(Default)]
pub(super) struct Asm {
    code: Vec<u64>,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    /// Jumps, each with its four parts and where it goes.
    jumps: Vec<(usize, u8, Reg, Reg, i32, Label)>,
}

// Instruction classes and sources.
const ALU64: u8 = 0x07;
const LOAD: u8 = 0x61;
const STORE_IMM: u8 = 0x62;
const STORE: u8 = 0x63;
const ATOMIC: u8 = 0xc3;
const JUMP: u8 = 0x05;
const FROM_REGISTER: u8 = 0x08;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const BYTE_SWAP_TO_BIG: u8 = 0xdc;
const LOAD_IMM64: u8 = 0x18;
const A_MAP: u8 = 1;

impl Asm {
    /// The finished program. A jump to a label without place is a mistake of ours.
    pub(super) fn finish(mut self) -> Vec<u64> {
        for (at, code, dst, src, imm, label) in self.jumps {
            let to = self.labels[label.0].expect("each label is placed");
            let offset = i16::try_from(to as i64 - at as i64 - 1).expect("programs are short");
            self.code[at] = op(code, dst.0, src.0, offset, imm);
        }
        self.code
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    pub(super) fn alu(&mut self, what: Alu, dst: Reg, src: Reg) {
        self.code.push(op(ALU64 | FROM_REGISTER | what as u8, dst.0, src.0, 0, 0));
    }

    pub(super) fn alu_imm(&mut self, what: Alu, dst: Reg, imm: i32) {
        self.code.push(op(ALU64 | what as u8, dst.0, 0, 0, imm));
    }

    pub(super) fn mov(&mut self, dst: Reg, src: Reg) {
        self.alu(Alu::Move, dst, src);
    }

    pub(super) fn mov_imm(&mut self, dst: Reg, imm: i32) {
        self.alu_imm(Alu::Move, dst, imm);
    }

    /// All 64 bits of a number.
    pub(super) fn mov_imm64(&mut self, dst: Reg, imm: u64) {
        self.code.push(op(LOAD_IMM64, dst.0, 0, 0, imm as u32 as i32));
        self.code.push(op(0, 0, 0, 0, (imm >> 32) as u32 as i32));
    }

    pub(super) fn map(&mut self, dst: Reg, map: &Map) {
        self.code.push(op(LOAD_IMM64, dst.0, A_MAP, 0, map.as_fd().as_raw_fd()));
        self.code.push(op(0, 0, 0, 0, 0));
    }

    pub(super) fn load(&mut self, size: Size, dst: Reg, from: Reg, offset: i16) {
        self.code.push(op(LOAD | size as u8, dst.0, from.0, offset, 0));
    }

    pub(super) fn store(&mut self, size: Size, to: Reg, offset: i16, src: Reg) {
        self.code.push(op(STORE | size as u8, to.0, src.0, offset, 0));
    }

    pub(super) fn store_imm(&mut self, size: Size, to: Reg, offset: i16, imm: i32) {
        self.code.push(op(STORE_IMM | size as u8, to.0, 0, offset, imm));
    }

    /// Adds to, or sets bits of, a 64-bit number that other processors write too.
    pub(super) fn atomic(&mut self, what: Alu, to: Reg, offset: i16, src: Reg) {
        self.code.push(op(ATOMIC | Size::B8 as u8, to.0, src.0, offset, what as i32));
    }

    /// Swaps the lowest 16 bits between the machine's order and the network's, and clears the others.
    pub(super) fn swap16(&mut self, dst: Reg) {
        self.code.push(op(BYTE_SWAP_TO_BIG, dst.0, 0, 0, 16));
    }

    /// The same for 32 bits.
    pub(super) fn swap32(&mut self, dst: Reg) {
        self.code.push(op(BYTE_SWAP_TO_BIG, dst.0, 0, 0, 32));
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.jump_to(JUMP, R0, R0, 0, to);
    }

    pub(super) fn jump_if(&mut self, what: If, a: Reg, b: Reg, to: Label) {
        self.jump_to(JUMP | FROM_REGISTER | what as u8, a, b, 0, to);
    }

    pub(super) fn jump_if_imm(&mut self, what: If, a: Reg, imm: i32, to: Label) {
        self.jump_to(JUMP | what as u8, a, R0, imm, to);
    }

    fn jump_to(&mut self, code: u8, dst: Reg, src: Reg, imm: i32, to: Label) {
        self.jumps.push((self.code.len(), code, dst, src, imm, to));
        self.code.push(0);
    }

    /// Calls a helper by its number.
    pub(super) fn call(&mut self, helper: Helper) {
        self.code.push(op(CALL, 0, 0, 0, helper as i32));
    }

    pub(super) fn exit(&mut self) {
        self.code.push(op(EXIT, 0, 0, 0, 0));
    }
}

/// The kernel's helpers that we use, by their numbers in linux/bpf.h.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(super) enum Helper {
    MapLookup = 1,
    Nanoseconds = 5,
    StoreBytes = 9,
    Redirect = 23,
    LoadBytes = 26,
    ChangeType = 32,
    HashRecalc = 34,
    AdjustRoom = 50,
    RedirectPeer = 155,
}
