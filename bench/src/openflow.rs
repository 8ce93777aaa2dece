//! What controllers ask of a switch: rules loaded, listed, changed, removed, and how soon it obeys.
//!
//! One client for every switch, over the bridge's own socket: the messages are ready before the clock starts, so it is the
//! switch that is timed. What is asked for is looked at afterwards: a load that did not arrive is no load.

use std::time::Duration;

use ofconn::{Client, Versions};
use openflow::message::FlowMod;
use openflow::message::bundle::{ATOMIC, BundleAdd, BundleControl, BundleStep, ORDERED};
use openflow::message::flow_mod::Command;
use openflow::text::flow::parse_flow;
use openflow::wire::{decode, encode};
use openflow::{Message, Protocol, Version};
use stream::Endpoint;
use testbed::bed::Sharing;
use testbed::guide::Flavor;
use testbed::{Error, Host, Programs, Result, Testbed, wait};

use crate::contender::{Contender, OURS, PEER};
use crate::database::median;
use crate::measure::{Measure, Session, row};
use crate::profile::{Profile, Recording};

/// The measures.
pub(crate) const MEASURES: &[Measure] = &[
    row("of-load", "51,000 rules in 40 tables, one by one", "krules/s", true),
    row("of-bundle", "the same rules as one bundle", "krules/s", true),
    row("of-modify", "rules modified by cookie, 51 at a time", "krules/s", true),
    row("of-delete", "rules deleted by cookie, 51 at a time", "krules/s", true),
    row("of-barrier", "barriers, each behind one new rule among 51,000: median", "us", false),
    row("of-dump", "100,000 rules listed", "krules/s", true),
    row("of-million", "1,000,000 rules loaded", "krules/s", true),
    row("of-memory", "resident memory for each of 1,000,000 rules", "bytes", false),
];

/// Rules of the usual load, and what they are spread over.
pub(crate) const RULES: u32 = 51_000;
const TABLES: u32 = 40;
/// Each cookie is on so many rules.
const OF_A_COOKIE: u32 = 51;
const MILLION: u32 = 1_000_000;
const LISTED: u32 = 100_000;
const BARRIERS: usize = 500;
const PROTOCOL: Protocol = Protocol::Of14;

/// Measures that are taken together, on a switch of their own.
pub(crate) struct Part {
    pub(crate) names: &'static [&'static str],
    pub(crate) take: fn(&Subject<'_>) -> Result<Values>,
}

/// Of whom a part is taken.
pub(crate) struct Subject<'a> {
    pub(crate) programs: &'a Programs,
    /// How long a rate is to be measured.
    pub(crate) seconds: u32,
    /// As in [`Session`].
    pub(crate) share: u32,
    /// Of its testbeds.
    sharing: Sharing,
    key: &'a str,
    profile: Option<&'a Profile>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        session: &Session<'a>,
        programs: &'a Programs,
        contender: &'a Contender,
        sharing: Sharing,
    ) -> Self {
        let profile = session.profile.filter(|_| contender.is_ours());
        let (seconds, share) = (session.seconds, session.share);
        Subject { programs, seconds, share, sharing, key: &contender.key, profile }
    }

    /// Who it is.
    pub(crate) fn key(&self) -> &str {
        self.key
    }
}

/// These.
pub(crate) const PARTS: &[Part] = &[
    Part { names: &["of-load", "of-bundle", "of-modify", "of-delete", "of-barrier"], take: usual },
    Part { names: &["of-dump", "of-million", "of-memory"], take: million },
];

/// Takes of both switches, once, the parts of which anything is wanted.
pub(crate) fn round(
    session: &mut Session<'_>,
    contenders: &[Contender],
    heading: &str,
    parts: &[Part],
) -> Result<()> {
    let wanted = session.wanted;
    let parts = || parts.iter().filter(|part| part.names.iter().any(|name| wanted(name)));
    if parts().next().is_none() {
        return Ok(());
    }
    eprintln!("{heading}");
    for contender in contenders.iter().filter(|c| [OURS, PEER].contains(&c.key.as_str())) {
        let Flavor::Switch(programs) = &contender.flavor else { continue };
        eprintln!("  {}", contender.name);
        for part in parts() {
            let subject = Subject::new(session, programs, contender, Sharing::Alone);
            match (part.take)(&subject) {
                Err(e) => session.fail(part.names[0], &contender.key, e)?,
                Ok(values) => {
                    for (name, value) in values {
                        session.add(name, &contender.key, value);
                    }
                }
            }
        }
    }
    Ok(())
}

/// What was measured, by name.
pub(crate) type Values = Vec<(&'static str, f64)>;

/// A bridge of its own, and a controller's connection to it.
pub(crate) struct Switch {
    client: Client,
    xid: u32,
    pub(crate) host: Host,
    pub(crate) bed: Testbed,
    recording: Option<Recording>,
}

impl Switch {
    /// One of which these are measured.
    pub(crate) fn start(of: &Subject<'_>, measures: &[&str]) -> Result<Self> {
        let bed = Testbed::new(of.sharing)?;
        let mut host = bed.host("host1", of.programs)?;
        host.start()?;
        host.vsctl(
            "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure protocols=OpenFlow14",
        )?;
        let socket = format!("unix:{}", host.dir().join("br0.mgmt").display());
        let endpoint =
            Endpoint::parse_openflow(&socket).map_err(|e| Error::Missing(e.to_string()))?;
        let client = wait::until("the bridge's socket", Duration::from_secs(10), || {
            Client::connect(&endpoint, Versions::only(Version::V14), 1, false).ok()
        })?;
        let profile = of.profile.filter(|p| measures.contains(&p.measure.as_str()));
        let pids = host.switch.iter().map(|process| process.pid()).collect();
        let recording = profile.map(|profile| profile.record(of.key, pids)).transpose()?;
        Ok(Self { client, xid: 1, host, bed, recording })
    }

    fn encode(&mut self, message: &Message) -> Vec<u8> {
        self.xid += 1;
        encode(message, PROTOCOL, self.xid).expect("OpenFlow 1.4 has all of these")
    }

    /// Seconds until the switch has done all of these and said so.
    pub(crate) fn command(&mut self, messages: Vec<Vec<u8>>) -> Result<f64> {
        let barrier = self.encode(&Message::BarrierRequest);
        let start = wait::now();
        let errors = self.client.command(messages, &barrier).map_err(broken)?;
        let took = wait::now().since(start).as_secs_f64();
        match errors.first() {
            None => Ok(took),
            Some(error) => Err(Error::Missing(format!("the switch refuses: {error:02x?}"))),
        }
    }

    /// Microseconds until the switch has done this one thing and said so. Waits without sleeping, so that it is the switch that is
    /// timed, and not how soon the kernel wakes us.
    pub(crate) fn command_one(&mut self, message: &[u8]) -> Result<f64> {
        let barrier = self.encode(&Message::BarrierRequest);
        let start = wait::now();
        self.client.connection().queue(message).map_err(broken)?;
        self.client.send(&barrier).map_err(broken)?;
        loop {
            let Some(answer) = self.client.try_recv().map_err(broken)? else { continue };
            let took = wait::now().since(start).as_secs_f64() * 1e6;
            let [_, kind, _, _, xid @ ..] = answer.as_slice() else { continue };
            if *kind == 1 {
                return Err(Error::Missing(format!("the switch refuses: {answer:02x?}")));
            }
            if xid.starts_with(&self.xid.to_be_bytes()) {
                return Ok(took);
            }
        }
    }

    /// Seconds to list all rules, and how many there are.
    fn list(&mut self) -> Result<(f64, usize)> {
        let request = self.encode(&Message::FlowStatsRequest(Box::default()));
        let start = wait::now();
        self.client.send(&request).map_err(broken)?;
        let mut parts = Vec::new();
        loop {
            let part = self.client.recv_xid(self.xid).map_err(broken)?;
            // In every version since 1.3, the flag for more is the lowest bit behind the type.
            let last = part.get(11).is_none_or(|flags| flags & 1 == 0);
            parts.push(part);
            if last {
                break;
            }
        }
        let took = wait::now().since(start).as_secs_f64();
        let count = |part: &Vec<u8>| match decode(part) {
            Ok((_, Message::FlowStatsReply { flows, .. })) => flows.len(),
            _ => 0,
        };
        Ok((took, parts.iter().map(count).sum()))
    }

    fn expect(&mut self, rules: u32) -> Result<()> {
        let (_, there) = self.list()?;
        let wrong = format!("{there} of {rules} rules are there");
        if there == rules as usize { Ok(()) } else { Err(Error::Missing(wrong)) }
    }

    fn resident(&self) -> u64 {
        self.host.switch.as_ref().map_or(0, |process| process.resident())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.recording.take().map(Recording::finish) {
            eprintln!("  no profile: {error}");
        }
    }
}

/// What a security group's rules look like: an address, a protocol, a port; by the masks of a dozen kinds.
pub(crate) fn rule(i: u32, command: Command) -> FlowMod {
    let (a, b, c) = (i >> 16 & 0xff, i >> 8 & 0xff, i & 0xff);
    let matching = match i % 4 {
        0 => format!("ip,nw_src=10.{a}.{b}.{c}"),
        1 => format!("tcp,nw_dst=10.{a}.{b}.{c},tp_dst={}", i % 1000),
        2 => format!("metadata=0x{i:x},udp,tp_dst={}", i % 5000),
        _ => format!("reg0=0x{i:x},dl_dst=02:00:00:{a:02x}:{b:02x}:{c:02x}"),
    };
    let (table, cookie) = (i % TABLES, i / OF_A_COOKIE);
    let text = format!(
        "table={table},cookie=0x{cookie:x},priority={},{matching} actions=load:{}->NXM_NX_REG1[],resubmit(,{})",
        100 + i % 7,
        i % 1000,
        table + 1
    );
    parse_flow(&text, command).expect("the rule is well-formed").flow
}

fn by_cookie(cookie: u32, command: Command) -> FlowMod {
    let text = match command.deletes() {
        true => format!("cookie=0x{cookie:x}/-1"),
        false => format!("cookie=0x{cookie:x}/-1,actions=resubmit(,50)"),
    };
    parse_flow(&text, command).expect("the rule is well-formed").flow
}

pub(crate) fn flow_mods(switch: &mut Switch, all: impl Iterator<Item = FlowMod>) -> Vec<Vec<u8>> {
    all.map(|m| switch.encode(&Message::FlowMod(Box::new(m)))).collect()
}

fn usual(of: &Subject<'_>) -> Result<Values> {
    let mut switch = Switch::start(of, PARTS[0].names)?;
    let rate = |seconds: f64| f64::from(RULES) / seconds / 1000.0;
    let mut values = Values::new();
    let adds = flow_mods(&mut switch, (0..RULES).map(|i| rule(i, Command::Add)));
    values.push(("of-load", rate(switch.command(adds.clone())?)));
    switch.expect(RULES)?;
    let median = barriers(&mut switch)?;
    values.push(("of-barrier", median));
    let cookies = RULES / OF_A_COOKIE;
    let changes =
        flow_mods(&mut switch, (0..cookies).map(|cookie| by_cookie(cookie, Command::Modify)));
    values.push(("of-modify", rate(switch.command(changes)?)));
    let deletes =
        flow_mods(&mut switch, (0..cookies).map(|cookie| by_cookie(cookie, Command::Delete)));
    values.push(("of-delete", rate(switch.command(deletes)?)));
    switch.expect(0)?;
    let bundle = bundle(&mut switch, adds);
    values.push(("of-bundle", rate(switch.command(bundle)?)));
    switch.expect(RULES)?;
    Ok(values)
}

/// Messages that carry these out together.
pub(crate) fn bundle(switch: &mut Switch, messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let (id, flags) = (1, ATOMIC | ORDERED);
    let step = |step| Message::BundleControl(BundleControl { id, step, flags });
    let mut all = vec![switch.encode(&step(BundleStep::OpenRequest))];
    for mut message in messages {
        switch.xid += 1;
        // What is in a bundle has the transaction of what brings it (OpenFlow 1.4, 7.3.9.3).
        message[4..8].copy_from_slice(&switch.xid.to_be_bytes());
        let add = Message::BundleAdd(BundleAdd { id, flags, message });
        all.push(encode(&add, PROTOCOL, switch.xid).expect("OpenFlow 1.4 has bundles"));
    }
    all.push(switch.encode(&step(BundleStep::CloseRequest)));
    all.push(switch.encode(&step(BundleStep::CommitRequest)));
    all
}

/// The median time between a rule being sent and the barrier behind it being answered, in microseconds.
fn barriers(switch: &mut Switch) -> Result<f64> {
    let mut times = Vec::new();
    for i in 0..BARRIERS as u32 {
        let one = flow_mods(switch, [rule(i, Command::Add)].into_iter());
        times.push(switch.command_one(&one[0])?);
    }
    Ok(median(times))
}

fn million(of: &Subject<'_>) -> Result<Values> {
    let mut switch = Switch::start(of, PARTS[1].names)?;
    let mut values = Values::new();
    let before = switch.resident();
    let mut seconds = 0.0;
    let rules = MILLION / of.share;
    let pieces = rules / LISTED;
    for piece in 0..pieces {
        let ids = piece * LISTED..(piece + 1) * LISTED;
        let adds = flow_mods(&mut switch, ids.map(|i| rule(i, Command::Add)));
        seconds += switch.command(adds)?;
        if piece == 0 {
            let (took, there) = switch.list()?;
            let wrong = format!("{there} of {LISTED} rules are listed");
            if there != LISTED as usize {
                return Err(Error::Missing(wrong));
            }
            values.push(("of-dump", f64::from(LISTED) / took / 1000.0));
        }
    }
    let grown = switch.resident().saturating_sub(before);
    values.push(("of-million", f64::from(rules) / seconds / 1000.0));
    values.push(("of-memory", grown as f64 / f64::from(rules)));
    Ok(values)
}

pub(crate) fn broken(e: ofconn::connection::Broken) -> Error {
    Error::Missing(format!("the connection to the switch: {}", e.errno_text()))
}
