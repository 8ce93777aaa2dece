//! What a driver says of itself, and which of its features are on: `SIOCETHTOOL`.
//!
//! Each command takes a structure that begins with the command word and is filled in by the kernel. The structures are laid
//! out here as 32-bit words, so that their sizes are in plain sight of the code that vouches for them.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::ifreq;

const GET_SETTINGS: u32 = 0x01;
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_SETS: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
const GET_CHANNELS: u32 = 0x3c;

/// String set of the feature names (`ETH_SS_FEATURES`).
const FEATURE_NAMES: u32 = 4;
/// Bytes of one string in a set (`ETH_GSTRING_LEN`).
const STRING_LEN: usize = 32;
/// More features than any kernel has: keeps a nonsensical count from making a large buffer.
const FEATURES_MAX: u32 = 1024;

/// Runs one command on `words`, whose first word says which.
///
/// # Safety
/// `words` must be at least as long as what the kernel writes for that command, counts inside the structure included.
#[allow(unsafe_code)]
unsafe fn call(socket: BorrowedFd<'_>, name: &str, words: &mut [u32]) -> io::Result<()> {
    let mut req = ifreq::request(name)?;
    req.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: `req` is a valid `ifreq` whose data pointer is to exclusively borrowed words; the caller vouches that they suffice.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &mut req) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The bytes of some words, in memory order.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// A NUL-terminated text field.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// Who drives an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// The driver's name: "veth", "tun", "virtio_net" ..
    pub name: String,
    /// Its version.
    pub version: String,
    /// The device's firmware; often empty.
    pub firmware: String,
}

/// The driver of an interface.
pub fn driver(socket: BorrowedFd<'_>, name: &str) -> io::Result<Driver> {
    // struct ethtool_drvinfo: command; driver, version, firmware, bus, ROM as texts of 32 bytes; 12 + 5 * 4 bytes more.
    let mut words = [0u32; 49];
    words[0] = GET_DRIVER;
    // SAFETY: ETHTOOL_GDRVINFO writes one struct ethtool_drvinfo, 196 bytes, which is 49 words.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    let b = bytes(&words);
    Ok(Driver { name: text(&b[4..36]), version: text(&b[36..68]), firmware: text(&b[68..100]) })
}

/// Speed and duplex of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Megabits per second, when known.
    pub speed: Option<u32>,
    /// Whether full duplex, when known.
    pub full_duplex: Option<bool>,
}

/// Speed and duplex, as far as the driver knows them.
pub fn link_settings(socket: BorrowedFd<'_>, name: &str) -> io::Result<LinkSettings> {
    // struct ethtool_cmd: 44 bytes; low half of the speed at 12, duplex at 14, high half at 28.
    let mut words = [0u32; 11];
    words[0] = GET_SETTINGS;
    // SAFETY: ETHTOOL_GSET writes one struct ethtool_cmd, 44 bytes, which is 11 words.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    let b = bytes(&words);
    let half = |at: usize| u32::from(u16::from_ne_bytes([b[at], b[at + 1]]));
    let speed = half(28) << 16 | half(12);
    let unknown = speed == 0 || speed == u32::MAX || speed == 0xffff;
    Ok(LinkSettings {
        speed: (!unknown).then_some(speed),
        full_duplex: match b[14] {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    })
}

/// How many receive queues an interface uses, as far as its driver says.
pub fn receive_queues(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    // struct ethtool_channels: command; most receive, transmit, other, combined; the same four that are in use.
    let mut words = [0u32; 9];
    words[0] = GET_CHANNELS;
    // SAFETY: ETHTOOL_GCHANNELS writes one struct ethtool_channels, which is 9 words.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    Ok(words[5].saturating_add(words[8]))
}

/// The names of the features that are on ("tx-udp-segmentation" ..), in the words of `ethtool -k`.
pub fn features(socket: BorrowedFd<'_>, name: &str) -> io::Result<BTreeSet<String>> {
    let count = feature_count(socket, name)?;
    let names = feature_names(socket, name, count)?;
    let active = active_features(socket, name, count)?;
    let is_on = |i: usize| active[i / 32] & (1 << (i % 32)) != 0;
    Ok(names
        .into_iter()
        .enumerate()
        .filter(|(i, name)| is_on(*i) && !name.is_empty())
        .map(|(_, name)| name)
        .collect())
}

/// Which features are on: a bit for each.
fn active_features(socket: BorrowedFd<'_>, name: &str, count: u32) -> io::Result<Vec<u32>> {
    let blocks = count.div_ceil(32);
    // struct ethtool_gfeatures: command, number of blocks, blocks of {available, requested, active, never changed}.
    let mut words = vec![0u32; 2 + 4 * blocks as usize];
    words[0] = GET_FEATURES;
    words[1] = blocks;
    // SAFETY: ETHTOOL_GFEATURES writes at most as many blocks of four words as words[1] says; there is room for them.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    Ok(words[2..].chunks(4).map(|block| block[2]).collect())
}

/// Switches features on or off: all that have one of these names. What cannot be changed stays as it is, and so does what the
/// kernel has no name for; [`features`] tells.
pub fn set_features(
    socket: BorrowedFd<'_>,
    name: &str,
    wanted: &[&str],
    on: bool,
) -> io::Result<()> {
    let count = feature_count(socket, name)?;
    let names = feature_names(socket, name, count)?;
    let blocks = count.div_ceil(32);
    // struct ethtool_sfeatures: command, number of blocks, blocks of {which are meant, whether on}.
    let mut words = vec![0u32; 2 + 2 * blocks as usize];
    words[0] = SET_FEATURES;
    words[1] = blocks;
    for (i, _) in names.iter().enumerate().filter(|(_, name)| wanted.contains(&name.as_str())) {
        let block = 2 + 2 * (i / 32);
        words[block] |= 1 << (i % 32);
        words[block + 1] |= u32::from(on) << (i % 32);
    }
    // SAFETY: ETHTOOL_SFEATURES reads as many blocks of two words as words[1] says, which are there, and writes nothing.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)
    }
}

fn feature_count(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    // struct ethtool_sset_info: command, reserved, a 64-bit mask of sets, one count for each set asked for.
    let mut words = [0u32; 5];
    words[0] = GET_STRING_SETS;
    words[2..4].copy_from_slice(&split(1 << FEATURE_NAMES));
    // SAFETY: ETHTOOL_GSSET_INFO writes the mask and one count for its only bit: within five words.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    Ok(words[4].min(FEATURES_MAX))
}

fn feature_names(socket: BorrowedFd<'_>, name: &str, count: u32) -> io::Result<Vec<String>> {
    // The kernel ignores the length we pass and writes the whole set, so the buffer is made for the most there can be.
    let room = FEATURES_MAX as usize * STRING_LEN;
    let mut words = vec![0u32; 3 + room / 4];
    words[0] = GET_STRINGS;
    words[1] = FEATURE_NAMES;
    words[2] = count;
    // SAFETY: ETHTOOL_GSTRINGS writes the three words and NETDEV_FEATURE_COUNT strings of 32 bytes; that count is below 64 + 64
    // in every kernel (features are a 64-bit mask), and there is room for 1024.
    #[allow(unsafe_code)]
    unsafe {
        call(socket, name, &mut words)?
    };
    let b = bytes(&words[3..]);
    Ok(b.chunks(STRING_LEN).take(count as usize).map(text).collect())
}

/// A 64-bit member as two words in memory order.
fn split(v: u64) -> [u32; 2] {
    let b = v.to_ne_bytes();
    [u32::from_ne_bytes([b[0], b[1], b[2], b[3]]), u32::from_ne_bytes([b[4], b[5], b[6], b[7]])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn the_loopback_interface_has_features() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let features = features(socket.as_fd(), "lo").unwrap();
        assert!(features.contains("loopback"), "{features:?}");
        assert!(features.contains("tx-tcp-segmentation"), "{features:?}");
    }

    #[test]
    fn a_missing_interface_is_no_device() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(
            driver(socket.as_fd(), "no-such-if").unwrap_err().raw_os_error(),
            Some(libc::ENODEV)
        );
        assert!(link_settings(socket.as_fd(), "no-such-if").is_err());
    }
}
