//! In-band control: the way to a controller may lead through the very bridge that it controls.
//!
//! Before the controller has said anything the bridge forwards nothing, and afterwards what the controller said may be wrong.
//! So rules of the bridge's own, above all that controllers have, forward as an ordinary switch would:
//!
//! - what the host asks by DHCP, and ARP between the host and anybody: it needs an address, and its neighbours;
//! - ARP between anybody and the next hops to controllers, or about controllers: other switches on the way need theirs;
//! - TCP between anybody and controllers: those other switches have the same controllers.
//!
//! They are those of Open vSwitch (ovs-vswitchd.conf.db(5), `connection_mode`), down to the priorities, which people know from
//! `ovs-appctl bridge/dump-flows`. Like there, only IPv4 is provided for.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use base::Instant;
use openflow::{Action, Field, Instructions, Match, Port};

use super::InBand as Wanted;
use crate::switch::{Mac, NextHop, Switch, with_program};

/// How often next hops are looked for that are not known, and those that are.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);

/// Priorities, by what the rule is for.
const FROM_LOCAL_DHCP: u32 = 180_000;
const TO_LOCAL_ARP: u32 = 180_001;
const FROM_LOCAL_ARP: u32 = 180_002;
const TO_NEXT_HOP_ARP: u32 = 180_003;
const FROM_NEXT_HOP_ARP: u32 = 180_004;
const TO_REMOTE_ARP: u32 = 180_005;
const FROM_REMOTE_ARP: u32 = 180_006;
const TO_REMOTE_TCP: u32 = 180_007;
const FROM_REMOTE_TCP: u32 = 180_008;

/// A rule of the bridge's own.
#[derive(Clone, Debug, PartialEq)]
struct Rule {
    priority: u32,
    matching: Match,
}

/// What is done for a bridge's controllers.
#[derive(Default)]
pub(super) struct InBand {
    /// For whom, and from where, the rules are.
    wanted: Wanted,
    local: Option<Mac>,
    rules: Vec<Rule>,
    /// When to look for next hops again.
    next_look: Option<Instant>,
}

impl InBand {
    /// Brings the bridge's rules to what is wanted. `local` is the host's own address on the bridge. Costs nothing while there
    /// is nothing new.
    pub(super) fn run(
        &mut self,
        wanted: &Wanted,
        local: Option<Mac>,
        switch: &dyn Switch,
        now: Instant,
    ) {
        let is_due = self.next_look.is_some_and(|due| now >= due);
        if !is_due && local == self.local && *wanted == self.wanted {
            return;
        }
        let next_hops = self.look(wanted, switch, now);
        let rules = match local {
            Some(local) if !wanted.remotes.is_empty() => rules(local, &wanted.remotes, &next_hops),
            _ => Vec::new(),
        };
        let same_actions = wanted.queue == self.wanted.queue;
        let is_news = rules != self.rules || !same_actions;
        if is_news && !self.change(&rules, wanted.queue, same_actions, switch) {
            self.next_look = Some(now + SOON);
            return;
        }
        (self.wanted, self.local, self.rules) = (wanted.clone(), local, rules);
    }

    /// When [`InBand::run`] may have something to do though nothing has happened.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_look
    }

    /// False: there is no bridge to change, perhaps not yet.
    fn change(
        &self,
        rules: &[Rule],
        queue: Option<u32>,
        same_actions: bool,
        switch: &dyn Switch,
    ) -> bool {
        let normal = Action::Output { port: Port::NORMAL, max_len: 0 };
        let queue = queue.map(Action::SetQueue);
        let actions = Instructions::apply(queue.into_iter().chain([normal]).collect());
        let gone = self.rules.iter().filter(|rule| !(same_actions && rules.contains(rule)));
        let new = rules.iter().filter(|rule| !(same_actions && self.rules.contains(rule)));
        let changed = with_program(switch, |program, now| {
            program.set_in_band(!rules.is_empty());
            // Neither can be refused: the matches are complete, and the actions need nothing.
            for rule in gone {
                let _ = program.remove_hidden(&rule.matching, super::above(rule.priority));
            }
            for rule in new {
                let above = super::above(rule.priority);
                let _ = program.add_hidden(&rule.matching, above, actions.clone(), now);
            }
        });
        changed.is_some()
    }

    /// The next hops to controllers, as far as they are known.
    fn look(&mut self, wanted: &Wanted, switch: &dyn Switch, now: Instant) -> BTreeSet<Mac> {
        let remotes: BTreeSet<Ipv4Addr> =
            wanted.remotes.iter().map(|remote| *remote.ip()).collect();
        let remotes: Vec<Ipv4Addr> = remotes.into_iter().collect();
        if remotes.is_empty() {
            self.next_look = None;
            return BTreeSet::new();
        }
        let hops = switch.next_hops(&remotes);
        let wait = if hops.contains(&NextHop::Unknown) { SOON } else { LATER };
        self.next_look = Some(now + wait);
        let known = hops.iter().filter_map(|hop| match hop {
            NextHop::At(mac) => Some(*mac),
            NextHop::Unknown | NextHop::None => None,
        });
        known.collect()
    }
}

fn rules(local: Mac, remotes: &BTreeSet<SocketAddrV4>, next_hops: &BTreeSet<Mac>) -> Vec<Rule> {
    const ARP: u16 = 0x0806;
    const IP: u16 = 0x0800;
    const REQUEST: u16 = 1;
    const REPLY: u16 = 2;
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let mac =
        |mac: Mac| u64::from_be_bytes(std::array::from_fn(|i| if i < 2 { 0 } else { mac[i - 2] }));
    let mut rules: Vec<Rule> = Vec::new();
    let mut add = |priority, fields: &[(Field, u128)]| {
        let mut matching = Match::any();
        fields.iter().for_each(|(field, number)| matching.set_exact(*field, *number));
        let rule = Rule { priority, matching };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    };
    let arp = |op: u16| [(Field::EthType, ARP.into()), (Field::ArpOp, op.into())];
    let [requests, replies] = [arp(REQUEST), arp(REPLY)];
    let of = |kind: [(Field, u128); 2], field, number: u128| [kind[0], kind[1], (field, number)];
    add(
        FROM_LOCAL_DHCP,
        &[
            (Field::InPort, Port::LOCAL.0.into()),
            (Field::EthType, IP.into()),
            (Field::NwProto, UDP.into()),
            (Field::EthSrc, mac(local).into()),
            (Field::UdpSrc, 68),
            (Field::UdpDst, 67),
        ],
    );
    add(TO_LOCAL_ARP, &of(replies, Field::EthDst, mac(local).into()));
    add(FROM_LOCAL_ARP, &of(requests, Field::EthSrc, mac(local).into()));
    for hop in next_hops {
        add(TO_NEXT_HOP_ARP, &of(replies, Field::EthDst, mac(*hop).into()));
        add(FROM_NEXT_HOP_ARP, &of(requests, Field::EthSrc, mac(*hop).into()));
    }
    for remote in remotes {
        let ip = u128::from(u32::from(*remote.ip()));
        add(TO_REMOTE_ARP, &of(replies, Field::ArpTpa, ip));
        add(FROM_REMOTE_ARP, &of(requests, Field::ArpSpa, ip));
        let tcp = [(Field::EthType, IP.into()), (Field::NwProto, TCP.into())];
        let port = remote.port().into();
        add(TO_REMOTE_TCP, &[tcp[0], tcp[1], (Field::IpDst, ip), (Field::TcpDst, port)]);
        add(FROM_REMOTE_TCP, &[tcp[0], tcp[1], (Field::IpSrc, ip), (Field::TcpSrc, port)]);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_the_reference() {
        // What Debian's bridge/dump-flows shows for a controller at 10.9.0.2:6653 behind 02:..:99.
        let remotes = BTreeSet::from([SocketAddrV4::new([10, 9, 0, 2].into(), 6653)]);
        let rules = rules([2, 0, 0, 0, 0, 1], &remotes, &BTreeSet::from([[2, 0, 0, 0, 0, 0x99]]));
        let mut text: Vec<String> = rules
            .iter()
            .map(|rule| format!("priority={},{}", rule.priority, rule.matching))
            .collect();
        text.sort();
        assert_eq!(
            text,
            [
                "priority=180000,udp,in_port=LOCAL,dl_src=02:00:00:00:00:01,tp_src=68,tp_dst=67",
                "priority=180001,arp,dl_dst=02:00:00:00:00:01,arp_op=2",
                "priority=180002,arp,dl_src=02:00:00:00:00:01,arp_op=1",
                "priority=180003,arp,dl_dst=02:00:00:00:00:99,arp_op=2",
                "priority=180004,arp,dl_src=02:00:00:00:00:99,arp_op=1",
                "priority=180005,arp,arp_tpa=10.9.0.2,arp_op=2",
                "priority=180006,arp,arp_spa=10.9.0.2,arp_op=1",
                "priority=180007,tcp,nw_dst=10.9.0.2,tp_dst=6653",
                "priority=180008,tcp,nw_src=10.9.0.2,tp_src=6653",
            ]
        );
    }

    #[test]
    fn controllers_at_one_address_share_what_is_about_the_address() {
        let at = |port| SocketAddrV4::new([10, 0, 0, 1].into(), port);
        let rules = rules([2; 6], &BTreeSet::from([at(1), at(2)]), &BTreeSet::new());
        assert_eq!(rules.len(), 3 + 2 + 4);
    }
}
