//! LACP: the two ends of several links agree to use them as one (IEEE 802.1AX-2008, chapter 5).
//!
//! # What
//! A [`Lacp`] speaks for all links of an aggregate. It sends on each what it is and what it has heard, at the pace that the other
//! end asks for, and at once when something has changed; and judges by what it hears which links lead to the same
//! partner: those are *attached*, and may be used once the partner says that it has attached them too ([`Lacp::may_use`]).
//!
//! # How a link stands
//! *current*: its partner was heard lately. *expired*: it was not, and is given three seconds more, and asked to speak each
//! second. *defaulted*: nobody is there. Who is passive speaks only when spoken to.
//!
//! The standard's receive, periodic, mux and transmit machines are here one: a link that is attached is synchronized, collects
//! and distributes. That is what the reference does, whose texts these are, and what the standard allows ("coupled control").

pub mod pdu;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Instant, Version};
use packet::wire::ethernet::Mac;

use crate::bond::LacpStatus;
use pdu::{End, Pdu, Slow, state};

/// Time between messages to who wants them fast, and to others.
const FAST: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_secs(30);
/// So many may be lost.
const PATIENCE: u32 = 3;

/// Settings of an aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Speaks first (`lacp`: "active").
    pub active: bool,
    /// Wants to hear each second (`other_config:lacp-time`: "fast").
    pub fast: bool,
    /// `other_config:lacp-system-id`, or the bridge's address.
    pub sys_id: Mac,
    /// `other_config:lacp-system-priority`.
    pub sys_priority: u16,
    /// `other_config:lacp-fallback-ab`.
    pub fallback_ab: bool,
}

/// Settings of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// `other_config:lacp-port-id`; if there is none, the port's number.
    pub id: Option<u16>,
    /// `other_config:lacp-port-priority`.
    pub priority: u16,
    /// `other_config:lacp-aggregation-key`; if there is none, the id of the aggregate's first link.
    pub key: Option<u16>,
}

impl Default for PortSettings {
    fn default() -> Self {
        Self { id: None, priority: u16::MAX, key: None }
    }
}

/// Whether a partner is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Current,
    Expired,
    Defaulted,
}

impl Heard {
    fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Expired => "expired",
            Self::Defaulted => "defaulted",
        }
    }
}

/// Counts of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub tx: u64,
    pub rx: u64,
    pub rx_bad: u64,
    pub rx_marker: u64,
    pub expired: u64,
    pub defaulted: u64,
    pub carrier_changed: u64,
}

/// One link.
#[derive(Clone, Debug)]
struct Link {
    name: Arc<str>,
    /// Its number, if the settings do not say another.
    number: u16,
    settings: PortSettings,
    has_carrier: bool,
    heard: Heard,
    attached: bool,
    partner: End,
    /// What was last sent.
    told: Option<Pdu>,
    /// When the partner counts as silent.
    silent_at: Option<Instant>,
    /// When to speak again.
    speak_at: Instant,
    stats: Stats,
}

impl Link {
    fn id(&self) -> u16 {
        self.settings.id.unwrap_or(self.number)
    }

    fn expire(&mut self, now: Instant) {
        self.heard = Heard::Expired;
        self.partner.state |= state::TIMEOUT;
        self.partner.state &= !state::SYNCHRONIZED;
        self.silent_at = Some(now + FAST * PATIENCE);
        self.stats.expired += 1;
    }

    fn give_up(&mut self) {
        self.heard = Heard::Defaulted;
        self.partner = End::default();
        self.silent_at = None;
        self.stats.defaulted += 1;
    }
}

/// The links of an aggregate, and who is behind them. See the module.
#[derive(Clone, Debug)]
pub struct Lacp<P> {
    name: Arc<str>,
    settings: Settings,
    links: BTreeMap<P, Link>,
    negotiated: bool,
    version: Version,
}

impl<P: Copy + Ord> Lacp<P> {
    /// Without links.
    pub fn new(name: Arc<str>, settings: Settings) -> Self {
        let (links, version) = (BTreeMap::new(), Version::default());
        Self { name, settings, links, negotiated: false, version }
    }

    /// Grows whenever [`Lacp::may_use`] or [`Lacp::status`] may differ from before.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Takes new settings. All partners are asked anew.
    pub fn set_settings(&mut self, settings: Settings, now: Instant) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        let is_active = self.settings.active;
        for link in self.links.values_mut() {
            if link.has_carrier && (is_active || link.heard == Heard::Current) {
                link.expire(now);
            }
        }
        self.attach();
    }

    /// Adds a link, or tells its settings anew.
    pub fn set_link(
        &mut self,
        at: P,
        name: &Arc<str>,
        number: u16,
        settings: PortSettings,
        now: Instant,
    ) {
        match self.links.get_mut(&at) {
            Some(link) if link.name == *name => {
                link.number = number;
                if std::mem::replace(&mut link.settings, settings) != settings
                    && link.heard == Heard::Current
                {
                    link.expire(now);
                    self.attach();
                }
            }
            _ => {
                let link = Link {
                    name: name.clone(),
                    number,
                    settings,
                    has_carrier: false,
                    heard: Heard::Defaulted,
                    attached: false,
                    partner: End::default(),
                    told: None,
                    silent_at: None,
                    speak_at: now,
                    stats: Stats::default(),
                };
                self.links.insert(at, link);
                self.attach();
            }
        }
    }

    /// Keeps only these links.
    pub fn retain(&mut self, mut keep: impl FnMut(P) -> bool) {
        let before = self.links.len();
        self.links.retain(|at, _| keep(*at));
        if self.links.len() != before {
            self.attach();
        }
    }

    /// Whether a link has a carrier. Who may be behind it after a change is not who was there before.
    pub fn set_carrier(&mut self, at: P, has_carrier: bool, now: Instant) {
        let is_active = self.settings.active;
        let Some(link) = self.links.get_mut(&at) else { return };
        if std::mem::replace(&mut link.has_carrier, has_carrier) == has_carrier {
            return;
        }
        link.stats.carrier_changed += u64::from(!has_carrier || link.told.is_some());
        if link.heard == Heard::Current || is_active {
            link.expire(now);
        }
        self.attach();
    }

    /// What came in by a link, behind the Ethernet header.
    pub fn receive(&mut self, at: P, bytes: &[u8], now: Instant) {
        let wait = if self.settings.fast { FAST } else { SLOW } * PATIENCE;
        let Some(link) = self.links.get_mut(&at) else { return };
        let pdu = match Slow::parse(bytes) {
            Slow::Lacp(pdu) => pdu,
            // A marker may be answered; who asks gets on without.
            Slow::Marker => {
                link.stats.rx_marker += 1;
                return;
            }
            Slow::Bad => {
                link.stats.rx += 1;
                link.stats.rx_bad += 1;
                return;
            }
        };
        link.stats.rx += 1;
        link.heard = Heard::Current;
        link.silent_at = Some(now + wait);
        let known = std::mem::replace(&mut link.partner, pdu.actor);
        // The partner believes something else of us: tell it.
        let actor = self.actor(at).unwrap_or_default();
        if let Some(link) = self.links.get_mut(&at)
            && (End { state: actor.state & LASTING, ..actor })
                != (End { state: pdu.partner.state & LASTING, ..pdu.partner })
        {
            link.told = None;
        }
        if known != pdu.actor {
            self.attach();
        }
    }

    /// Does what is due. The messages are to be sent, each by its link.
    pub fn run(&mut self, now: Instant) -> Vec<(P, Pdu)> {
        let mut changed = false;
        for link in self.links.values_mut() {
            if link.silent_at.is_some_and(|at| now >= at) {
                match link.heard {
                    Heard::Current => link.expire(now),
                    Heard::Expired => link.give_up(),
                    Heard::Defaulted => link.silent_at = None,
                }
                changed = true;
            }
        }
        if changed {
            self.attach();
        }
        let links: Vec<P> = self.links.keys().copied().collect();
        links.into_iter().filter_map(|at| Some((at, self.speak(at, now)?))).collect()
    }

    fn speak(&mut self, at: P, now: Instant) -> Option<Pdu> {
        let actor = self.actor(at)?;
        let link = self.links.get_mut(&at)?;
        let speaks = self.settings.active || link.partner.state & state::ACTIVITY != 0;
        if !link.has_carrier || !speaks {
            return None;
        }
        let pdu = Pdu { actor, partner: link.partner };
        let is_news = link.told.is_none_or(|told| told.actor != actor);
        if !is_news && now < link.speak_at {
            return None;
        }
        let wants_fast = link.partner.state & state::TIMEOUT != 0;
        link.speak_at = now + if wants_fast { FAST } else { SLOW };
        link.told = Some(pdu);
        link.stats.tx += 1;
        Some(pdu)
    }

    /// When [`Lacp::run`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_active = self.settings.active;
        let speaking = self.links.values().filter(move |link| {
            link.has_carrier && (is_active || link.partner.state & state::ACTIVITY != 0)
        });
        let silent = self.links.values().filter_map(|link| link.silent_at);
        silent.chain(speaking.map(|link| link.speak_at)).min()
    }

    /// What is said of a link's end here.
    fn actor(&self, at: P) -> Option<End> {
        let link = self.links.get(&at)?;
        let Settings { active, fast, sys_id, sys_priority, .. } = self.settings;
        let bits = [
            (active, state::ACTIVITY),
            (fast, state::TIMEOUT),
            (self.links.len() > 1, state::AGGREGATION),
            (link.attached, state::SYNCHRONIZED),
            (link.attached || !self.negotiated, state::COLLECTING | state::DISTRIBUTING),
            (link.heard == Heard::Defaulted, state::DEFAULTED),
            (link.heard == Heard::Expired, state::EXPIRED),
        ];
        let state = bits.iter().filter(|(is_so, _)| *is_so).fold(0, |all, (_, bit)| all | bit);
        Some(End {
            sys_priority,
            sys_id,
            key: link.settings.key.or_else(|| self.key()).unwrap_or_default(),
            port_priority: link.settings.priority,
            port_id: link.id(),
            state,
        })
    }

    /// The aggregate's own key.
    fn key(&self) -> Option<u16> {
        self.links.values().next().map(|first| first.settings.key.unwrap_or(first.id()))
    }

    /// Who is served first: links with somebody behind them, then as the end with the lower system priority and address has it.
    fn rank(&self, link: &Link) -> (bool, u16, u16) {
        let is_unheard = link.partner.sys_id == Mac::default();
        let own = (self.settings.sys_priority, self.settings.sys_id);
        let other = (link.partner.sys_priority, link.partner.sys_id);
        match own < other {
            true => (is_unheard, link.settings.priority, link.id()),
            false => (is_unheard, link.partner.port_priority, link.partner.port_id),
        }
    }

    /// Finds the partner of the link that is served first, and the links that lead to it.
    fn attach(&mut self) {
        // A link that leads back to this very aggregate has no partner.
        let has_partner = |link: &Link| {
            link.heard != Heard::Defaulted && link.partner.sys_id != self.settings.sys_id
        };
        let with_partner = self.links.values().filter(|link| has_partner(link));
        let lead = with_partner.min_by_key(|link| self.rank(link));
        let wanted = lead.map(|link| (link.partner.key, link.partner.sys_id));
        let own_id = self.settings.sys_id;
        let falls_back = self.settings.fallback_ab;
        for link in self.links.values_mut() {
            let is_loop = link.partner.sys_id == own_id;
            link.attached = match link.heard {
                Heard::Defaulted => falls_back && wanted.is_none(),
                _ => !is_loop && wanted == Some((link.partner.key, link.partner.sys_id)),
            };
        }
        self.negotiated = wanted.is_some();
        self.version = self.version.next();
    }

    /// Whether both ends have agreed on something.
    pub fn status(&self) -> LacpStatus {
        if self.negotiated { LacpStatus::Negotiated } else { LacpStatus::Configured }
    }

    /// Whether a link may be used: both ends have attached it; or nobody is there, and the settings are to do without.
    pub fn may_use(&self, at: P) -> bool {
        self.links.get(&at).is_some_and(|link| {
            let alone = self.settings.fallback_ab && link.heard == Heard::Defaulted;
            link.attached && (link.partner.state & state::SYNCHRONIZED != 0 || alone)
        })
    }

    /// Whether somebody is, or was lately, heard on a link (`lacp_current`); `None`: it is no link of ours.
    pub fn is_current(&self, at: P) -> Option<bool> {
        self.links.get(&at).map(|link| link.heard != Heard::Defaulted)
    }
}

/// Of a partner's belief, what makes it a wrong one (802.1AX, "update_NTT").
const LASTING: u8 = state::ACTIVITY | state::TIMEOUT | state::AGGREGATION | state::SYNCHRONIZED;

#[cfg(test)]
mod tests;
