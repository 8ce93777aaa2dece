//! What rules cost a bridge, without sockets and threads: loaded one by one, as a bundle, listed, removed by their cookies.
//!
//! `cargo run --release -p ofproto --example rules [RULES]` prints nanoseconds on a processor for each rule, the best of several
//! rounds. With one of `load`, `bundle`, `dump`, `delete` as a second argument that alone is done, more often: for profiles.

use std::sync::{Arc, Mutex};

use base::Instant;
use ofproto::peer::Peer;
use ofproto::switch::{MeterCounters, Switch};
use ofproto::{Bridge, Kind, PeerId, Settings, Step};
use openflow::message::bundle::{ATOMIC, BundleAdd, BundleControl, BundleStep, ORDERED};
use openflow::message::continuation::Continuation;
use openflow::message::flow_mod::Command;
use openflow::message::{self, PacketOut};
use openflow::text::flow::parse_flow;
use openflow::wire::encode;
use openflow::{Code, Message, Port, Protocol, Version};
use pipeline::Program;

/// As in the switch.
#[global_allocator]
static ALLOCATOR: sys::alloc::Mimalloc = sys::alloc::Mimalloc;

const PEER: PeerId = PeerId(1);
const PROTOCOL: Protocol = Protocol::Of14;
/// Each cookie is on so many rules.
const OF_A_COOKIE: u32 = 51;
/// So many messages a connection has before others have their turn.
const TURN: usize = 256;

struct Tables(Mutex<Program>);

impl Switch for Tables {
    fn program(&self, act: &mut dyn FnMut(&mut Program, Instant)) {
        let mut program = self.0.lock().unwrap_or_else(|e| e.into_inner());
        act(&mut program, Instant::from_millis(1000));
    }
    fn barrier(&self) {}
    fn collect(&self) {}
    fn packet_out(&self, _: &PacketOut) -> Result<(), Code> {
        Ok(())
    }
    fn resume(&self, _: &message::PacketIn, _: &Continuation) -> Result<(), Code> {
        Ok(())
    }
    fn port_stats(&self, _: Port) -> Option<message::PortStats> {
        None
    }
    fn meter_counters(&self, _: u32) -> MeterCounters {
        MeterCounters::default()
    }
    fn set_port(&self, _: Port, _: u32, _: u32) {}
}

fn flow_mod(text: &str, command: Command) -> Vec<u8> {
    let flow_mod = parse_flow(text, command).expect("the rule is well-formed").flow;
    encode(&Message::FlowMod(Box::new(flow_mod)), PROTOCOL, 7).expect("this version has it")
}

/// As a security group's: an address, a protocol, a port.
fn add(i: u32) -> Vec<u8> {
    let (a, b, c) = (i >> 16 & 0xff, i >> 8 & 0xff, i & 0xff);
    let matching = match i % 4 {
        0 => format!("ip,nw_src=10.{a}.{b}.{c}"),
        1 => format!("tcp,nw_dst=10.{a}.{b}.{c},tp_dst={}", i % 1000),
        2 => format!("metadata=0x{i:x},udp,tp_dst={}", i % 5000),
        _ => format!("reg0=0x{i:x},dl_dst=02:00:00:{a:02x}:{b:02x}:{c:02x}"),
    };
    let (table, cookie) = (i % 40, i / OF_A_COOKIE);
    let text = format!(
        "table={table},cookie=0x{cookie:x},priority={},{matching} actions=load:{}->NXM_NX_REG1[],resubmit(,{})",
        100 + i % 7,
        i % 1000,
        table + 1
    );
    flow_mod(&text, Command::Add)
}

fn bundle(adds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (id, flags) = (1, ATOMIC | ORDERED);
    let step = |step| Message::BundleControl(BundleControl { id, step, flags });
    let brought = adds
        .iter()
        .map(|message| Message::BundleAdd(BundleAdd { id, flags, message: message.clone() }));
    let all = [step(BundleStep::OpenRequest)].into_iter().chain(brought);
    let all = all.chain([step(BundleStep::CloseRequest), step(BundleStep::CommitRequest)]);
    all.map(|message| encode(&message, PROTOCOL, 7).expect("this version has it")).collect()
}

struct Bench {
    bridge: Bridge,
    rules: u32,
    only: Option<String>,
}

impl Bench {
    fn new(rules: u32, only: Option<String>) -> Bench {
        let switch = Arc::new(Tables(Mutex::new(Program::new(1))));
        let mut bridge = Bridge::new(Settings::default(), switch);
        bridge.add(PEER, Peer::new(Kind::Primary, Version::V14, true));
        Bench { bridge, rules, only }
    }

    /// Has the bridge do all that these messages ask.
    fn say(&mut self, messages: &[Vec<u8>]) {
        for turn in messages.chunks(TURN) {
            for message in turn {
                // As they come out of a connection.
                let step = self.bridge.take(PEER, message.clone(), Instant::from_millis(1000));
                assert!(matches!(step, Step::Done));
            }
            self.bridge.finish();
            let heard = self.bridge.take_outbox();
            assert!(heard.iter().all(|m| m.bytes.get(1) != Some(&1)), "an error");
        }
    }

    /// Lists all rules; how many bytes that were.
    fn list(&mut self) -> usize {
        let request = Message::FlowStatsRequest(Box::default());
        let bytes = encode(&request, PROTOCOL, 7).expect("this version has it");
        let Step::Stream(answer) = self.bridge.take(PEER, bytes, Instant::from_millis(1000)) else {
            panic!("no list");
        };
        answer.map(|part| part.len()).sum()
    }

    /// Times what is done `times` times, each time after `before`; prints the least time for a rule.
    fn time(
        &mut self,
        name: &str,
        mut before: impl FnMut(&mut Bench),
        mut what: impl FnMut(&mut Bench),
    ) {
        let rounds = match self.only.as_deref() {
            Some(only) if only != name => return,
            Some(_) => 20,
            None => 5,
        };
        let took = (0..rounds).map(|_| {
            before(self);
            let start = on_processor();
            what(self);
            on_processor() - start
        });
        let best = took.min().unwrap_or(0);
        println!("{name:8} {:8.0} ns a rule", best as f64 / f64::from(self.rules));
    }
}

/// Nanoseconds that this thread has been on a processor, whoever else wanted it.
fn on_processor() -> u64 {
    let all = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    all.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut args = std::env::args().skip(1);
    let rules = args.next().and_then(|n| n.parse().ok()).unwrap_or(51_000);
    let mut bench = Bench::new(rules, args.next());
    let adds: Vec<_> = (0..rules).map(add).collect();
    let bundle = bundle(&adds);
    let cookies = rules.div_ceil(OF_A_COOKIE);
    let delete = |cookie: u32| flow_mod(&format!("cookie=0x{cookie:x}/-1"), Command::Delete);
    let deletes: Vec<_> = (0..cookies).map(delete).collect();
    let all = [flow_mod("", Command::Delete)];
    let empty = |bench: &mut Bench| bench.say(&all);
    let full = |bench: &mut Bench| bench.say(&adds);
    bench.time("load", empty, full);
    bench.time("bundle", empty, |bench| bench.say(&bundle));
    bench.time("dump", full, |bench| assert!(bench.list() > 0));
    bench.time("delete", full, |bench| bench.say(&deletes));
}
