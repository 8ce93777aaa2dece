//! A bridge of the thread's: its sockets, its controllers, and what it does while there are none.

use std::collections::BTreeMap;
use std::path::Path;

use base::Instant;
use openflow::message::FlowMod;
use openflow::message::flow_mod::Command;
use openflow::{Action, Instructions, Port};
use pipeline::FailMode;
use stream::{Endpoint, Listener};

use super::BridgeConfig;
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
}

impl Managed {
    pub(super) fn new(config: BridgeConfig) -> Managed {
        let bridge = Bridge::new(config.settings.clone(), config.switch.clone());
        let name = &config.settings.name;
        let management = listen(&config.run_dir, &format!("{name}.mgmt"));
        let snoop = listen(&config.run_dir, &format!("{name}.snoop"));
        let managed = Managed { bridge, config, management, snoop, remotes: BTreeMap::new() };
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
        if had != has || !has && was.fail_mode != self.config.fail_mode {
            self.change(&FlowMod::new(Command::Delete));
        }
        if self.config.reconfigured {
            self.stand_alone();
        }
    }

    /// A bridge that nobody programs switches by itself, unless it is told not to.
    fn stand_alone(&self) {
        if has_controllers(&self.config) || self.config.fail_mode == FailMode::Secure {
            return;
        }
        let there = with_program(&*self.config.switch, |program, _| {
            let mut rules = program.table(0).into_iter().flat_map(|t| t.rules());
            rules.any(|rule| rule.priority == 0 && rule.matching().is_any())
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
                .or_insert_with(|| Remote::new(controller.clone(), token(), now));
        }
        gone
    }
}

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
