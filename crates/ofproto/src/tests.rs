//! A bridge without daemon or sockets: messages in, messages out.

mod controllers;
mod held;
mod partial;
mod tables;

use std::sync::{Arc, Mutex};

use base::Instant;
use openflow::message::bundle::{ATOMIC, BundleAdd, BundleControl, BundleStep, ORDERED};
use openflow::message::continuation::Continuation;
use openflow::message::flow_mod::{Command, FlowMod};
use openflow::message::group::{Bucket, Group, GroupCommand, GroupKind, GroupMod};
use openflow::message::monitor::{FlowEvent, FlowUpdate, MonitorRequest};
use openflow::message::port::{PortDesc, PortMod, PortReason};
use openflow::message::switch::{Config, Fragments, Role, RoleMessage};
use openflow::message::{ErrorMessage, Message, PacketOut, stats};
use openflow::wire::{decode, encode};
use openflow::{Action, Code, Instructions, Match, Port, Protocol, Version};
use pipeline::Program;

use crate::bridge::{Bridge, Settings, Step};
use crate::peer::{Kind, Peer, PeerId};
use crate::switch::{Event, MeterCounters, PacketIn, Switch};

/// A switch that keeps what it is told.
pub(crate) struct Kept {
    pub(crate) program: Mutex<Program>,
    asked: Mutex<Vec<String>>,
}

impl Kept {
    /// An empty one.
    pub(crate) fn new() -> Kept {
        Kept { program: Mutex::new(Program::new(1)), asked: Mutex::default() }
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Switch for Kept {
    fn program(&self, act: &mut dyn FnMut(&mut Program, Instant)) {
        act(&mut self.program.lock().unwrap(), Instant::from_millis(1000));
    }

    fn barrier(&self) {
        self.note("barrier".to_owned());
    }

    fn collect(&self) {}

    fn packet_out(&self, out: &PacketOut) -> Result<(), Code> {
        self.note(format!("packet of {} bytes", out.packet.len()));
        Ok(())
    }

    fn resume(&self, _: &openflow::message::PacketIn, all: &Continuation) -> Result<(), Code> {
        self.note(format!("resume {all:?}"));
        Ok(())
    }

    fn port_stats(&self, port: Port) -> Option<stats::PortStats> {
        let counters = [u64::from(port.0); 12];
        let duration = Some(stats::Duration::default());
        Some(stats::PortStats { port, counters, duration, custom: Vec::new() })
    }

    fn meter_counters(&self, _: u32) -> MeterCounters {
        MeterCounters::default()
    }

    fn set_port(&self, port: Port, config: u32, mask: u32) {
        self.note(format!("port {port}: {config:x}/{mask:x}"));
    }
}

struct World {
    switch: Arc<Kept>,
    bridge: Bridge,
    protocol: Protocol,
}

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

fn port(number: u16) -> PortDesc {
    PortDesc {
        port: Port(number),
        address: [2, 0, 0, 0, 0, number as u8],
        name: format!("p{number}"),
        config: 0,
        state: 4,
        current: 0,
        advertised: 0,
        supported: 0,
        peer: 0,
        current_speed: 0,
        max_speed: 0,
    }
}

/// A bridge with ports 1 and 2, and two primary controllers of this version.
fn world(version: Version) -> World {
    let switch = Arc::new(Kept::new());
    let settings =
        Settings { name: "br0".to_owned(), ports: vec![port(1), port(2)], ..Settings::default() };
    let mut bridge = Bridge::new(settings, switch.clone());
    for id in [A, B] {
        bridge.add(id, Peer::new(Kind::Primary, version, true));
    }
    let protocol = bridge.peer(A).unwrap().protocol;
    World { switch, bridge, protocol }
}

impl World {
    /// Sends a message, and yields the messages that it leads to.
    fn say(&mut self, from: PeerId, message: &Message) -> Vec<(PeerId, Message)> {
        let bytes = encode(message, self.protocol, 77).unwrap();
        let step = self.bridge.receive(from, &bytes, Instant::from_millis(1000));
        let mut sent = self.sent();
        match step {
            Step::Done => {}
            Step::Stream(answer) => sent.extend(answer.map(|bytes| (from, decoded(&bytes)))),
            Step::Wait(errand, reply) => {
                errand();
                sent.extend(reply.map(|bytes| (from, decoded(&bytes))));
            }
        }
        sent
    }

    fn sent(&mut self) -> Vec<(PeerId, Message)> {
        let outbox = self.bridge.take_outbox();
        outbox.into_iter().map(|out| (out.to, decoded(&out.bytes))).collect()
    }

    /// The one answer to a message.
    fn ask(&mut self, message: &Message) -> Message {
        let mut answers = self.say(A, message);
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0).1
    }

    /// The error that a message is answered with.
    fn error(&mut self, message: &Message) -> Code {
        match self.ask(message) {
            Message::Error(ErrorMessage { code, data, .. }) => {
                let sent = encode(message, self.protocol, 77).unwrap();
                assert_eq!(data, sent, "an error quotes what it is about");
                code
            }
            other => panic!("{other:?}"),
        }
    }

    fn rules(&mut self) -> usize {
        let program = self.switch.program.lock().unwrap();
        program.select(&Default::default()).unwrap().len()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.switch.asked.lock().unwrap())
    }
}

fn decoded(bytes: &[u8]) -> Message {
    decode(bytes).unwrap().1
}

fn output(to: u16) -> Instructions {
    Instructions::apply(vec![Action::Output { port: Port(to), max_len: 0 }])
}

fn rule(priority: u16) -> FlowMod {
    FlowMod { table: 0, priority, instructions: output(2), ..FlowMod::new(Command::Add) }
}

fn flow_mod(flow_mod: FlowMod) -> Message {
    Message::FlowMod(Box::new(flow_mod))
}

#[test]
fn a_rule_that_is_added_is_shown_and_a_flow_mod_has_no_answer() {
    let mut world = world(Version::V13);
    assert!(world.say(A, &flow_mod(rule(5))).is_empty());
    let Message::FlowStatsReply { flows, more: false } =
        world.ask(&Message::FlowStatsRequest(Box::default()))
    else {
        panic!("no statistics");
    };
    assert_eq!(flows.len(), 1);
    assert_eq!((flows[0].priority, &flows[0].instructions), (5, &output(2)));
}

#[test]
fn in_openflow_10_a_table_is_named_only_once_that_is_agreed_on() {
    let mut world = world(Version::V10);
    let in_table = |table| flow_mod(FlowMod { table, ..rule(5) });
    world.protocol = Protocol::Of10Table;
    assert_eq!(world.error(&in_table(3)), Code::OFPFMFC_BAD_COMMAND);
    assert!(world.say(A, &Message::FlowModTableId(true)).is_empty());
    assert!(world.say(A, &in_table(3)).is_empty());
    assert_eq!(world.rules(), 1);
    assert!(world.switch.program.lock().unwrap().table(3).is_some());
}

#[test]
fn a_barrier_is_answered_when_the_switch_obeys() {
    let mut world = world(Version::V14);
    assert_eq!(world.ask(&Message::BarrierRequest), Message::BarrierReply);
    assert_eq!(world.asked(), ["barrier"]);
}

#[test]
fn there_is_one_primary_and_secondaries_change_nothing() {
    let mut world = world(Version::V13);
    let elect = |role, generation| {
        let generation = Some(generation);
        Message::RoleRequest(RoleMessage { role, generation, short_id: None, nicira: false })
    };
    world.say(A, &elect(Role::Primary, 5));
    assert_eq!(world.bridge.peer(A).unwrap().role, Role::Primary);
    world.say(B, &elect(Role::Primary, 6));
    assert_eq!(world.bridge.peer(A).unwrap().role, Role::Secondary);
    assert_eq!(world.bridge.peer(B).unwrap().role, Role::Primary);
    assert_eq!(world.error(&flow_mod(rule(1))), Code::OFPBRC_IS_SECONDARY);
    assert_eq!(world.error(&elect(Role::Primary, 5)), Code::OFPRRFC_STALE);
    // Asking without an election is always possible.
    let Message::RoleReply(reply) = world.ask(&elect(Role::NoChange, 0)) else { panic!() };
    assert_eq!((reply.role, reply.generation), (Role::Secondary, Some(6)));
    assert_eq!(world.rules(), 0);
}

#[test]
fn who_is_no_longer_primary_hears_of_it_if_it_wants_to() {
    let mut world = world(Version::V14);
    let role = |role| {
        Message::RoleRequest(RoleMessage {
            role,
            generation: Some(1),
            short_id: None,
            nicira: false,
        })
    };
    let wanted = openflow::message::controller::AsyncConfig {
        primary: [None, None, None, Some(0b111), None, None, None],
        ..Default::default()
    };
    world.say(A, &Message::SetAsync(wanted));
    world.say(A, &role(Role::Primary));
    let sent = world.say(B, &role(Role::Primary));
    let [(A, Message::RoleStatus(status)), (B, Message::RoleReply(_))] = &sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!((status.role, status.reason), (Role::Secondary, 0));
}

#[test]
fn a_rule_that_goes_is_told_to_all_if_its_author_asked_for_it() {
    let mut world = world(Version::V13);
    let mut silent = rule(1);
    let mut told = rule(2);
    silent.flags.send_flow_rem = false;
    told.flags.send_flow_rem = true;
    world.say(A, &flow_mod(silent));
    world.say(A, &flow_mod(told));
    let sent = world.say(A, &flow_mod(FlowMod::new(Command::Delete)));
    let told: Vec<_> = sent
        .iter()
        .map(|(to, message)| match message {
            Message::FlowRemoved(removed) => (*to, removed.priority, removed.reason),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(A, 2, 2), (B, 2, 2)]);
}

#[test]
fn a_service_hears_of_nothing_until_it_asks_for_packets() {
    let mut world = world(Version::V13);
    world.bridge.add(B, Peer::new(Kind::Service, Version::V13, true));
    let packet = |controller| {
        Event::PacketIn(Box::new(PacketIn {
            packet: vec![7; 100],
            reason: 1,
            table: 3,
            cookie: Some(9),
            controller,
            max_len: 20,
            metadata: Match::any(),
            userdata: Vec::new(),
            continuation: None,
        }))
    };
    let now = Instant::from_millis(0);
    world.bridge.tell(&packet(0), now);
    let sent = world.sent();
    let [(A, Message::PacketIn(told))] = &sent[..] else { panic!("{sent:?}") };
    // The whole packet, for no part of it is kept.
    assert_eq!((told.packet.len(), told.table, told.buffer), (100, Some(3), None));
    let config = Config {
        fragments: Fragments::Normal,
        invalid_ttl_to_controller: None,
        miss_send_len: 128,
    };
    world.say(B, &Message::SetConfig(config));
    world.bridge.tell(&packet(0), now);
    assert_eq!(world.sent().len(), 2);
    // Packets for a controller of another number are not theirs.
    world.bridge.tell(&packet(4), now);
    assert!(world.sent().is_empty());
}

#[test]
fn packets_without_a_rule_are_expected_as_long_as_a_controller_is_of_an_old_version() {
    let mut world = world(Version::V13);
    let told = |world: &World| world.switch.program.lock().unwrap().tells_misses();
    assert!(!told(&world));
    const OLD: PeerId = PeerId(77);
    world.bridge.add(OLD, Peer::new(Kind::Primary, Version::V12, true));
    assert!(told(&world));
    world.say(OLD, &Message::SetControllerId(5));
    assert!(!told(&world), "such packets are for controllers without a number");
    world.say(OLD, &Message::SetControllerId(0));
    assert!(told(&world));
    world.bridge.remove(OLD);
    assert!(!told(&world));
}

#[test]
fn packets_above_the_limit_wait_for_their_turn() {
    let mut world = world(Version::V13);
    world.bridge.remove(B);
    let mut limited = Peer::new(Kind::Primary, Version::V13, true);
    limited.limit(100, 25, Instant::from_millis(0));
    world.bridge.add(A, limited);
    let packet = PacketIn {
        packet: vec![0; 60],
        reason: 0,
        table: 0,
        cookie: None,
        controller: 0,
        max_len: 0,
        metadata: Match::any(),
        userdata: Vec::new(),
        continuation: None,
    };
    for _ in 0..100 {
        let event = Event::PacketIn(Box::new(packet.clone()));
        world.bridge.tell(&event, Instant::from_millis(0));
    }
    assert_eq!(world.sent().len(), 25, "the burst");
    assert_eq!(world.bridge.take_lost(), 50, "as many wait, and no more");
    let mut sent_by = |ms| {
        assert_eq!(world.bridge.next_release(), Some(Instant::from_millis(ms)));
        world.bridge.release(Instant::from_millis(ms));
        world.sent().len()
    };
    assert_eq!((sent_by(10), sent_by(20)), (1, 1), "a hundred a second");
    world.bridge.release(Instant::from_millis(1000));
    assert_eq!((world.sent().len(), world.bridge.next_release()), (23, None));
}

#[test]
fn ports_that_come_go_or_change_are_told() {
    let mut world = world(Version::V14);
    world.bridge.remove(B);
    let mut changed = port(2);
    changed.config = 1;
    let settings = Settings { ports: vec![changed, port(3)], ..world.bridge.settings().clone() };
    world.bridge.set(settings);
    let told: Vec<_> = world
        .sent()
        .into_iter()
        .map(|(_, message)| match message {
            Message::PortStatus(status) => (status.reason, status.desc.port.0),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(PortReason::Delete, 1), (PortReason::Modify, 2), (PortReason::Add, 3)]);
}

#[test]
fn a_port_mod_names_a_port_and_its_address() {
    let mut world = world(Version::V10);
    let change = |port, address| {
        Message::PortMod(PortMod { port: Port(port), address, config: 1, mask: 1, advertise: 0 })
    };
    assert_eq!(world.error(&change(9, [0; 6])), Code::OFPPMFC_BAD_PORT);
    assert_eq!(world.error(&change(1, [0; 6])), Code::OFPPMFC_BAD_HW_ADDR);
    assert!(world.say(A, &change(1, port(1).address)).is_empty());
    assert_eq!(world.asked(), ["port 1: 1/1"]);
}

fn bundled(world: &World, message: &Message) -> Message {
    let message = encode(message, world.protocol, 77).unwrap();
    Message::BundleAdd(BundleAdd { id: 4, flags: ATOMIC | ORDERED, message })
}

fn step(step: BundleStep) -> Message {
    Message::BundleControl(BundleControl { id: 4, step, flags: ATOMIC | ORDERED })
}

#[test]
fn a_bundle_is_carried_out_when_it_is_committed() {
    let mut world = world(Version::V14);
    world.ask(&step(BundleStep::OpenRequest));
    for priority in 1..4 {
        let message = bundled(&world, &flow_mod(rule(priority)));
        assert!(world.say(A, &message).is_empty());
    }
    assert_eq!(world.rules(), 0);
    let Message::BundleControl(done) = world.ask(&step(BundleStep::CommitRequest)) else {
        panic!()
    };
    assert_eq!(done.step, BundleStep::CommitReply);
    assert_eq!(world.rules(), 3);
    assert_eq!(world.error(&step(BundleStep::CommitRequest)), Code::OFPBFC_BAD_ID);
}

#[test]
fn a_bundle_that_fails_does_nothing_and_says_which_message_it_was() {
    let mut world = world(Version::V14);
    world.ask(&step(BundleStep::OpenRequest));
    let good = bundled(&world, &flow_mod(rule(1)));
    let mut missing = rule(2);
    missing.instructions = Instructions::apply(vec![Action::Group(99)]);
    let missing = flow_mod(missing);
    let bad = bundled(&world, &missing);
    world.say(A, &good);
    world.say(A, &bad);
    let errors: Vec<_> = world
        .say(A, &step(BundleStep::CommitRequest))
        .into_iter()
        .map(|(_, message)| match message {
            Message::Error(error) => (error.code, error.data),
            other => panic!("{other:?}"),
        })
        .collect();
    let quoted = |message| encode(message, Protocol::Of14, 77).unwrap();
    let commit = step(BundleStep::CommitRequest);
    let expected = [
        (Code::OFPBAC_BAD_OUT_GROUP, quoted(&missing)),
        (Code::OFPBFC_MSG_FAILED, quoted(&commit)),
    ];
    assert_eq!(errors, expected);
    assert_eq!(world.rules(), 0);
}

#[test]
fn a_bundle_that_nobody_touches_for_long_is_gone() {
    let mut world = world(Version::V14);
    world.ask(&step(BundleStep::OpenRequest));
    let close = encode(&step(BundleStep::CloseRequest), Protocol::Of14, 1).unwrap();
    world.bridge.receive(A, &close, Instant::from_millis(12_000));
    let sent = world.sent();
    let [(A, Message::Error(error))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(error.code, Code::OFPBFC_BAD_ID);
}

#[test]
fn who_watches_rules_hears_of_changes_and_of_its_own_in_short() {
    let mut world = world(Version::V14);
    world.say(B, &flow_mod(rule(1)));
    let mut asked = MonitorRequest::new(7);
    asked.flags.own = false;
    let request = Message::MonitorRequest { monitors: vec![asked], more: false };
    let Message::MonitorReply { updates, .. } = world.ask(&request) else { panic!() };
    assert!(matches!(&updates[..], [FlowUpdate::Full(c)] if c.event == FlowEvent::Initial));
    assert_eq!(world.error(&request), Code::OFPMOFC_MONITOR_EXISTS);
    let updates = |sent: Vec<(PeerId, Message)>| -> Vec<FlowUpdate> {
        sent.into_iter()
            .flat_map(|(to, message)| match message {
                Message::MonitorReply { updates, .. } => {
                    assert_eq!(to, A);
                    updates
                }
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let others = updates(world.say(B, &flow_mod(rule(2))));
    assert!(matches!(&others[..], [FlowUpdate::Full(c)] if c.event == FlowEvent::Added));
    let own = updates(world.say(A, &flow_mod(rule(3))));
    assert_eq!(own, [FlowUpdate::Abbreviated(77)]);
}

#[test]
fn changes_of_groups_are_forwarded_to_others_who_want_that() {
    let mut world = world(Version::V14);
    let wanted = openflow::message::controller::AsyncConfig {
        primary: [None, None, None, None, None, Some(0b11), None],
        ..Default::default()
    };
    for id in [A, B] {
        world.say(id, &Message::SetAsync(wanted));
    }
    let output = vec![Action::Output { port: Port(1), max_len: 0 }];
    let group = Group {
        id: 1,
        kind: GroupKind::Indirect,
        selection: None,
        buckets: vec![Bucket::new(GroupKind::Indirect, output)],
    };
    let change = Message::GroupMod(Box::new(GroupMod { command: GroupCommand::Add, group }));
    let sent = world.say(A, &change);
    assert!(matches!(&sent[..], [(B, Message::RequestForward(f))] if f.xid == 77), "{sent:?}");
    assert_eq!(world.error(&change), Code::OFPGMFC_GROUP_EXISTS);
}

#[test]
fn every_version_answers_every_question() {
    for version in Version::ALL {
        let mut world = world(version);
        let mut questions = vec![
            Message::EchoRequest(vec![1, 2]),
            Message::FeaturesRequest,
            Message::GetConfigRequest,
            Message::BarrierRequest,
            Message::DescRequest,
            Message::TableStatsRequest,
            Message::PortStatsRequest(Port::NONE),
            Message::FlowStatsRequest(Box::default()),
            Message::AggregateRequest(Box::default()),
        ];
        if version >= Version::V13 {
            questions.push(Message::MeterFeaturesRequest);
            questions.push(Message::TableFeaturesRequest { tables: Vec::new(), more: false });
        }
        for question in &questions {
            let answers = world.say(A, question);
            assert!(!answers.is_empty(), "{version}: {question:?}");
            let is_error = |(_, m): &(PeerId, Message)| matches!(m, Message::Error(_));
            assert!(!answers.iter().any(is_error), "{version}: {question:?}: {answers:?}");
        }
    }
}

#[test]
fn nonsense_is_answered_with_an_error_that_quotes_it() {
    let mut world = world(Version::V13);
    let nonsense = [4, 99, 0, 12, 0, 0, 0, 3, 1, 2, 3, 4];
    world.bridge.receive(A, &nonsense, Instant::from_millis(0));
    let sent = world.sent();
    let [(A, Message::Error(error))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((error.code, &error.data[..]), (Code::OFPBRC_BAD_TYPE, &nonsense[..]));
}
