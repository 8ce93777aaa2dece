//! `--run`: a shell command that the server lives as long as.

use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};

use stream::Waker;

/// A running command.
pub(crate) struct Child {
    end: Receiver<std::io::Result<ExitStatus>>,
}

impl Child {
    /// Starts `command`; `waker` is woken when it ends.
    pub(crate) fn start(command: &str, waker: Waker) -> Result<Self, String> {
        let mut child =
            Command::new("/bin/sh").arg("-c").arg(command).spawn().map_err(|error| {
                format!("failed to run \"{command}\" ({})", stream::strerror(&error))
            })?;
        let (sender, end) = channel();
        // A thread is the one way to wait for a process that is not an event of the poller and needs no signal handler.
        std::thread::spawn(move || {
            let _ = sender.send(child.wait());
            waker.wake();
        });
        Ok(Self { end })
    }

    /// Whether the command has ended, and if so, whether well.
    pub(crate) fn ended(&self) -> Option<bool> {
        match self.end.try_recv() {
            Ok(Ok(status)) => Some(status.success()),
            Ok(Err(_)) | Err(std::sync::mpsc::TryRecvError::Disconnected) => Some(false),
            Err(std::sync::mpsc::TryRecvError::Empty) => None,
        }
    }
}
