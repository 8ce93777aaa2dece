//! How the bridge's controllers stand, for controllers that ask, or want to hear of it (OpenFlow 1.5, 7.3.5.19 and 7.4.8).

use std::collections::BTreeMap;

use openflow::message::Message;
use openflow::message::controller::{ControllerReason, ControllerStatus};
use openflow::message::switch::Role;

use super::{Outcome, list};
use crate::bridge::{Bridge, Request};
use crate::peer::Unasked;

/// The controllers that a bridge has, by their keys.
#[derive(Default)]
pub(crate) struct Controllers {
    /// Where they are.
    places: BTreeMap<String, String>,
    /// How they stood when that was last told.
    told: BTreeMap<String, ControllerStatus>,
}

impl Bridge {
    /// These are its controllers from now on, each under its key: where they are.
    pub fn set_controllers(&mut self, places: BTreeMap<String, String>) {
        self.controllers.places = places;
        self.tell_controllers();
    }

    /// How each of them stands. Who is called by several is told of by the first.
    fn controller_statuses(&self) -> BTreeMap<String, ControllerStatus> {
        let status = |(key, place): (&String, &String)| {
            let peer = self.peers.values().find(|peer| peer.controller.as_ref() == Some(key));
            let status = ControllerStatus {
                short_id: peer.map_or(0, |peer| peer.short_id),
                role: peer.map_or(Role::Equal, |peer| peer.role),
                reason: ControllerReason::Request,
                connected: peer.is_some(),
                uri: Some(place.clone()),
            };
            (key.clone(), status)
        };
        self.controllers.places.iter().map(status).collect()
    }

    /// Tells who wants to hear of it how controllers have changed.
    pub(crate) fn tell_controllers(&mut self) {
        let now = self.controller_statuses();
        let before = std::mem::replace(&mut self.controllers.told, now.clone());
        let mut news = Vec::new();
        for (key, old) in &before {
            if !now.contains_key(key) {
                let gone = ControllerStatus { connected: false, ..old.clone() };
                news.push((ControllerReason::ControllerRemoved, gone));
            }
        }
        for (key, new) in now {
            let reason = match before.get(&key) {
                None => ControllerReason::ControllerAdded,
                Some(old) if old.connected != new.connected => ControllerReason::ChannelStatus,
                Some(old) if old.role != new.role => ControllerReason::Role,
                Some(old) if old.short_id != new.short_id => ControllerReason::ShortId,
                Some(_) => continue,
            };
            news.push((reason, new));
        }
        for (reason, status) in news {
            let message = Message::ControllerStatus(ControllerStatus { reason, ..status });
            for id in self.hearers(|peer| peer.hears(Unasked::ControllerStatus, reason as u8)) {
                self.send(id, 0, &message);
            }
        }
    }
}

pub(super) fn statuses(bridge: &mut Bridge, request: &Request) -> Outcome {
    let empty = Message::ControllerStatusReply { controllers: Vec::new(), more: false };
    let one = |status| Message::ControllerStatusReply { controllers: vec![status], more: false };
    let statuses = bridge.controller_statuses().into_values().map(one);
    list(bridge, request, empty, statuses)
}
