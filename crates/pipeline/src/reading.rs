//! Flow-mods by the hundred thousand, as bytes.
//!
//! Of those that a controller sends most are alike: they match the same fields, and do what others do, too. So the first of a
//! kind is read field by field, and a plan is made of it: which bits of the message must be what they are, and where the
//! others go in the pattern. What rules do is remembered with its bytes. The next of its kind is a comparison, and a few bits
//! that are moved.
//!
//! Nothing is refused here: what no plan fits is read field by field, and it is found out there what is wrong with it.

use std::sync::Arc;

use classifier::{Mixer, Shape, Sparse};
use hashbrown::HashTable;
use openflow::message::FlowMod;
use openflow::message::flow_mod::ALL_TABLES;
use openflow::wire::{Parts, Slot, decode, flow_mod_parts};
use openflow::{Instructions, Message, Version};
use smallvec::SmallVec;

use crate::moves::{Move, moves_of};
use crate::request::{Asked, Request};

/// So many kinds are kept, more than a sane controller has. If there are more, all are forgotten once so many messages have
/// met none: to make a plan costs more than it saves unless others follow.
const KINDS: usize = 256;
const IN_VAIN: usize = 64 * KINDS;
/// So many instructions are kept, if they are no longer than that: a few megabytes at most.
const REMEMBERED: usize = 8192;
const LONGEST: usize = 512;

/// A reader of flow-mods that remembers kinds.
pub struct Reading {
    /// Not to be guessed by who writes messages.
    seed: u64,
    plans: HashTable<Plan>,
    next: u32,
    in_vain: usize,
    said: HashTable<Said>,
}

/// How flow-mods of one kind are read.
struct Plan {
    number: u32,
    /// Of the fields' names.
    hash: u64,
    /// The match, with zeros where its kind does not say what is there.
    fixed: Vec<u8>,
    /// Ones where it does.
    counts: Vec<u8>,
    shape: Arc<Shape>,
    /// The pattern's words, with zeros likewise.
    values: SmallVec<[u64; 4]>,
    moves: Vec<Move>,
    is_foreign: bool,
}

/// Instructions and their bytes.
struct Said {
    hash: u64,
    version: Version,
    bytes: Box<[u8]>,
    instructions: Arc<Instructions>,
    /// The plans of those matches that they are known to fit.
    fits: SmallVec<[u32; 4]>,
}

impl Reading {
    /// A reader that knows no kind yet. The seed should be secret.
    pub fn new(seed: u64) -> Reading {
        Reading { seed, plans: HashTable::new(), next: 0, in_vain: 0, said: HashTable::new() }
    }

    /// What a flow-mod asks, if it is one whose like has been [learned](Reading::learn).
    pub fn request(&self, message: &[u8]) -> Option<Request> {
        let parts = flow_mod_parts(message)?;
        let plan = self.plan(&parts)?;
        let said = self.said(&parts)?;
        let goes_back = said
            .instructions
            .goto_table
            .is_some_and(|next| parts.head.table != ALL_TABLES && next <= parts.head.table);
        if goes_back || !said.fits.contains(&plan.number) {
            return None;
        }
        Some(Request {
            head: parts.head,
            pattern: Asked::Pattern(plan.read(parts.fields)),
            is_foreign: plan.is_foreign,
            instructions: said.instructions.clone(),
        })
    }

    /// What a flow-mod asks, which has been read from these bytes; the next of its kind is [known](Reading::request).
    pub fn learn(&mut self, message: &[u8], flow_mod: &FlowMod) -> Request {
        // What is asked goes through the program's own memory: if there is more than can be remembered here, it is shared there.
        let request = Request::new(flow_mod);
        let Some(parts) = flow_mod_parts(message).filter(|parts| parts.head == request.head) else {
            return request;
        };
        let plan = match self.plan(&parts) {
            Some(plan) => Some(plan.number),
            None => self.make_plan(message, &parts, flow_mod),
        };
        let (Some(plan), true) = (plan, parts.instructions.len() <= LONGEST) else {
            return request;
        };
        let hash = self.hash(parts.version, parts.instructions);
        if self.said.len() >= REMEMBERED {
            self.said.clear();
        }
        let entry = self.said.entry(hash, |said| said.is(hash, &parts), |said| said.hash);
        let mut entry = entry.or_insert_with(|| Said {
            hash,
            version: parts.version,
            bytes: parts.instructions.into(),
            instructions: Arc::new(flow_mod.instructions.clone()),
            fits: SmallVec::new(),
        });
        let said = entry.get_mut();
        if !said.fits.contains(&plan) {
            // Those of plans that are gone are of no use.
            if said.fits.len() >= KINDS {
                said.fits.clear();
            }
            said.fits.push(plan);
        }
        request
    }

    fn plan(&self, parts: &Parts<'_>) -> Option<&Plan> {
        let hash = self.names(parts.fields)?;
        self.plans.find(hash, |plan| plan.hash == hash && plan.is(parts.fields))
    }

    fn said(&self, parts: &Parts<'_>) -> Option<&Said> {
        let hash = self.hash(parts.version, parts.instructions);
        self.said.find(hash, |said| said.is(hash, parts))
    }

    /// The hash of the names of fields. `None` if their lengths are wrong.
    fn names(&self, fields: &[u8]) -> Option<u64> {
        let mut mixer = Mixer::new(self.seed);
        let mut rest = fields;
        while let Some((name, more)) = rest.split_first_chunk::<4>() {
            mixer.pair(u32::from_be_bytes(*name).into(), 0);
            rest = more.get(usize::from(name[3])..)?;
        }
        rest.is_empty().then(|| mixer.finish())
    }

    fn hash(&self, version: Version, bytes: &[u8]) -> u64 {
        let mut mixer = Mixer::new(self.seed);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            mixer.pair(u64::from_le_bytes(*word), 0);
        }
        // They are a multiple of eight bytes long, or wrong.
        mixer.pair(version as u64, rest.len() as u64);
        mixer.finish()
    }

    /// The number of a new plan for such messages, if there can be one.
    fn make_plan(&mut self, message: &[u8], parts: &Parts<'_>, flow_mod: &FlowMod) -> Option<u32> {
        if self.plans.len() >= KINDS {
            self.in_vain += 1;
            if self.in_vain < IN_VAIN {
                return None;
            }
            self.in_vain = 0;
            self.plans.clear();
            self.said.clear();
        }
        let plan = Plan::new(self.next, self.names(parts.fields)?, message, parts, flow_mod)?;
        self.next = self.next.wrapping_add(1);
        self.plans.insert_unique(plan.hash, plan, |plan| plan.hash);
        Some(self.next.wrapping_sub(1))
    }
}

impl Said {
    fn is(&self, hash: u64, parts: &Parts<'_>) -> bool {
        self.hash == hash && self.version == parts.version && *self.bytes == *parts.instructions
    }
}

impl Plan {
    fn new(
        number: u32,
        hash: u64,
        message: &[u8],
        parts: &Parts<'_>,
        flow_mod: &FlowMod,
    ) -> Option<Plan> {
        let request = Request::new(flow_mod);
        let pattern = request.pattern.fixed()?;
        let slots = Slot::all(parts.fields)?;
        let mut moves = Vec::new();
        let mut varies = vec![0; parts.fields.len()];
        for slot in &slots {
            let home = slot.field.row().home.0;
            let is_alone = slots.iter().filter(|s| s.field.row().home.0 == home).count() == 1;
            if !is_alone || slot.varies() == 0 {
                continue;
            }
            moves_of(*slot, &pattern, &mut moves)?;
            let bits = slot.varies().to_be_bytes();
            let bits = bits.get(bits.len().checked_sub(slot.len)?..)?;
            for (i, bits) in bits.iter().enumerate() {
                // Where a mask has zeros the value must, too.
                let at = slot.at + i;
                let mask = if slot.has_mask { *parts.fields.get(at + slot.len)? } else { 0xff };
                *varies.get_mut(at)? = bits & mask;
            }
        }
        let mut words = SmallVec::<[u64; 4]>::from_elem(0, pattern.values().len());
        moves.iter().for_each(|one| one.read(&varies, &mut words));
        let values = pattern.values().iter().zip(&words).map(|(value, bits)| value & !bits);
        let counts: Vec<u8> = varies.iter().map(|bits| !bits).collect();
        let plan = Plan {
            number,
            hash,
            fixed: parts.fields.iter().zip(&counts).map(|(byte, bits)| byte & bits).collect(),
            counts,
            shape: pattern.shape().clone(),
            values: values.collect(),
            moves,
            is_foreign: request.is_foreign,
        };
        // It must read this message, and the one with all the other bits, as they are read field by field.
        let mut other = message.to_vec();
        let fields = other.get_mut(parts.fields_at..)?.get_mut(..varies.len())?;
        fields.iter_mut().zip(&varies).for_each(|(byte, bits)| *byte ^= bits);
        let read = plan.read(fields);
        let Ok((_, Message::FlowMod(flow_mod))) = decode(&other) else { return None };
        let is_right = plan.read(parts.fields) == pattern
            && Some(read) == Request::new(&flow_mod).pattern.fixed();
        is_right.then_some(plan)
    }

    /// Whether a match is of this kind.
    fn is(&self, fields: &[u8]) -> bool {
        let all = || self.fixed.iter().zip(&self.counts).zip(fields);
        fields.len() == self.fixed.len() && all().all(|((fixed, bits), byte)| byte & bits == *fixed)
    }

    /// The pattern of a match of this kind.
    fn read(&self, fields: &[u8]) -> Sparse {
        let mut values = self.values.clone();
        self.moves.iter().for_each(|one| one.read(fields, &mut values));
        Sparse::from_parts(self.shape.clone(), values)
    }
}

#[cfg(test)]
mod tests {
    use openflow::Protocol;
    use openflow::message::flow_mod::Command;
    use openflow::text::flow::parse_flow;
    use openflow::wire::encode;
    use proptest::prelude::*;

    use super::*;
    use crate::key::tests::two_of_a_kind;

    fn bytes(flow_mod: &FlowMod, protocol: Protocol) -> Vec<u8> {
        encode(&Message::FlowMod(Box::new(flow_mod.clone())), protocol, 1).expect("it can be said")
    }

    fn read(message: &[u8]) -> Option<FlowMod> {
        match decode(message) {
            Ok((_, Message::FlowMod(flow_mod))) => Some(*flow_mod),
            _ => None,
        }
    }

    /// As a bridge reads; says whether by a plan.
    fn take(reading: &mut Reading, message: &[u8]) -> (bool, Option<Request>) {
        match reading.request(message) {
            Some(request) => (true, Some(request)),
            None => (false, read(message).map(|flow_mod| reading.learn(message, &flow_mod))),
        }
    }

    fn text(text: &str) -> FlowMod {
        parse_flow(text, Command::Add).expect("it is well-formed").flow
    }

    #[test]
    fn the_second_of_a_kind_is_known() {
        for protocol in [Protocol::NxmTable, Protocol::Of12, Protocol::Of13, Protocol::Of15] {
            let mut reading = Reading::new(1);
            let rule = |n: u32, out: u16| {
                let port = n % 256;
                text(&format!(
                    "table=1,in_port={port},vlan_vid=0x1{port:03x}/0x1fff,tcp,nw_src=10.0.0.{}/31,tp_dst={n},\
                     reg3={n},actions=load:{port}->NXM_NX_REG1[],output:{out}",
                    n % 128 * 2
                ))
            };
            let first = bytes(&rule(1, 7), protocol);
            assert!(!take(&mut reading, &first).0);
            for n in [1, 2, 500, 999] {
                let wanted = rule(n, 7);
                let message = bytes(&wanted, protocol);
                // What it does is new; then it is not.
                take(&mut reading, &message);
                let (by_plan, request) = take(&mut reading, &message);
                assert!(by_plan, "{protocol:?} {n}");
                assert_eq!(request, Some(Request::new(&read(&message).expect("a flow-mod"))));
            }
            assert_eq!(reading.plans.len(), 1, "{protocol:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_not_known() {
        let mut reading = Reading::new(1);
        let good = bytes(
            &text("table=1,tcp,nw_src=10.0.0.0/8,tp_dst=1,actions=goto_table:3"),
            Protocol::Of13,
        );
        take(&mut reading, &good);
        assert!(reading.request(&good).is_some());
        let mut later = good.clone();
        later[24] = 3;
        assert!(reading.request(&later).is_none(), "the next table is no later one");
        let mut beyond = good.clone();
        let at = good.windows(4).position(|w| w == [10, 0, 0, 0]).expect("the address") + 3;
        beyond[at] = 1;
        assert!(reading.request(&beyond).is_none(), "bits outside of the mask");
        for len in 0..good.len() {
            assert!(reading.request(&good[..len]).is_none());
        }
        // Between the numbers of ports and the reserved ones are none.
        let port = bytes(&text("in_port=61243,actions=drop"), Protocol::Of13);
        take(&mut reading, &port);
        let mut none = port.clone();
        let at = port.windows(2).position(|w| w == [0xef, 0x3b]).expect("the port");
        none[at] = 0xff;
        assert!(read(&none).is_none() && reading.request(&none).is_none());
        // The actions are known, and so is the match; but they do not go together.
        let udp = bytes(&text("table=1,udp,actions=mod_tp_dst:5"), Protocol::Of13);
        let any = bytes(&text("table=1,actions=drop"), Protocol::Of13);
        for message in [&udp, &any] {
            take(&mut reading, message);
        }
        let parts = flow_mod_parts(&udp).expect("a flow-mod");
        let mut mixed = any[..56].to_vec();
        mixed.extend_from_slice(parts.instructions);
        let len = mixed.len() as u16;
        mixed[2..4].copy_from_slice(&len.to_be_bytes());
        assert!(read(&mixed).is_none() && reading.request(&mixed).is_none());
    }

    #[test]
    fn cookies_in_matches_are_not_overlooked() {
        let mut reading = Reading::new(1);
        for command in [Command::Delete, Command::DeleteStrict] {
            for text in ["cookie=5/-1,tcp", "cookie=5/0xf,tcp", "cookie=6/-1,tcp", "tcp"] {
                let flow_mod = parse_flow(text, command).expect("it is well-formed").flow;
                let message = bytes(&flow_mod, Protocol::NxmTable);
                let wanted = read(&message).map(|flow_mod| Request::new(&flow_mod));
                for _ in 0..3 {
                    assert_eq!(take(&mut reading, &message).1, wanted, "{text}");
                }
            }
        }
    }

    #[test]
    fn kinds_are_bounded() {
        let mut reading = Reading::new(1);
        let message = |n: usize| {
            bytes(&text(&format!("dl_type=0x{:x},actions=drop", 0x9000 + n)), Protocol::Of13)
        };
        for n in 0..2 * KINDS {
            take(&mut reading, &message(n));
        }
        assert_eq!(reading.plans.len(), KINDS);
        let unknown = message(3 * KINDS);
        let until = (0..=IN_VAIN).find(|_| take(&mut reading, &unknown).0);
        assert!(until.is_some() && reading.plans.len() == 1);
    }

    proptest! {
        /// Whatever was read before, and whichever bits are changed: plans read what is read field by field.
        #[test]
        fn plans_read_what_is_read_field_by_field(
            pairs in prop::collection::vec(two_of_a_kind(), 1..4),
            protocol in prop::sample::select(vec![Protocol::NxmTable, Protocol::Of12, Protocol::Of13, Protocol::Of15]),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..20),
        ) {
            let mut reading = Reading::new(2);
            for (first, second) in pairs {
                for matching in [first, second] {
                    let flow_mod = FlowMod { table: 1, matching, ..FlowMod::new(Command::Add) };
                    let Ok(message) = encode(&Message::FlowMod(Box::new(flow_mod)), protocol, 1) else { continue };
                    let mut all = vec![message.clone(), message.clone()];
                    for (at, bit) in &flips {
                        let mut other = message.clone();
                        other[at.index(message.len())] ^= 1 << bit;
                        all.push(other);
                    }
                    for message in all {
                        let wanted = read(&message).map(|flow_mod| Request::new(&flow_mod));
                        prop_assert_eq!(take(&mut reading, &message).1, wanted);
                    }
                }
            }
        }
    }
}
