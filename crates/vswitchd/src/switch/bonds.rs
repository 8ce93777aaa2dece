//! Ports of several interfaces: what a snapshot says of them, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Instant;
use l2::aggregate::Member;
use l2::{Aggregate, lacp};
use pipeline::{OfPort, SnapshotBuilder};

use super::{LiveBridge, Switch, is_down, warn};
use crate::desired::{self, Mac};

/// What the database is told of an aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AggregateStatus {
    /// `Port.bond_active_slave`.
    pub active: Option<Mac>,
    /// `Interface.lacp_current`, by name.
    pub current: BTreeMap<String, bool>,
}

/// Adds the aggregates of a bridge whose ports are there.
pub(super) fn add_aggregates(
    builder: &mut SnapshotBuilder,
    wanted: &desired::Bridge,
    live: &LiveBridge,
) {
    for (name, port) in wanted.ports.iter().filter(|(_, port)| port.is_aggregate()) {
        let members: BTreeMap<OfPort, Member> = port
            .interfaces
            .iter()
            .filter_map(|interface| {
                let up = live.interfaces.get(&interface.name)?.as_ref().ok()?;
                let member = Member {
                    name: interface.name.as_str().into(),
                    number: up.ofport.0,
                    mac: up.status.mac,
                    has_carrier: !is_down(up),
                    lacp: interface.lacp,
                };
                // A bridge's own port is never one of several.
                (up.ofport != OfPort::LOCAL && up.excluded.is_none()).then_some((up.ofport, member))
            })
            .collect();
        let bonding = &port.bonding;
        let mut bond = bonding.bond.clone();
        bond.last_active = live.last_active.get(name).copied();
        let lacp = bonding.lacp.map(|l| lacp::Settings {
            active: l.active,
            fast: l.fast,
            sys_id: l.system_id.unwrap_or(live.mac),
            sys_priority: l.system_priority,
            fallback_ab: bond.lacp_fallback_ab,
        });
        let bond = port.is_bond().then_some(bond);
        builder.aggregate(
            live.id,
            pipeline::Aggregate { name: Arc::from(&**name), bond, lacp, members },
        );
    }
}

impl Switch {
    /// The last run had this member active, of the bond of that name.
    pub fn remember_active(&mut self, bridge: &str, port: &str, mac: Mac) {
        self.remembered_active.entry(bridge.to_owned()).or_default().insert(port.to_owned(), mac);
    }

    /// How each aggregate is, by its name.
    pub fn aggregates(&self) -> BTreeMap<String, AggregateStatus> {
        let mut all = BTreeMap::new();
        let has_any = |kind| {
            let mut bridges = self.applied.bridges.values().filter(|b| b.datapath == kind);
            bridges.any(|bridge| bridge.ports.values().any(|port| port.is_aggregate()))
        };
        for (_, plane) in self.planes.iter().filter(|(kind, _)| has_any(**kind)) {
            plane.slow.with(|state, _| {
                for (at, aggregate) in state.aggregates() {
                    let named = state.snapshot.bridge(at.bridge).and_then(|b| b.aggregate(at.port));
                    let members = named.into_iter().flat_map(|config| &config.members);
                    let status = status(aggregate, members);
                    all.insert(aggregate.name().to_string(), status);
                }
            });
        }
        all
    }

    /// Members of bonds are not to speak for the bridge's own port: the kernel would answer, on each with an address of its own.
    pub(super) fn silence_members(&self) {
        for (name, bridge) in &self.applied.bridges {
            let Some(live) = self.bridges.get(name) else { continue };
            let bonds = bridge.ports.values().filter(|port| port.is_bond());
            for interface in bonds.flat_map(|port| &port.interfaces).filter(|i| i.name != *name) {
                if let Some(Ok(up)) = live.interfaces.get(&interface.name)
                    && let Some(device) = &up.device
                {
                    warn(
                        &interface.name,
                        "keep from answering ARP for others",
                        device.answer_for_itself(),
                    );
                }
            }
        }
    }

    /// The devices whose links are to be looked at, and how often at least.
    pub(crate) fn looked_at(&self) -> (std::collections::BTreeSet<String>, Option<Duration>) {
        let ports = self.applied.bridges.values().flat_map(|b| b.ports.values());
        let watched = ports.filter(|port| port.is_bond() && port.bonding.miimon.is_some());
        let every = watched.clone().filter_map(|port| port.bonding.miimon).min();
        let names = watched.flat_map(|port| port.interfaces.iter().map(|i| i.name.clone()));
        (names.collect(), every)
    }

    /// Looks at links that nobody tells of, if it is time. `next`: `None` if there are none.
    pub(crate) fn look_at_links(&mut self, now: Instant, next: &mut Option<Instant>) {
        if next.is_none_or(|at| now < at) {
            return;
        }
        let (names, every) = self.looked_at();
        *next = every.map(|every| now + every);
        let changed: std::collections::BTreeSet<String> = names
            .into_iter()
            .filter(|name| {
                let live = self.interface(name).and_then(|(_, live)| live.as_ref().ok());
                live.is_some_and(|live| {
                    live.device.as_ref().is_some_and(|device| {
                        device.refresh().is_ok()
                            && device.status().is_ok_and(|status| status != live.status)
                    })
                })
            })
            .collect();
        if !changed.is_empty() {
            self.refresh(&changed);
        }
    }
}

fn status<'a>(
    aggregate: &Aggregate<OfPort>,
    members: impl Iterator<Item = (&'a OfPort, &'a Member)>,
) -> AggregateStatus {
    let lacp = aggregate.lacp.as_ref();
    let current = members.filter_map(|(at, m)| Some((m.name.to_string(), lacp?.is_current(*at)?)));
    AggregateStatus {
        active: aggregate.bond.as_ref().map(|b| b.active_mac()),
        current: current.collect(),
    }
}
