//! A controller of the configuration: one that is called, or an address on which some may call.

use base::Instant;
use jsonrpc::Reconnect;
use stream::{Keys, Listener};

use super::{Controller, Status};
use crate::peer::PeerId;

/// See the module.
pub(super) struct Remote {
    pub(super) config: Controller,
    pub(super) how: How,
    pub(super) last_error: Option<String>,
}

pub(super) enum How {
    /// We call.
    Active { reconnect: Box<Reconnect>, peer: Option<PeerId> },
    /// We are called.
    Passive { listener: Option<Listener>, token: u64 },
}

impl Remote {
    pub(super) fn new(config: Controller, keys: &Keys, token: u64, now: Instant) -> Remote {
        let how = if config.endpoint.is_passive() {
            let listener = match Listener::open_with(&config.endpoint, keys) {
                Ok(listener) => Some(listener),
                Err(error) => {
                    log::warn!(target: "connmgr", "{}: cannot listen ({})", config.endpoint, stream::strerror(&error));
                    None
                }
            };
            How::Passive { listener, token }
        } else {
            let mut reconnect = Box::new(Reconnect::new(config.endpoint.to_string(), now));
            let first = std::time::Duration::from_secs(1).min(config.max_backoff);
            reconnect.set_backoff(first, config.max_backoff);
            reconnect.set_probe(config.probe);
            reconnect.enable(now);
            How::Active { reconnect, peer: None }
        };
        Remote { config, how, last_error: None }
    }

    /// How it stands, but for what only connections know.
    pub(super) fn status(&self) -> Status {
        match &self.how {
            How::Active { reconnect, .. } => Status {
                connected: reconnect.is_connected(),
                role: None,
                state: reconnect.state_name(),
                since_connect: reconnect.last_connected(),
                since_disconnect: reconnect.last_disconnected(),
                last_error: self.last_error.clone(),
            },
            How::Passive { .. } => Status::default(),
        }
    }
}
