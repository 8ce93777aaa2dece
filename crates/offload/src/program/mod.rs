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
//! that must be a VXLAN header over IPv4, with a UDP checksum of zero if it is to run here; else a miss. When the flow inside misses, the workers have
//! the packet, and the host's own stack is spared it: nobody there would want it.
//!
//! # Order
//! What runs here would overtake what workers still hold. So each flow has [gates](crate::gate): the filter keeps a packet
//! here only while the one for it is open, and counts it there otherwise. That includes what is found *unfit*: packets too long for
//! where they go, UDP super-packets, and what comes out of a tunnel joined with others, or with a checksum outside that must be
//! verified. Fragments, and others that hide where the transport header is, count at their port's gate, which UDP has to
//! pass as well.
//!
//! What does run leaves here and now: the executor sends by the other interface before this processor looks at the next packet.
//!
//! Everything that could stop the executor (the packet is too long for the other interface, say) is checked in the filter, as
//! long as the workers can still have the packet.

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

mod asm;
mod execute;
mod gates;
mod walk;

use std::mem::offset_of;

use asm::{Alu, Asm, FP, Helper, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, Size};

use crate::entry::{Entry, FAR, Kind, POPPED_SUPER};
use crate::gate::{CLOSE, DRAINING, SHUT, Word};
use crate::key::{Key, MASKS_MAX, Masks};
use crate::maps::{Maps, PortEntry};
use crate::tally;

/// What the filter tells the executor. All zero: nothing.
#[derive(
    Clone, Copy, Debug, Default, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
)]
#[repr(C)]
pub(crate) struct Verdict {
    /// [`RUN`], [`SPARE`], [`PASS`] or [`DROP`].
    what: u32,
    /// The entry to run.
    entry: u32,
    /// One more than the entry that popped the tunnel; 0 without one.
    outer: u32,
    /// TCP flags, as far as a byte goes.
    tcp_flags: u32,
    /// Whether an IPv6 packet was inside of the tunnel.
    v6: u32,
    /// One more than the gate that has counted it; 0 if it is not counted.
    gate: u32,
    /// Whether it may be put at the other end of where it goes.
    far: u32,
    pad: u32,
}

/// Run the entry.
const RUN: i32 = 1;
/// The workers have it; the host's stack shall not.
const SPARE: i32 = 2;
/// The workers have it, and so may the host's stack.
const PASS: i32 = 3;
/// Nobody has it.
const DROP: i32 = 4;

// What programs return.
const WHOLE_PACKET: i32 = -1;
const NEXT: i32 = -1;
const SHOT: i32 = 2;

// Offsets in struct __sk_buff.
const LEN: i16 = 0;
const PKT_TYPE: i16 = 4;
const MARK: i16 = 8;
const VLAN_PRESENT: i16 = 20;
const VLAN_TCI: i16 = 24;
const VLAN_PROTO: i16 = 28;
const PRIORITY: i16 = 32;
const IFINDEX: i16 = 40;
const TC_INDEX: i16 = 44;
const GSO_SIZE: i16 = 176;

/// Bytes of the headers that a tunnel puts before a packet: Ethernet, IPv4, UDP, VXLAN.
const OUTER: i32 = 50;
const ETHERNET: i32 = 14;
const IPV4: i32 = 20;
const IPV6: i32 = 40;
/// Headers between IPv6 and UDP (RFC 8200): hop-by-hop options, routing, fragment, destination options.
const EXTENSIONS: [u8; 4] = [0, 43, 44, 60];

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
/// Whether the packet may run here, as far as is known.
const FIT: i16 = PUSHED - 4;
/// The number of the port's gate.
const PORT_GATE: i16 = PUSHED - 8;

const _: () = assert!(size_of::<Key>() == 80 && ETH >= L4 + 16 && IP + 40 <= MASKED);

/// The program for packet sockets.
pub(crate) fn filter(maps: &Maps) -> Vec<u64> {
    let mut writer = Writer::new(maps);
    let Ends { hit, pass, spare, miss, drain } = writer.walk();
    for (label, what, bytes) in
        [(hit, RUN, 0), (drain, DROP, 0), (pass, PASS, WHOLE_PACKET), (spare, SPARE, WHOLE_PACKET)]
    {
        writer.asm.place(label);
        writer.asm.store_imm(Size::B4, FP, verdict!(what), what);
        writer.tell();
        writer.leave(bytes);
    }
    writer.asm.place(miss);
    writer.leave(WHOLE_PACKET);
    writer.asm.finish()
}

/// The program for interfaces. `jumps`: packets may be put at other ends.
pub(crate) fn executor(maps: &Maps, jumps: bool) -> Vec<u64> {
    let mut writer = Writer { jumps, ..Writer::new(maps) };
    let [nothing, run, shot] = [(); 3].map(|()| writer.asm.label());
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
    asm.jump_if_imm(If::Equal, R1, RUN, run);
    writer.count_queued();
    let asm = &mut writer.asm;
    asm.load(Size::B4, R1, FP, verdict!(what));
    asm.jump_if_imm(If::Equal, R1, SPARE, shot);
    asm.jump_if_imm(If::Equal, R1, DROP, shot);
    asm.jump(nothing);
    asm.place(run);
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
    let Ends { hit, pass, spare, miss, drain } = writer.walk();
    writer.asm.place(pass);
    writer.asm.place(spare);
    writer.count_queued();
    writer.asm.place(miss);
    writer.leave(NEXT);
    writer.asm.place(hit);
    let shot = writer.asm.label();
    writer.execute(shot);
    writer.asm.place(drain);
    writer.leave(SHOT);
    writer.asm.finish()
}

/// Where a walk ends.
struct Ends {
    /// The verdict on the stack names the entries.
    hit: Label,
    /// Nothing that runs here now; a gate has counted it.
    pass: Label,
    /// A packet for a tunnel of ours, but nothing that runs here.
    spare: Label,
    /// Nothing for us.
    miss: Label,
    /// A datagram that nobody is to have.
    drain: Label,
}

/// Whether this kernel keeps with a packet what counts its jumps; else they would have no bound.
pub(crate) fn can_count_jumps() -> bool {
    const SOME: i32 = 5;
    let mut asm = Asm::default();
    asm.mov_imm(R2, SOME);
    asm.store(Size::B4, R1, TC_INDEX, R2);
    asm.load(Size::B4, R0, R1, TC_INDEX);
    asm.exit();
    let run = sys::bpf::Program::classifier(&asm.finish()).and_then(|p| p.test_run(&[0; 64]));
    run.is_ok_and(|run| run.result == SOME as u32)
}

struct Writer<'a> {
    asm: Asm,
    maps: &'a Maps,
    /// Whether packets may be put at other ends.
    jumps: bool,
}

impl<'a> Writer<'a> {
    fn new(maps: &'a Maps) -> Self {
        Self { asm: Asm::default(), maps, jumps: true }
    }

    fn leave(&mut self, result: i32) {
        self.asm.mov_imm(R0, result);
        self.asm.exit();
    }

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
