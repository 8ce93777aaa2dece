//! `--run`: a shell command that the server lives as long as.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use stream::Waker;

/// A running command.
pub(crate) struct Child {
    command: String,
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
        Ok(Self { command: command.to_owned(), end })
    }

    /// Whether the command has ended, and if not well, how.
    pub(crate) fn ended(&self) -> Option<Result<(), String>> {
        let how = match self.end.try_recv() {
            Ok(Ok(status)) if status.success() => return Some(Ok(())),
            Ok(Ok(status)) => describe(status),
            Ok(Err(error)) => stream::strerror(&error),
            Err(TryRecvError::Disconnected) => "nobody knows how".to_owned(),
            Err(TryRecvError::Empty) => return None,
        };
        Some(Err(format!("{}: child exited, {how}", self.command)))
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed ({})", observe::signals::name(signal)),
        (None, None) => status.to_string(),
    }
}
