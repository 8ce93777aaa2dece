//! Many frames by one system call: recvmmsg(2) and sendmmsg(2) on packet sockets with virtio-net headers.
//!
//! A [`Receiver`] and a [`Sender`] own the arrays that the system calls want (message headers, I/O vectors, control buffers,
//! virtio-net headers), so that nothing is allocated per call. They hold raw pointers into the caller's buffers, but only ever
//! hand them to the kernel within the call that got the buffers.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

/// Bytes of the virtio-net header before each frame (without the field of merged buffers).
pub const HEAD: usize = 10;

/// What the kernel knows of a received frame beside its bytes (`struct tpacket_auxdata`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auxiliary {
    /// A VLAN tag that was taken off the frame: (TPID, TCI).
    pub vlan: Option<(u16, u16)>,
    /// The transport checksum is unfinished.
    pub csum_not_ready: bool,
    /// The transport checksum has been checked and is right.
    pub csum_valid: bool,
}

// linux/if_packet.h
const CSUM_NOT_READY: u32 = 1 << 3;
const VLAN_VALID: u32 = 1 << 4;
const VLAN_TPID_VALID: u32 = 1 << 6;
const CSUM_VALID: u32 = 1 << 7;
/// The tag's protocol where the kernel does not say: IEEE 802.1Q.
const TPID_DEFAULT: u16 = 0x8100;

/// `CMSG_SPACE(sizeof(struct tpacket_auxdata))`: a header, 20 bytes, padding.
const CONTROL: usize = size_of::<libc::cmsghdr>() + 24;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A message of no parts, to be filled in.
fn blank() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is integers and pointers; zero is a value of each.
    #[allow(unsafe_code)]
    unsafe {
        std::mem::zeroed()
    }
}

const NO_PART: libc::iovec = libc::iovec { iov_base: null_mut(), iov_len: 0 };

/// One received frame, as [`Receiver::message`] tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The virtio-net header.
    pub head: &'a [u8; HEAD],
    /// Bytes of frame in the buffer.
    pub len: usize,
    /// The frame was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// What came beside the frame.
    pub auxiliary: Auxiliary,
}

/// Receives up to a fixed number of frames at once.
pub struct Receiver {
    heads: Box<[[u8; HEAD]]>,
    controls: Box<[Control]>,
    parts: Box<[[libc::iovec; 2]]>,
    messages: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers inside are written anew by each call of `recv`, which has exclusive access, and are not followed
// outside of it; between calls they are mere numbers that any thread may hold.
#[allow(unsafe_code)]
unsafe impl Send for Receiver {}

impl Receiver {
    /// Scratch for up to `capacity` frames a call.
    pub fn new(capacity: usize) -> Self {
        Self {
            heads: vec![[0; HEAD]; capacity].into(),
            controls: vec![Control([0; CONTROL]); capacity].into(),
            parts: vec![[NO_PART; 2]; capacity].into(),
            messages: (0..capacity).map(|_| blank()).collect(),
        }
    }

    /// Receives at most one frame into each of `buffers` (and at most the capacity) without waiting. Returns how many;
    /// `WouldBlock` when there are none.
    pub fn recv<'b>(
        &mut self,
        socket: BorrowedFd<'_>,
        buffers: impl Iterator<Item = &'b mut [u8]>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (i, buffer) in buffers.take(self.messages.len()).enumerate() {
            self.parts[i] = [
                libc::iovec { iov_base: self.heads[i].as_mut_ptr().cast(), iov_len: HEAD },
                libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() },
            ];
            let header = &mut self.messages[i].msg_hdr;
            header.msg_iov = self.parts[i].as_mut_ptr();
            header.msg_iovlen = 2;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
            header.msg_flags = 0;
            count = i + 1;
        }
        // SAFETY: the first `count` messages were just set up: each points to its own two parts, a head of `HEAD` bytes and a
        // control buffer of `CONTROL` bytes in boxes that `self` owns, and a caller's buffer borrowed exclusively for 'b,
        // which outlives this call, with its true length. No two messages share memory. Names are null; so is the timeout.
        #[allow(unsafe_code)]
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                null_mut(),
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// The `i`th frame of the last successful [`Receiver::recv`]. Of no meaning (but harmless) for a number not received.
    pub fn message(&self, i: usize) -> Message<'_> {
        let message = &self.messages[i];
        let control = &self.controls[i].0;
        #[allow(clippy::unnecessary_cast)] // another type with musl
        let used = (message.msg_hdr.msg_controllen as usize).min(CONTROL);
        Message {
            head: &self.heads[i],
            len: (message.msg_len as usize).saturating_sub(HEAD),
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            auxiliary: auxiliary(&control[..used]).unwrap_or_default(),
        }
    }
}

/// Finds the auxiliary data in a control buffer that holds at most this one message.
fn auxiliary(control: &[u8]) -> Option<Auxiliary> {
    const LEN: usize = size_of::<usize>();
    let (header, data) = control.split_at_checked(size_of::<libc::cmsghdr>())?;
    let int = |at: usize| Some(i32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
    if int(LEN)? != libc::SOL_PACKET || int(LEN + 4)? != libc::PACKET_AUXDATA {
        return None;
    }
    // struct tpacket_auxdata: status, len, snaplen (32 bits each), mac, net, vlan_tci, vlan_tpid (16 bits each).
    let status = u32::from_ne_bytes(data.get(..4)?.try_into().ok()?);
    let tci = u16::from_ne_bytes(data.get(16..18)?.try_into().ok()?);
    let tpid = u16::from_ne_bytes(data.get(18..20)?.try_into().ok()?);
    let tpid = if status & VLAN_TPID_VALID != 0 { tpid } else { TPID_DEFAULT };
    Some(Auxiliary {
        vlan: (status & VLAN_VALID != 0).then_some((tpid, tci)),
        csum_not_ready: status & CSUM_NOT_READY != 0,
        csum_valid: status & CSUM_VALID != 0,
    })
}

/// Sends up to a fixed number of frames at once.
pub struct Sender {
    heads: Box<[[u8; HEAD]]>,
    parts: Box<[[libc::iovec; 2]]>,
    messages: Box<[libc::mmsghdr]>,
}

// SAFETY: as for `Receiver`.
#[allow(unsafe_code)]
unsafe impl Send for Sender {}

impl Sender {
    /// Scratch for up to `capacity` frames a call.
    pub fn new(capacity: usize) -> Self {
        Self {
            heads: vec![[0; HEAD]; capacity].into(),
            parts: vec![[NO_PART; 2]; capacity].into(),
            messages: (0..capacity).map(|_| blank()).collect(),
        }
    }

    /// Sends frames, each behind its virtio-net header, in order and without waiting. Returns how many were sent: fewer than
    /// given when one failed after the first. The error is always the first frame's.
    pub fn send<'b>(
        &mut self,
        socket: BorrowedFd<'_>,
        frames: impl Iterator<Item = ([u8; HEAD], &'b [u8])>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for (i, (head, frame)) in frames.take(self.messages.len()).enumerate() {
            self.heads[i] = head;
            self.parts[i] = [
                libc::iovec { iov_base: self.heads[i].as_mut_ptr().cast(), iov_len: HEAD },
                libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
            ];
            let header = &mut self.messages[i].msg_hdr;
            header.msg_iov = self.parts[i].as_mut_ptr();
            header.msg_iovlen = 2;
            count = i + 1;
        }
        // SAFETY: the first `count` messages were just set up: each points to its own two parts, a head in a box that `self`
        // owns and a caller's frame borrowed for 'b, which outlives this call, with its true length. The kernel only reads
        // through the parts' pointers when sending. Names and control buffers are null.
        #[allow(unsafe_code)]
        let n = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                count as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(status: u32, tci: u16, tpid: u16) -> Vec<u8> {
        let mut c = (size_of::<libc::cmsghdr>() + 20).to_ne_bytes().to_vec();
        c.extend(libc::SOL_PACKET.to_ne_bytes());
        c.extend(libc::PACKET_AUXDATA.to_ne_bytes());
        c.extend(status.to_ne_bytes());
        c.extend([0; 12]);
        c.extend(tci.to_ne_bytes());
        c.extend(tpid.to_ne_bytes());
        c
    }

    #[test]
    fn auxiliary_data_tells_tags_and_checksums() {
        assert_eq!(auxiliary(&control(1, 7, 9)), Some(Auxiliary::default()));
        let tagged = auxiliary(&control(VLAN_VALID | VLAN_TPID_VALID, 100, 0x88a8)).unwrap();
        assert_eq!(tagged.vlan, Some((0x88a8, 100)));
        assert_eq!(
            auxiliary(&control(VLAN_VALID, 0, 0)).unwrap().vlan,
            Some((0x8100, 0)),
            "a tag of VLAN 0 is a tag"
        );
        assert!(auxiliary(&control(CSUM_NOT_READY, 0, 0)).unwrap().csum_not_ready);
        assert!(auxiliary(&control(CSUM_VALID, 0, 0)).unwrap().csum_valid);
    }

    #[test]
    fn foreign_or_short_control_data_is_ignored() {
        let good = control(VLAN_VALID, 1, 1);
        for cut in 0..good.len() {
            assert_eq!(auxiliary(&good[..cut]), None, "cut at {cut}");
        }
        let mut foreign = good;
        foreign[8] ^= 1;
        assert_eq!(auxiliary(&foreign), None);
    }
}
