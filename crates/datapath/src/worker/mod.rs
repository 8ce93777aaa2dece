//! A worker thread. (Being written: obeys commands, moves nothing yet.)

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};

use crate::control::Shared;
use crate::mailbox::Command;

pub(crate) struct Worker {
    id: usize,
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(id: usize, shared: Arc<Shared>) -> io::Result<Self> {
        Ok(Self { id, shared })
    }

    pub(crate) fn run(self) {
        let mailbox = &self.shared.mailboxes[self.id];
        let mut commands = VecDeque::new();
        loop {
            if mailbox.prepare_to_sleep() {
                let mut fds = [PollFd::from_borrowed_fd(mailbox.fd(), PollFlags::IN)];
                let _ = poll(&mut fds, None);
                mailbox.woke_up(true);
            } else {
                mailbox.woke_up(false);
            }
            mailbox.take(&mut commands);
            if commands.drain(..).any(|c| matches!(c, Command::Stop)) {
                mailbox.close();
                return;
            }
        }
    }
}
