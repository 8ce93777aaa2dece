//! A port with several interfaces, or with one on which LACP is spoken: what joins [`Bond`] and [`Lacp`].

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{Instant, Version};
use packet::wire::ethernet::Mac;

use crate::bond::{self, Bond, LacpStatus};
use crate::lacp::pdu::Pdu;
use crate::lacp::{self, Lacp};

/// What an aggregate is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config<P> {
    /// The port's name.
    pub name: Arc<str>,
    /// If it has several interfaces, how they are used.
    pub bond: Option<bond::Settings>,
    /// If LACP is spoken, how.
    pub lacp: Option<lacp::Settings>,
    /// Its interfaces.
    pub members: BTreeMap<P, Member>,
}

/// An interface of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: Arc<str>,
    /// Its port number.
    pub number: u16,
    /// Its hardware address.
    pub mac: Mac,
    /// Whether its link works.
    pub has_carrier: bool,
    /// How it speaks LACP.
    pub lacp: lacp::PortSettings,
}

/// A running aggregate; `P` names an interface.
#[derive(Clone, Debug)]
pub struct Aggregate<P> {
    name: Arc<str>,
    /// Its bond, if it has several interfaces.
    pub bond: Option<Bond<P>>,
    /// Its LACP, if that is spoken.
    pub lacp: Option<Lacp<P>>,
    carriers: BTreeMap<P, bool>,
    /// Of bonds that are gone.
    past: Version,
}

impl<P: Copy + Ord> Aggregate<P> {
    /// One that is to be so.
    pub fn new(config: &Config<P>, now: Instant) -> Self {
        let (carriers, past) = (BTreeMap::new(), Version::default());
        let mut aggregate =
            Self { name: config.name.clone(), bond: None, lacp: None, carriers, past };
        aggregate.configure(config, now);
        aggregate
    }

    /// The port's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Grows whenever a decision about a packet may differ from before.
    pub fn version(&self) -> Version {
        Version(self.past.0 + self.bond.as_ref().map_or(0, |bond| bond.version().0))
    }

    /// Brings it to what it is to be.
    pub fn configure(&mut self, config: &Config<P>, now: Instant) {
        match (&mut self.bond, &config.bond) {
            (Some(bond), Some(settings)) => bond.set_settings(settings.clone(), now),
            (bond, Some(settings)) => {
                *bond = Some(Bond::new(config.name.clone(), settings.clone(), now));
            }
            (bond, None) => {
                let gone = bond.take().map_or(0, |bond| bond.version().0 + 1);
                self.past.0 += gone;
            }
        }
        match (&mut self.lacp, &config.lacp) {
            (Some(lacp), Some(settings)) => lacp.set_settings(settings.clone(), now),
            (lacp, Some(settings)) => {
                *lacp = Some(Lacp::new(config.name.clone(), settings.clone()));
            }
            (lacp, None) => *lacp = None,
        }
        let is_member = |member: P| config.members.contains_key(&member);
        if let Some(bond) = &mut self.bond {
            bond.retain(is_member);
            for (at, m) in &config.members {
                bond.set_member(*at, &m.name, m.mac);
            }
        }
        if let Some(lacp) = &mut self.lacp {
            lacp.retain(is_member);
            for (at, m) in &config.members {
                lacp.set_link(*at, &m.name, m.number, m.lacp, now);
                lacp.set_carrier(*at, m.has_carrier, now);
            }
        }
        self.carriers = config.members.iter().map(|(at, m)| (*at, m.has_carrier)).collect();
    }

    /// Does what is due. The messages are to be sent, each by its interface.
    pub fn run(&mut self, now: Instant) -> Vec<(P, Pdu)> {
        let pdus = self.lacp.as_mut().map(|lacp| lacp.run(now)).unwrap_or_default();
        let Some(bond) = &mut self.bond else { return pdus };
        bond.set_lacp_status(self.lacp.as_ref().map_or(LacpStatus::Off, Lacp::status));
        for (member, has_carrier) in &self.carriers {
            let agreed = self.lacp.as_ref().is_none_or(|lacp| lacp.may_use(*member));
            bond.set_usable(*member, *has_carrier && agreed);
        }
        bond.run(now);
        pdus
    }

    /// When [`Aggregate::run`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let bond = self.bond.as_ref().and_then(Bond::next_deadline);
        bond.into_iter().chain(self.lacp.as_ref().and_then(Lacp::next_deadline)).min()
    }

    /// Something came in by an interface that is not for anybody behind it: LACP, behind the Ethernet header.
    pub fn receive(&mut self, member: P, bytes: &[u8], now: Instant) {
        if let Some(lacp) = &mut self.lacp {
            lacp.receive(member, bytes, now);
        }
    }
}
