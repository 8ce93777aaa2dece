//! Small parts that the devices share.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Counter;
use packet::{Csum, GsoKind, Packet};
use rustix::io::Errno;

use crate::rtnl::LinkStats;
use crate::vnet::Unfit;
use crate::{Accepts, Stats};

/// What a device lost, beside what the kernel counts. Written only when something is lost.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Received, but there was no room.
    pub rx_dropped: Counter,
    /// Received with a header or frame that makes no sense.
    pub rx_malformed: Counter,
    /// Not sent: too long, no room, device down.
    pub tx_dropped: Counter,
    /// Not sent: refused for another reason.
    pub tx_errors: Counter,
}

impl Losses {
    /// The kernel's counters with ours added.
    pub(crate) fn add_to(&self, kernel: &LinkStats) -> Stats {
        let malformed = self.rx_malformed.get();
        Stats {
            rx_packets: kernel.rx_packets,
            rx_bytes: kernel.rx_bytes,
            tx_packets: kernel.tx_packets,
            tx_bytes: kernel.tx_bytes,
            rx_dropped: kernel.rx_dropped + self.rx_dropped.get(),
            tx_dropped: kernel.tx_dropped + self.tx_dropped.get(),
            rx_errors: kernel.rx_errors + malformed,
            tx_errors: kernel.tx_errors + self.tx_errors.get(),
            rx_frame_err: kernel.rx_frame_errors + malformed,
            rx_over_err: kernel.rx_over_errors,
            rx_crc_err: kernel.rx_crc_errors,
            rx_missed_errors: kernel.rx_missed_errors,
            collisions: kernel.collisions,
        }
    }
}

impl Losses {
    /// Counts a packet that could not be described to the kernel.
    pub(crate) fn unfit(&self, unfit: Unfit) {
        match unfit {
            Unfit::TooLong => self.tx_dropped.inc(),
            Unfit::Broken | Unfit::Finish => self.tx_errors.inc(),
        }
    }
}

/// An [`Accepts`] in one word, so that each batch reads it without a lock.
#[derive(Debug, Default)]
pub(crate) struct SharedAccepts(AtomicU64);

/// The most that its bits can say.
const GSO_MAX: u32 = (1 << 27) - 1;

impl SharedAccepts {
    pub(crate) fn set(&self, a: Accepts) {
        let bit = |on: bool, n: u32| u64::from(on) << n;
        let gso_max = u64::from(a.gso_max.min(GSO_MAX));
        let flags = bit(a.csum, 0) | bit(a.tso, 1) | bit(a.uso, 2) | bit(a.tunnel, 3);
        let flags = flags | bit(a.finishes, 4);
        self.0.store(flags | gso_max << 5 | u64::from(a.frame_max) << 32, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Accepts {
        let word = self.0.load(Ordering::Relaxed);
        let bit = |n: u32| word >> n & 1 != 0;
        Accepts {
            csum: bit(0),
            tso: bit(1),
            uso: bit(2),
            tunnel: bit(3),
            gso_max: (word >> 5) as u32 & GSO_MAX,
            frame_max: (word >> 32) as u32,
            finishes: bit(4),
        }
    }
}

/// What to do about a packet that the kernel would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try the same again.
    Again,
    /// Do in software what is unfinished, then try again.
    Finish,
    /// It is lost: there was no room for it, or it is too long.
    Dropped,
    /// It is lost: something is wrong with it.
    Error,
    /// It is lost and so are all behind it: the device is down or gone.
    Down,
}

/// Judges a failed transmission. `again`: it is not too late to try again.
pub(crate) fn verdict(error: &io::Error, packet: &Packet, again: bool) -> Verdict {
    let unfinished = !packet.offload.is_complete();
    match Errno::from_io_error(error) {
        Some(Errno::INTR) if again => Verdict::Again,
        Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => match (again, packet.offload.gso) {
            (true, _) => Verdict::Again,
            // There may never be room for it as one.
            (false, Some(_)) => Verdict::Finish,
            (false, None) => Verdict::Dropped,
        },
        Some(Errno::MSGSIZE) if packet.offload.gso.is_none() => Verdict::Dropped,
        Some(Errno::MSGSIZE | Errno::INVAL | Errno::OPNOTSUPP) if unfinished => Verdict::Finish,
        Some(Errno::NETDOWN | Errno::NODEV | Errno::NXIO | Errno::BADFD | Errno::IO) => {
            Verdict::Down
        }
        _ => Verdict::Error,
    }
}

/// Whether the refusal of this super-packet means that the kernel knows no UDP segmentation: nothing else is odd about it.
pub(crate) fn tells_of_no_uso(error: &io::Error, packet: &Packet) -> bool {
    /// The limit of kernels before 6.9.
    const SEGMENTS: usize = 64;
    let Some(gso) = packet.offload.gso.filter(|gso| gso.kind == GsoKind::Udp) else { return false };
    let Csum::Partial { start, .. } = packet.offload.csum else { return false };
    let payload = packet.buf.len().saturating_sub(usize::from(start) + 8);
    Errno::from_io_error(error) == Some(Errno::INVAL)
        && payload.div_ceil(usize::from(gso.size).max(1)) <= SEGMENTS
}

/// Why a device could not be opened.
pub(crate) enum Unopened {
    /// There is no such interface, or it is no Ethernet interface, or not ours to open.
    Host(io::Error),
    /// What was asked for cannot be had.
    Refused(String),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

/// Reads one key of an Interface row's `options`. The error says what is wrong; `right` is what would be.
pub(crate) fn read<T: FromStr>(
    options: &BTreeMap<String, String>,
    key: &str,
    right: &str,
) -> Result<Option<T>, String> {
    let Some(text) = options.get(key) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("options:{key}={text:?} must be {right}"))
}

/// What a device accepts, in the words of its row's `status`.
pub(crate) fn offloads(accepts: Accepts) -> String {
    let all = [
        (accepts.csum, "checksum"),
        (accepts.tso, "tcp"),
        (accepts.uso, "udp"),
        (accepts.tunnel, "tunnel"),
    ];
    let there: Vec<&str> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if there.is_empty() { "none".to_owned() } else { there.join(", ") }
}

/// The operating system's words for an error.
pub(crate) fn strerror(error: &io::Error) -> String {
    stream::strerror(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::{Gso, Offload};

    #[test]
    fn accepts_fit_into_a_word() {
        let shared = SharedAccepts::default();
        assert_eq!(shared.get(), Accepts::default());
        for a in [
            Accepts {
                csum: true,
                tso: false,
                uso: true,
                tunnel: false,
                gso_max: 65535,
                frame_max: 1518,
                finishes: true,
            },
            Accepts {
                csum: false,
                tso: true,
                uso: false,
                tunnel: true,
                gso_max: 1,
                frame_max: u32::MAX,
                finishes: false,
            },
        ] {
            shared.set(a);
            assert_eq!(shared.get(), a);
        }
    }

    fn packet(csum: Csum, kind: Option<GsoKind>, len: usize) -> Packet {
        let gso = kind.map(|kind| Gso { kind, size: 1000, ecn: false });
        Packet {
            offload: Offload { csum, gso, ..Offload::default() },
            ..Packet::from_frame(&vec![0; len])
        }
    }

    #[test]
    fn what_is_refused_is_finished_once_before_it_is_lost() {
        let partial = Csum::Partial { start: 34, offset: 16 };
        let plain = packet(Csum::Complete, None, 100);
        let unfinished = packet(partial, None, 100);
        let super_packet = packet(partial, Some(GsoKind::Tcp4), 5000);
        let cases = [
            (Errno::AGAIN, true, &plain, Verdict::Again),
            (Errno::AGAIN, false, &plain, Verdict::Dropped),
            (Errno::NOBUFS, false, &super_packet, Verdict::Finish),
            (Errno::NOBUFS, false, &unfinished, Verdict::Dropped),
            (Errno::MSGSIZE, true, &plain, Verdict::Dropped),
            (Errno::MSGSIZE, true, &unfinished, Verdict::Dropped),
            (Errno::MSGSIZE, true, &super_packet, Verdict::Finish),
            (Errno::INVAL, true, &plain, Verdict::Error),
            (Errno::INVAL, true, &unfinished, Verdict::Finish),
            (Errno::INVAL, true, &super_packet, Verdict::Finish),
            (Errno::NETDOWN, true, &super_packet, Verdict::Down),
            (Errno::NXIO, true, &plain, Verdict::Down),
            (Errno::PERM, true, &super_packet, Verdict::Error),
        ];
        for (errno, again, packet, want) in cases {
            assert_eq!(verdict(&errno.into(), packet, again), want, "{errno:?} {packet:?}");
        }
    }

    #[test]
    fn only_a_decent_udp_super_packet_tells_of_a_kernel_without_uso() {
        let partial = Csum::Partial { start: 34, offset: 6 };
        let tells = |p: &Packet, e: Errno| tells_of_no_uso(&e.into(), p);
        assert!(tells(&packet(partial, Some(GsoKind::Udp), 42 + 64_000), Errno::INVAL));
        assert!(
            !tells(&packet(partial, Some(GsoKind::Udp), 42 + 64_001), Errno::INVAL),
            "65 segments"
        );
        assert!(!tells(&packet(partial, Some(GsoKind::Udp), 5000), Errno::NOBUFS));
        assert!(!tells(&packet(partial, Some(GsoKind::Tcp4), 5000), Errno::INVAL));
    }
}
