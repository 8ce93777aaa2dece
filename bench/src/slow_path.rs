//! What the slow path does: connections that no cached flow knows, while all is quiet, while a controller reloads its rules,
//! and while somebody attacks.
//!
//! All of it is seen from outside, by frames that go in by one port of a bridge and come out of another, so that it is the same
//! for every switch. A *new* frame is one that no flow can match: a rule copies its source address and port into a register,
//! and so whatever a switch caches of it matches both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use rustix::process::Signal;
use testbed::{Error, Result, wait};

use crate::database::median;
use crate::line::{BATCH, Datagram, Line};
use crate::measure::{Measure, row};
use crate::openflow::{Part, RULES, Subject, Switch, Values, bundle, flow_mods, rule};
use crate::turns::{Side, Together};

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("new", "connections that no flow knows, through ten tables", "k/s", true),
    row("new-2", "the same by two ports, with two threads for them", "k/s", true),
    row(
        "barrier-busy",
        "barriers, each behind one new rule, with 500 flows cached: median",
        "us",
        false,
    ),
    row(
        "probe",
        "a new flow's frame while 51,000 rules are loaded one by one: the slowest",
        "ms",
        false,
    ),
    row("probe-bundle", "the same while they are loaded as one bundle", "ms", false),
    row("change", "64-byte frames of 32 flows while 1,000 rules a second change", "kpps", true),
    row("masks-1", "64-byte frames of 20,000 flows under one mask", "kpps", true),
    row("masks-10", "the same under 10 masks", "kpps", true),
    row("masks-100", "the same under 100 masks", "kpps", true),
    row("masks-1000", "the same under 1,000 masks", "kpps", true),
    row(
        "attack",
        "of a port's rate, what 1,000 frames a second that make masks leave it",
        "%",
        true,
    ),
];

/// How long a rate is measured, how long a frame may take, and how often a probe is sent.
const RATE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(2);
/// Barriers that are timed in a turn.
const BARRIERS: u32 = 25;

/// What is taken together.
pub(crate) const PARTS: &[Part] = &[
    Part { names: &["probe", "probe-bundle"], take: probes },
    Part { names: &["change"], take: changes },
    Part { names: &["masks-1", "masks-10", "masks-100", "masks-1000"], take: masks },
    Part { names: &["attack"], take: attack },
];

/// What is measured in turns.
pub(crate) const TOGETHER: &[Together] =
    &[Together { names: NEW, build: |of| Ok(Box::new(Rig::build(of, NEW, &ten_tables())?)) }];
const NEW: &[&str] = &["new", "new-2", "barrier-busy"];

/// A bridge with ports 1 to 4.
struct Rig {
    switch: Switch,
    lines: [Line; 4],
    /// New frames of the first port and of the third.
    numbers: [Numbers; 2],
    /// Rules that were added behind barriers.
    rules: u32,
}

impl Rig {
    fn build(of: &Subject<'_>, measures: &[&str], rules: &[String]) -> Result<Self> {
        let mut switch = Switch::start(of, measures)?;
        let plug = |number| Line::plug(&switch.bed, &switch.host, number);
        let lines = [plug(1)?, plug(2)?, plug(3)?, plug(4)?];
        let rules: Vec<FlowMod> = rules.iter().map(|text| parsed(text)).collect();
        let messages = flow_mods(&mut switch, rules.into_iter());
        switch.command(messages)?;
        let numbers = [1, 2].map(|family| Numbers { family, next: 0 });
        let mut rig = Self { switch, lines, numbers, rules: 0 };
        rig.wake()?;
        Ok(rig)
    }

    /// Until frames pass.
    fn wake(&mut self) -> Result<()> {
        let [from, to, ..] = &mut self.lines;
        wait::until("a frame through the switch", Duration::from_secs(10), || {
            from.send(&[fresh(0, 0).frame()]);
            (!to.receive(Duration::from_millis(50)).is_empty()).then_some(())
        })
    }
}

fn parsed(text: &str) -> FlowMod {
    parse_flow(text, Command::Add).expect("the rule is well-formed").flow
}

/// Copies what tells connections apart.
const TELL_APART: &str =
    "move:NXM_OF_IP_SRC[]->NXM_NX_REG2[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG3[0..15]";

/// Frames go from port 1 to 2 and from 3 to 4, through ten tables, each with rules that they do not meet.
fn ten_tables() -> Vec<String> {
    let mut rules = Vec::new();
    for table in 0..9 {
        for i in 0..20u32 {
            let prefix = 12 + i % 12;
            rules.push(format!(
                "table={table},priority={},udp,nw_dst=172.{}.{}.0/{prefix},tp_dst={},actions=drop",
                100 + i,
                16 + i % 12,
                i * 8,
                1000 + i
            ));
        }
        let goto = format!("resubmit(,{})", table + 1);
        rules.push(match table {
            3 => format!("table=3,priority=1,udp,actions={TELL_APART},{goto}"),
            _ => format!("table={table},priority=1,actions={goto}"),
        });
    }
    for (from, to) in [(1, 2), (3, 4)] {
        rules.push(format!("table=9,in_port={from},actions=output:{to}"));
    }
    rules
}

/// The frame number `number` of those that no other is like, of this family.
fn fresh(family: u8, number: u32) -> Datagram {
    let [_, high, middle, low] = number.to_be_bytes();
    Datagram {
        addresses: [u32::from_be_bytes([10, family, high, middle]), 0x0a7f_0001],
        ports: [20_000 + u16::from(low), 9],
        number,
    }
}

/// New connections a second, in thousands: so many under way at once that nobody is waited for.
fn new_connections(
    numbers: &mut Numbers,
    from: &mut Line,
    to: &mut Line,
    how_long: Duration,
) -> f64 {
    const UNDER_WAY: usize = 4 * BATCH;
    let (mut under_way, mut arrived) = (0, 0);
    let start = wait::now();
    while wait::now().since(start) < how_long {
        while under_way + BATCH <= UNDER_WAY {
            let frames: Vec<_> =
                (numbers.next..).take(BATCH).map(|n| fresh(numbers.family, n).frame()).collect();
            let sent = from.send(&frames);
            numbers.next += sent as u32;
            under_way += sent;
        }
        match to.receive(Duration::from_millis(100)).len() {
            // Lost ones are not waited for.
            0 => under_way = 0,
            more => {
                under_way = under_way.saturating_sub(more);
                arrived += more;
            }
        }
    }
    let took = wait::now().since(start);
    // The rest is not to be taken for the next turn's.
    while under_way > 0 {
        match to.receive(Duration::from_millis(100)).len() {
            0 => break,
            more => under_way = under_way.saturating_sub(more),
        }
    }
    arrived as f64 / took.as_secs_f64() / 1e3
}

/// Of frames that no other is like.
struct Numbers {
    family: u8,
    next: u32,
}

impl Side for Rig {
    fn prepare(&mut self, measure: usize) -> Result<()> {
        self.switch.host.appctl("dpctl/del-flows")?;
        match measure {
            1 => {
                let handlers = "set Open_vSwitch . other_config:n-handler-threads=2";
                self.switch.host.vsctl(handlers)?;
            }
            2 => {
                let [one, two, ..] = &mut self.lines;
                let frames: Vec<_> = (0..500).map(|n| fresh(4, n).frame()).collect();
                for some in frames.chunks(BATCH) {
                    one.send(some);
                    while !two.receive(Duration::from_millis(20)).is_empty() {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn turn(&mut self, measure: usize, how_long: Duration) -> Result<f64> {
        let [one, two, three, four] = &mut self.lines;
        let [a, b] = &mut self.numbers;
        match measure {
            0 => Ok(new_connections(a, one, two, how_long)),
            1 => Ok(std::thread::scope(|s| {
                let other = s.spawn(|| new_connections(b, three, four, how_long));
                new_connections(a, one, two, how_long) + other.join().unwrap_or(0.0)
            })),
            _ => {
                let mut times = Vec::new();
                for _ in 0..BARRIERS {
                    let number = self.rules;
                    self.rules += 1;
                    let one = [rule(number * 40 + 20, Command::Add)];
                    let one = flow_mods(&mut self.switch, one.into_iter());
                    times.push(self.switch.command_one(&one[0])?);
                }
                Ok(median(times))
            }
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.switch.host.switch.as_mut().map_or(Ok(()), |switch| switch.signal(signal))
    }
}

fn probes(of: &Subject<'_>) -> Result<Values> {
    // Of all rules that are loaded, those of table 0 are what a probe has to be compared with.
    let rules = [format!("table=0,priority=30000,udp,tp_dst=9,actions={TELL_APART},output:2")];
    let mut rig = Rig::build(of, PARTS[0].names, &rules)?;
    let adds = flow_mods(&mut rig.switch, (0..RULES).map(|i| rule(i, Command::Add)));
    let all = bundle(&mut rig.switch, adds.clone());
    let slowest = probed(&mut rig, 1, adds)?;
    let slowest_of_bundle = probed(&mut rig, 2, all)?;
    Ok(vec![("probe", slowest), ("probe-bundle", slowest_of_bundle)])
}

/// The slowest probe's time, in milliseconds, while the switch does all that these messages ask. A lost one takes for ever.
fn probed(rig: &mut Rig, family: u8, messages: Vec<Vec<u8>>) -> Result<f64> {
    let done = AtomicBool::new(false);
    let Rig { switch, lines: [from, to, ..], .. } = rig;
    std::thread::scope(|s| {
        let probe = s.spawn(|| {
            let (mut slowest, mut number) = (Duration::ZERO, 0);
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let start = wait::now();
                from.send(&[fresh(family, number).frame()]);
                while !to.receive(PATIENCE).contains(&number) {
                    if wait::now().since(start) > PATIENCE {
                        return f64::INFINITY;
                    }
                }
                slowest = slowest.max(wait::now().since(start));
                std::thread::sleep(EVERY);
            }
            slowest.as_secs_f64() * 1e3
        });
        let loaded = switch.command(messages);
        done.store(true, Ordering::Relaxed);
        let slowest = probe.join().unwrap_or(f64::INFINITY);
        loaded.map(|_| slowest)
    })
}

/// Frames a second, in thousands, that get from one line to another while `meanwhile` is done again and again.
fn rate(
    from: &mut Line,
    to: &Line,
    frames: &[Vec<u8>],
    meanwhile: impl FnMut() -> Result<()>,
) -> Result<f64> {
    // Past the first packets, and what a switch does for flows that stay.
    rate_for(from, to, frames, (Duration::from_secs(1), RATE), meanwhile)
}

/// The same, after being sent for a while, for so long.
pub(crate) fn rate_for(
    from: &mut Line,
    to: &Line,
    frames: &[Vec<u8>],
    (warm, how_long): (Duration, Duration),
    mut meanwhile: impl FnMut() -> Result<()>,
) -> Result<f64> {
    send_until(from, frames, || {
        let mut until = |end| -> Result<()> {
            while wait::now() < end {
                meanwhile()?;
            }
            Ok(())
        };
        until(wait::now() + warm)?;
        let (start, before) = (wait::now(), to.arrived());
        until(start + how_long)?;
        let arrived = to.arrived() - before;
        Ok(arrived as f64 / wait::now().since(start).as_secs_f64() / 1e3)
    })
}

/// Sends frames, again and again, until that is enough.
pub(crate) fn send_until<T>(
    from: &mut Line,
    frames: &[Vec<u8>],
    enough: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut batches = frames.chunks(BATCH).cycle();
            while !stop.load(Ordering::Relaxed)
                && let Some(batch) = batches.next()
            {
                from.send(batch);
            }
        });
        let outcome = enough();
        stop.store(true, Ordering::Relaxed);
        outcome
    })
}

/// For a moment, nothing.
fn idle() -> Result<()> {
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}

fn changes(of: &Subject<'_>) -> Result<Values> {
    let mut rig = Rig::build(of, PARTS[1].names, &ten_tables())?;
    let frames: Vec<_> = (0..32).map(|n| fresh(1, n).frame()).collect();
    let Rig { switch, lines: [from, to, ..], .. } = &mut rig;
    let mut next = 0;
    let rate = rate(from, to, &frames, || {
        // Ten rules of the first tables, every ten milliseconds: some are in the flows' way.
        let rules = (next..next + 10).map(|i| {
            parsed(&format!(
                "table={},priority=50,udp,nw_dst=172.31.{}.{}/32,actions=drop",
                i % 9,
                i >> 8 & 0xff,
                i & 0xff
            ))
        });
        let messages = flow_mods(switch, rules);
        next += 10;
        let took = switch.command(messages)?;
        std::thread::sleep(Duration::from_millis(10).saturating_sub(Duration::from_secs_f64(took)));
        Ok(())
    })?;
    Ok(vec![("change", rate)])
}

/// One rule for each of so many masks, and frames that meet them in turn, of very many connections.
fn masks(of: &Subject<'_>) -> Result<Values> {
    let mut values = Values::new();
    for (count, name) in
        [(1u32, "masks-1"), (10, "masks-10"), (100, "masks-100"), (1000, "masks-1000")]
    {
        let mut rules = vec!["table=0,priority=1,actions=output:2".to_owned()];
        for i in 0..count {
            // The rules have one mask; what they copy makes the flows' masks differ.
            let (first, last) = (i % 31, i % 31 + i / 31 % (32 - i % 31));
            let more = i / 500;
            rules.push(format!(
                "table=0,priority=100,ip,dl_dst=02:00:00:00:{:02x}:{:02x},actions=move:NXM_OF_IP_SRC[{first}..{last}]->\
                 NXM_NX_REG2[0..{}],move:NXM_OF_IP_DST[0..{more}]->NXM_NX_REG3[0..{more}],output:2",
                0x80 | i >> 8, i & 0xff, last - first
            ));
        }
        let mut rig = Rig::build(of, &[name], &rules)?;
        let frame = |n: u32| {
            let i = n % count;
            let ports = [1000 + (n / 256 % 256) as u16, 9 + (n % 256) as u16];
            let mut frame =
                Datagram { addresses: [0x0a00_0001, 0x0a7f_0001], ports, number: n }.frame();
            frame[4..6].copy_from_slice(&[0x80 | (i >> 8) as u8, i as u8]);
            frame
        };
        let frames: Vec<_> = (0..20_000).map(frame).collect();
        let [from, to, ..] = &mut rig.lines;
        values.push((name, rate(from, to, &frames, idle)?));
    }
    Ok(values)
}

/// A list of rules as a tenant may write it, and frames that differ from what it allows in one bit each: every pair of bits is
/// another mask.
fn attack(of: &Subject<'_>) -> Result<Values> {
    let rules = [
        "table=0,priority=400,in_port=3,ip,nw_src=10.9.0.1,actions=output:4",
        "table=0,priority=300,udp,tp_dst=9,nw_dst=10.127.0.1,actions=output:2",
        "table=0,priority=200,in_port=3,udp,tp_src=12345,actions=output:4",
        "table=0,priority=100,in_port=3,udp,tp_dst=80,actions=output:4",
        "table=0,priority=0,actions=drop",
    ];
    let mut rig = Rig::build(of, PARTS[3].names, &rules.map(str::to_owned))?;
    let victim: Vec<_> = (0..20_000).map(|n| fresh(1, n).frame()).collect();
    let bad = |n: u32| {
        let (i, j, k) = (n % 32, n / 32 % 16, n / 512 % 16);
        let ports = [12345 ^ 1 << j, 80 ^ 1 << k];
        Datagram { addresses: [0x0a09_0001 ^ 1 << i, 0x0a7f_0002], ports, number: n }.frame()
    };
    let [from, to, attacker, _] = &mut rig.lines;
    let quiet = rate(from, to, &victim, idle)?;
    let mut next = 0;
    let under_attack = rate(from, to, &victim, || {
        let frames: Vec<_> = (next..next + 10).map(bad).collect();
        next += 10;
        attacker.send(&frames);
        idle()
    })?;
    if quiet <= 0.0 {
        return Err(Error::Missing("not one frame arrived".to_owned()));
    }
    Ok(vec![("attack", under_attack / quiet * 100.0)])
}
