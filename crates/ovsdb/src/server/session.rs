//! What the server remembers of a client.

use std::sync::Arc;

use jsonrpc::{Json, Message};

use super::hosted::SpecId;
use crate::monitor::history::Position;
use crate::rbac::Caller;

slotmap::new_key_type! {
    /// Names a client for as long as it is connected, and nobody after that.
    pub struct SessionId;
}

/// Something to be sent to a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A message.
    Message(Message),
    /// The text of a message that other clients get, too.
    Shared(Arc<str>),
    /// The text of one message in pieces, some of which other clients get, too.
    Pieces([Arc<str>; 3]),
    /// Nothing more: the connection is to be closed, for this reason.
    Close(String),
}

/// A monitor of a session.
pub(super) struct Monitor {
    pub(super) id: Json,
    pub(super) database: Arc<str>,
    pub(super) spec: SpecId,
    /// What the client knows.
    pub(super) position: Position,
}

/// A client.
pub(super) struct Session {
    pub(super) name: String,
    /// It may not change anything.
    pub(super) read_only: bool,
    /// What it is allowed to change, unless that is everything.
    pub(super) caller: Option<Arc<Caller>>,
    /// It wants to stay connected when databases come and go.
    pub(super) change_aware: bool,
    /// It has not yet read what was sent before: updates can wait.
    pub(super) backlogged: bool,
    pub(super) closing: bool,
    pub(super) monitors: Vec<Monitor>,
    pub(super) outputs: Vec<Output>,
}

impl Session {
    pub(super) fn new(name: &str, read_only: bool) -> Self {
        Self {
            name: name.to_owned(),
            read_only,
            caller: None,
            change_aware: false,
            backlogged: false,
            closing: false,
            monitors: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Whether all that is to be sent is what others get, too: it has not asked for anything.
    pub(super) fn only_listens(&self) -> bool {
        self.outputs.iter().all(|output| matches!(output, Output::Shared(_)))
    }

    pub(super) fn send(&mut self, output: Output) {
        if !self.closing {
            self.closing = matches!(output, Output::Close(_));
            self.outputs.push(output);
        }
    }

    pub(super) fn notify(&mut self, method: &str, param: Json) {
        self.send(Output::Message(Message::notify(method, [param])));
    }

    pub(super) fn monitor(&self, id: &Json) -> Option<usize> {
        self.monitors.iter().position(|monitor| monitor.id == *id)
    }
}
