//! A bridge of the thread's: its sockets, its controllers, and what it does while there are none.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base::Instant;
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::{Action, Instructions, Match, Port};
use pipeline::FailMode;
use stream::{Endpoint, Keys, Listener};

use super::BridgeConfig;
use super::in_band::InBand;
use super::remote::Remote;
use crate::bridge::Bridge;
use crate::peer::Kind;
use crate::switch::with_program;

pub(super) struct Managed {
    pub(super) bridge: Bridge,
    pub(super) config: BridgeConfig,
    pub(super) management: Option<Listener>,
    pub(super) snoop: Option<Listener>,
    /// By key.
    pub(super) remotes: BTreeMap<String, Remote>,
    in_band: InBand,
    /// Since when no controller is connected.
    alone: Option<Instant>,
    /// Whether it switches by itself until one is.
    failed_open: bool,
}

impl Managed {
    pub(super) fn new(config: BridgeConfig, now: Instant) -> Managed {
        let bridge = Bridge::new(config.settings.clone(), config.switch.clone());
        let name = &config.settings.name;
        let management = listen(&config.run_dir, &format!("{name}.mgmt"));
        let snoop = listen(&config.run_dir, &format!("{name}.snoop"));
        let managed = Managed {
            bridge,
            config,
            management,
            snoop,
            remotes: BTreeMap::new(),
            in_band: InBand::default(),
            alone: Some(now),
            failed_open: false,
        };
        if has_controllers(&managed.config) {
            managed.change(&FlowMod::new(Command::Delete));
        }
        managed.stand_alone();
        managed
    }

    /// Takes a new configuration, but for its controllers.
    pub(super) fn set(&mut self, config: BridgeConfig) {
        let was = std::mem::replace(&mut self.config, config);
        self.bridge.set(self.config.settings.clone());
        let (had, has) = (has_controllers(&was), has_controllers(&self.config));
        // Who takes a bridge over begins with empty tables, and who leaves leaves none of his rules behind.
        let begins_anew = had != has || !has && was.fail_mode != self.config.fail_mode;
        if begins_anew {
            self.change(&FlowMod::new(Command::Delete));
        }
        if self.config.reconfigured {
            self.stand_alone();
        }
        if begins_anew {
            self.config.switch.barrier();
        }
    }

    /// A bridge whose controllers are all gone for long goes on by itself, if it may: with a rule above all of theirs, which
    /// stay, until one is back.
    pub(super) fn fail_open(&mut self, now: Instant) {
        let primaries = || self.remotes.values().filter(|r| r.config.kind == Kind::Primary);
        let connected = primaries().any(|r| r.status().connected);
        self.alone = if connected { None } else { self.alone.or(Some(now)) };
        let may = self.config.fail_mode == FailMode::Standalone && has_controllers(&self.config);
        let due = self.fail_open_due().is_some_and(|due| now >= due);
        let wanted = may && due;
        if wanted == self.failed_open {
            return;
        }
        self.failed_open = wanted;
        let name = &self.config.settings.name;
        if wanted {
            log::warn!(target: "fail_open", "{name}: no controller for long, forwarding like an ordinary switch");
        } else {
            log::warn!(target: "fail_open", "{name}: no longer forwarding like an ordinary switch");
        }
        with_program(&*self.config.switch, |program, now| {
            let all = Match::any();
            // Neither can be refused: everything is matched and NORMAL needs nothing.
            let _ = if wanted {
                let normal = Action::Output { port: Port::NORMAL, max_len: 0 };
                program.add_hidden(
                    &all,
                    super::above(ABOVE_ALL),
                    Instructions::apply(vec![normal]),
                    now,
                )
            } else {
                program.remove_hidden(&all, super::above(ABOVE_ALL))
            };
        });
    }

    /// Keeps the way open to controllers that are reached through the bridge.
    pub(super) fn control_in_band(&mut self, now: Instant) {
        let ports = &self.config.settings.ports;
        let local = ports.iter().rfind(|port| port.port == Port::LOCAL).map(|port| port.address);
        self.in_band.run(&self.config.in_band, local, &*self.config.switch, now);
    }

    /// When [`Managed::control_in_band`] may have something to do though nothing has happened.
    pub(super) fn in_band_due(&self) -> Option<Instant> {
        self.in_band.due()
    }

    /// When [`Managed::fail_open`] may have something to do.
    pub(super) fn fail_open_due(&self) -> Option<Instant> {
        if self.config.fail_mode == FailMode::Secure || !has_controllers(&self.config) {
            return None;
        }
        let probes = self.config.controllers.iter().filter_map(|c| c.probe);
        Some(self.alone? + probes.max().unwrap_or(PROBE) * 3)
    }

    /// A bridge that nobody programs switches by itself, unless it is told not to.
    fn stand_alone(&self) {
        if has_controllers(&self.config) || self.config.fail_mode == FailMode::Secure {
            return;
        }
        let there = with_program(&*self.config.switch, |program, _| {
            let mut rules = program.table(0).into_iter().flat_map(|t| t.rules());
            rules.any(|rule| rule.priority == 0 && rule.matches_all())
        });
        if there == Some(false) {
            let normal = Action::Output { port: Port::NORMAL, max_len: 0 };
            self.change(&FlowMod {
                table: 0,
                priority: 0,
                instructions: Instructions::apply(vec![normal]),
                ..FlowMod::new(Command::Add)
            });
        }
    }

    fn change(&self, change: &FlowMod) {
        with_program(&*self.config.switch, |program, now| {
            // Neither deleting everything nor outputting to NORMAL can be refused.
            let _ = program.flow_mod(change, now);
        });
    }

    /// Brings the remotes to the configuration. Returns the keys of those that are gone or made anew.
    pub(super) fn set_remotes(
        &mut self,
        mut token: impl FnMut() -> u64,
        keys: &Keys,
        now: Instant,
    ) -> Vec<String> {
        let wanted = &self.config.controllers;
        let stays = |remote: &Remote| wanted.contains(&remote.config);
        let gone: Vec<String> = self
            .remotes
            .iter()
            .filter(|(_, remote)| !stays(remote))
            .map(|(key, _)| key.clone())
            .collect();
        self.remotes.retain(|_, remote| stays(remote));
        for controller in &self.config.controllers {
            self.remotes
                .entry(controller.key.clone())
                .or_insert_with(|| Remote::new(controller.clone(), keys, token(), now));
        }
        let place =
            |(key, remote): (&String, &Remote)| (key.clone(), remote.config.endpoint.to_string());
        self.bridge.set_controllers(self.remotes.iter().map(place).collect());
        gone
    }
}

/// The highest of hidden priorities.
const ABOVE_ALL: u32 = 0xf0_f0f0;
/// Where no controller is probed, they are missed after three times this.
const PROBE: Duration = Duration::from_secs(5);

/// Whether anybody is there to program the bridge.
fn has_controllers(config: &BridgeConfig) -> bool {
    config.controllers.iter().any(|c| c.kind == Kind::Primary)
}

fn listen(dir: &Path, name: &str) -> Option<Listener> {
    let endpoint = Endpoint::PassiveUnix(dir.join(name));
    match Listener::open(&endpoint) {
        Ok(listener) => Some(listener),
        Err(error) => {
            log::warn!(target: "connmgr", "{endpoint}: cannot listen ({})", stream::strerror(&error));
            None
        }
    }
}
