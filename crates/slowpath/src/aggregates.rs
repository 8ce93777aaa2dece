//! Ports of several interfaces: what they are to be follows the configuration, what they are follows time, links and the other
//! end's messages. Translations read them ([`xlate::Aggregates`]); what they want sent is sent here.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base::{Instant, Version};
use datapath::Miss;
use flow::{Action, DpPort, FlowKey, RecircId};
use l2::bond::{BUCKETS, Bond, Choice, Loads, slb_hash};
use l2::lacp::pdu::{self, Pdu};
use l2::{Aggregate, MacTable};
use packet::Packet;
use packet::wire::arp::{ArpHeader, op};
use packet::wire::ethernet::{BROADCAST, EthernetHeader, Mac, eth_type};
use packet::wire::vlan::VlanTag;
use pipeline::{OfPort, PortKind, PortRef, Snapshot, Vid};
use xlate::{Frozen, Frozens};
use zerocopy::IntoBytes;

use crate::state::State;
use crate::{Shared, lock};

/// Stations that are announced at once when a bond's active member changes; those that were heard last.
const MOST_ANNOUNCED: usize = 8192;

/// All aggregates of a datapath.
#[derive(Debug, Default)]
pub(crate) struct Aggregates {
    /// Each, by its bridge and number.
    pub(crate) all: xlate::Aggregates,
    /// What the datapath hashes for them comes back with these numbers, which they keep.
    numbers: BTreeMap<PortRef, (RecircId, std::sync::Arc<Frozen>)>,
    /// What has left by their buckets since they were last told.
    loads: Mutex<BTreeMap<PortRef, Box<Loads>>>,
    /// Versions of those that are gone.
    past: u64,
}

/// A frame to be sent, and by which port.
type Outgoing = (DpPort, Vec<u8>);

impl Aggregates {
    /// Grows whenever a decision about a packet may differ from before.
    pub(crate) fn version(&self) -> Version {
        Version(self.past + self.all.values().map(|aggregate| aggregate.version().0).sum::<u64>())
    }

    /// Brings them to what a new configuration says. An aggregate is the same as before if its name and bridge are.
    pub(crate) fn configure(&mut self, snapshot: &Snapshot, frozens: &Frozens, now: Instant) {
        let mut before = std::mem::take(&mut self.all);
        for bridge in snapshot.bridges() {
            for (home, config) in bridge.aggregates() {
                let at = PortRef { bridge: bridge.id, port: home };
                let known = before
                    .iter()
                    .find(|(was, aggregate)| {
                        was.bridge == bridge.id && aggregate.name() == &config.name
                    })
                    .map(|(was, _)| *was);
                let aggregate = match known.and_then(|was| before.remove(&was)) {
                    Some(mut aggregate) => {
                        aggregate.configure(config, now);
                        aggregate
                    }
                    None => Aggregate::new(config, now),
                };
                self.all.insert(at, aggregate);
            }
        }
        self.past += before.values().map(|aggregate| aggregate.version().0 + 1).sum::<u64>();
        let all = &self.all;
        let is_balanced = |aggregate: &Aggregate<OfPort>| {
            aggregate.bond.as_ref().is_some_and(|bond| bond.settings().mode.is_balanced())
        };
        let balanced = |at: &PortRef| all.get(at).is_some_and(is_balanced);
        self.numbers.retain(|at, _| balanced(at));
        for at in all.keys().filter(|at| balanced(at)) {
            if !self.numbers.contains_key(at) {
                self.numbers.extend(
                    frozens.id(xlate::hashed(at.bridge, at.port)).map(|number| (*at, number)),
                );
            }
        }
        lock(&self.loads).retain(|at, _| all.contains_key(at));
    }

    /// Bytes have left by a bucket.
    pub(crate) fn count(&self, at: PortRef, bucket: u8, bytes: u64) {
        let mut loads = lock(&self.loads);
        let of_aggregate = loads.entry(at).or_insert_with(|| Box::new([0; BUCKETS]));
        if let Some(load) = of_aggregate.get_mut(usize::from(bucket)) {
            *load = load.saturating_add(bytes);
        }
    }

    /// The number under which packets come back that were hashed for an aggregate.
    pub(crate) fn number(&self, at: PortRef) -> Option<u32> {
        self.numbers.get(&at).map(|(id, _)| id.0)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.all.values().filter_map(Aggregate::next_deadline).min()
    }
}

impl State {
    /// The aggregate of that name with its place, whichever bridge it is of.
    pub fn aggregate(&mut self, name: &str) -> Option<(PortRef, &mut Aggregate<OfPort>)> {
        let mut all = self.aggregates.all.iter_mut();
        all.find(|(_, aggregate)| &**aggregate.name() == name)
            .map(|(at, aggregate)| (*at, aggregate))
    }

    /// All aggregates.
    pub fn aggregates(&self) -> impl Iterator<Item = (PortRef, &Aggregate<OfPort>)> {
        self.aggregates.all.iter().map(|(at, aggregate)| (*at, aggregate))
    }

    /// The number under which packets come back that the datapath has hashed for an aggregate; only bonds that balance have one.
    pub fn number_of_aggregate(&self, at: PortRef) -> Option<u32> {
        self.aggregates.number(at)
    }

    /// What aggregates have to do now. The frames are to be sent.
    fn run_aggregates(&mut self, now: Instant) -> Vec<Outgoing> {
        let mut out = Vec::new();
        let Aggregates { all, loads, .. } = &mut self.aggregates;
        for (at, aggregate) in all {
            if let Some(bond) = &mut aggregate.bond {
                if let Some(loads) = lock(loads).remove(at) {
                    bond.add_loads(&loads);
                }
                let moved = bond.rebalance(now);
                if moved > 0 {
                    log::info!(target: "bond", "bond {}: shifted {moved} hashes", bond.name());
                }
            }
            for (port, pdu) in aggregate.run(now) {
                out.extend(lacp_frame(&self.snapshot, *at, port, pdu));
            }
            if let Some(bond) = &mut aggregate.bond {
                bond.take_news().iter().for_each(|news| log::info!(target: "bond", "{news}"));
                if bond.take_announcement() {
                    let macs = self.macs.get(&at.bridge);
                    out.extend(announcement(&self.snapshot, *at, bond, macs));
                }
            }
        }
        out
    }
}

impl Shared {
    /// Does what aggregates have to do.
    pub(crate) fn run_aggregates(&self, state: &mut State, now: Instant) {
        if state.aggregates.all.is_empty() {
            return;
        }
        for (dp, frame) in state.run_aggregates(now) {
            let metadata = FlowKey { in_port: dp.0, ..FlowKey::default() };
            let actions = [Action::Output(dp)].into();
            self.datapath.inject(Packet::from_frame(&frame), metadata, Some(actions));
        }
    }

    /// When [`Shared::run_aggregates`] has something to do.
    pub(crate) fn aggregate_deadline(&self, state: &State) -> Option<Instant> {
        state.aggregates.next_deadline()
    }

    /// A frame of the aggregate's own.
    pub(crate) fn tell_aggregate(&self, state: &mut State, miss: &Miss, now: Instant) {
        let dp = DpPort(miss.key.in_port);
        let Some(at) = state.snapshot.port_of_dp(dp) else { return };
        let Some((_, port)) = state.snapshot.port(at) else { return };
        let home = PortRef { port: port.home(), ..at };
        let tags = miss.key.vlans.iter().filter(|tag| tag.is_present()).count();
        let header = size_of::<EthernetHeader>() + tags * size_of::<VlanTag>();
        let bytes = miss.packet.bytes().get(header..).unwrap_or_default();
        if let Some(aggregate) = state.aggregates.all.get_mut(&home) {
            aggregate.receive(at.port, bytes, now);
        }
        self.run_aggregates(state, now);
        // Something may be due sooner than before.
        self.control.kick();
    }
}

/// Where frames for a port of an aggregate leave the datapath.
fn dp_of(snapshot: &Snapshot, at: PortRef, port: OfPort) -> Option<DpPort> {
    let (_, port) = snapshot.port(PortRef { port, ..at })?;
    match port.kind {
        PortKind::Device(dp) => Some(dp),
        _ => None,
    }
}

fn lacp_frame(snapshot: &Snapshot, at: PortRef, port: OfPort, pdu: Pdu) -> Option<Outgoing> {
    let dp = dp_of(snapshot, at, port)?;
    let src = snapshot.bridge(at.bridge)?.aggregate(at.port)?.members.get(&port)?.mac;
    let header = EthernetHeader::new(pdu::GROUP, src, pdu::ETH_TYPE);
    Some((dp, [header.as_bytes(), &pdu.to_bytes()].concat()))
}

/// Frames that tell whoever is behind a bond that stations of ours are to be reached by other members now (as reverse ARP, which
/// nobody answers).
fn announcement(
    snapshot: &Snapshot,
    at: PortRef,
    bond: &Bond<OfPort>,
    macs: Option<&MacTable<OfPort>>,
) -> Vec<Outgoing> {
    let Some((bridge, port)) = snapshot.port(at) else { return Vec::new() };
    let mut stations: Vec<(u16, Mac)> =
        bridge.local_mac().map(|mac| (0, mac)).into_iter().collect();
    if let Some(macs) = macs {
        let others = macs.iter().filter(|(_, _, entry)| entry.port != at.port);
        stations.extend(others.map(|(vlan, mac, _)| (vlan, mac)));
    }
    stations.dedup();
    let newest = stations.into_iter().rev().take(MOST_ANNOUNCED);
    let frame = |(vlan, mac): (u16, Mac)| {
        let vid = Vid::new(vlan)?;
        let member = match bond.choose() {
            Choice::Member(member) => Some(member),
            Choice::BySource => bond.of_bucket(slb_hash(&mac, vlan, bond.settings().basis) as u8),
            Choice::Nobody | Choice::ByConnection => None,
        };
        let dp = dp_of(snapshot, at, member?)?;
        let tagged = vid != Vid::NONE && !port.vlan.strips(vid);
        port.vlan.carries(vid).then(|| (dp, reverse_arp(mac, tagged.then_some(vlan))))
    };
    newest.filter_map(frame).collect()
}

fn reverse_arp(mac: Mac, vlan: Option<u16>) -> Vec<u8> {
    let nobody = std::net::Ipv4Addr::UNSPECIFIED;
    let question = ArpHeader::new(op::RARP_REQUEST, mac, nobody, mac, nobody);
    let mut frame = Vec::with_capacity(64);
    frame.extend_from_slice(&BROADCAST);
    frame.extend_from_slice(&mac);
    if let Some(vlan) = vlan {
        frame.extend_from_slice(&eth_type::VLAN.to_be_bytes());
        frame.extend_from_slice(&vlan.to_be_bytes());
    }
    frame.extend_from_slice(&eth_type::RARP.to_be_bytes());
    frame.extend_from_slice(question.as_bytes());
    frame
}
