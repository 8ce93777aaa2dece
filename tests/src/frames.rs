//! Frames by hand: a packet socket at the end of a cable, where a test sends bytes and sees the bytes that come.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sys::{ifreq, packet_socket};
use testbed::wait::now;
use testbed::{Error, Netns, Result};

/// Longer than any frame here.
const ROOM: usize = 65_536;

/// Somebody who sits at a device.
#[derive(Debug)]
pub(crate) struct Station {
    socket: OwnedFd,
}

impl Station {
    /// At this device of a namespace. It sees what comes from now on, not what the device's own host sends.
    pub(crate) fn at(ns: &Netns, device: &str) -> Result<Self> {
        let open = || {
            let socket = packet_socket::open()?;
            packet_socket::ignore_outgoing(socket.as_fd())?;
            packet_socket::bind(socket.as_fd(), ifreq::index(socket.as_fd(), device)?)?;
            std::io::Result::Ok(socket)
        };
        let socket = ns.enter(open)?.map_err(Error::io(format!("cannot listen at {device}")))?;
        Ok(Self { socket })
    }

    /// Sends a frame.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<()> {
        rustix::io::write(&self.socket, frame).map_err(Error::io("cannot send a frame"))?;
        Ok(())
    }

    /// The next frame of those that are `wanted`, or what it waited for in vain.
    pub(crate) fn receive(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let deadline = now() + patience;
        let mut frame = vec![0; ROOM];
        loop {
            match rustix::io::read(&self.socket, &mut frame) {
                Ok(len) => {
                    let frame = frame.get(..len).unwrap_or(&[]);
                    if wanted(frame) {
                        return Ok(frame.to_vec());
                    }
                    continue;
                }
                Err(rustix::io::Errno::AGAIN) => {}
                Err(e) => return Err(Error::io("cannot receive frames")(e)),
            }
            let left = deadline.since(now());
            if left.is_zero() {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    seconds: patience.as_secs_f64(),
                });
            }
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
            poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left))
                .map_err(Error::io("cannot wait for frames"))?;
        }
    }

    /// Forgets what has come until now.
    pub(crate) fn clear(&self) {
        let mut frame = [0; 64];
        while rustix::io::read(&self.socket, &mut frame).is_ok() {}
    }
}
