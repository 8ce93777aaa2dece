//! A connection to a front end: messages out of a stream, with the descriptors that came beside them.
//!
//! Reads never go beyond the message at hand, so that descriptors cannot be taken for those of another. Whatever the kernel
//! hands us is owned at once, and closed if the message is refused. Nothing here waits.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::message::{DESCRIPTORS_MAX, HEADER, Header, Malformed, PAYLOAD_MAX};

/// A whole message.
#[derive(Debug)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// Why a connection is at its end.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ChannelError {
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A connection, by a stream socket.
#[derive(Debug)]
pub struct Channel<S> {
    socket: S,
    header: Option<Header>,
    bytes: [u8; PAYLOAD_MAX],
    filled: usize,
    fds: Vec<OwnedFd>,
}

impl<S: AsFd> Channel<S> {
    /// A channel on that socket.
    pub fn new(socket: S) -> Self {
        Self { socket, header: None, bytes: [0; PAYLOAD_MAX], filled: 0, fds: Vec::new() }
    }

    /// The next message, if all of it is there.
    pub fn receive(&mut self) -> Result<Option<Message>, ChannelError> {
        loop {
            let wanted = self.header.map_or(HEADER, |header| header.size);
            if self.filled < wanted && !self.fill(wanted)? {
                return Ok(None);
            }
            if self.filled < wanted {
                continue;
            }
            let bytes = &self.bytes[..wanted];
            match self.header.take() {
                None => {
                    let header = bytes.first_chunk().copied().unwrap_or_default();
                    self.header = Some(Header::parse(header)?);
                }
                Some(header) => {
                    let payload = bytes.to_vec();
                    self.filled = 0;
                    return Ok(Some(Message {
                        header,
                        payload,
                        fds: std::mem::take(&mut self.fds),
                    }));
                }
            }
            self.filled = 0;
        }
    }

    /// Reads once, up to `wanted` bytes. False: nothing is there.
    fn fill(&mut self, wanted: usize) -> Result<bool, ChannelError> {
        // Room for one more than may come, so that a crowd is noticed.
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX + 1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut self.bytes[self.filled..wanted])];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let got = match recvmsg(&self.socket, &mut parts, &mut control, flags) {
            Ok(got) => got,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(io::Error::from(errno).into()),
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if self.fds.len() > DESCRIPTORS_MAX || got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Malformed::TooManyDescriptors.into());
        }
        if got.bytes == 0 {
            return Err(ChannelError::Closed);
        }
        self.filled += got.bytes;
        Ok(true)
    }

    /// Sends an answer, perhaps with a descriptor. A front end that does not read its answers is given up.
    pub fn send(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = fd.as_slice();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut control, flags)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl<S: AsFd> AsFd for Channel<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
