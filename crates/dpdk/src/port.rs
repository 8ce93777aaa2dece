//! The safe side of `shim.c`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

mod raw {
    use super::{c_char, c_int, c_void};

    /// `struct fs_port`.
    #[repr(C)]
    pub(super) struct Port {
        pub(super) id: u16,
        pub(super) rx_queues: u16,
        pub(super) tx_queues: u16,
        pub(super) probed: c_int,
        pub(super) pool: *mut c_void,
        pub(super) driver: [c_char; 32],
    }

    /// `struct fs_frame`.
    #[repr(C)]
    pub(super) struct Frame {
        pub(super) bytes: *const u8,
        pub(super) len: u32,
    }

    // SAFETY: a type only; whoever makes such a function says what it needs.
    pub(super) type Take = unsafe extern "C" fn(*mut c_void, *const u8, u32, u8);

    // SAFETY: these are the functions of `shim.c`, with the types that they have there.
    #[allow(unsafe_code)]
    unsafe extern "C" {
        pub(super) fn fs_version() -> *const c_char;
        pub(super) fn fs_init(argc: c_int, argv: *mut *mut c_char) -> c_int;
        pub(super) fn fs_open(
            devargs: *const c_char,
            queues: u16,
            rx_slots: u16,
            tx_slots: u16,
            tx_wanted: u16,
            port: *mut Port,
        ) -> c_int;
        pub(super) fn fs_close(port: *mut Port);
        pub(super) fn fs_recv(
            port: *const Port,
            queue: u16,
            max: u16,
            take: Take,
            context: *mut c_void,
        ) -> u16;
        pub(super) fn fs_send(port: *const Port, queue: u16, frames: *const Frame, n: u16) -> u16;
        pub(super) fn fs_mac(port: *const Port, mac: *mut u8) -> c_int;
        pub(super) fn fs_set_mac(port: *const Port, mac: *const u8) -> c_int;
        pub(super) fn fs_mtu(port: *const Port, mtu: *mut u16) -> c_int;
        pub(super) fn fs_set_mtu(port: *const Port, mtu: u16) -> c_int;
        pub(super) fn fs_set_up(port: *const Port, up: u8) -> c_int;
        pub(super) fn fs_link(port: *const Port, link: *mut super::Link) -> c_int;
        pub(super) fn fs_stats(port: *const Port, stats: *mut super::Stats) -> c_int;
    }
}

/// A link's state (`struct fs_link`).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Link {
    /// Megabits per second.
    pub megabits: u32,
    up: u8,
    full_duplex: u8,
}

impl Link {
    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.up != 0
    }

    /// Whether both ends may send at once.
    pub fn is_full_duplex(&self) -> bool {
        self.full_duplex != 0
    }
}

/// A device's counters (`struct fs_stats`).
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
#[repr(C)]
pub struct Stats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_no_buffer: u64,
}

fn check(rc: c_int) -> io::Result<()> {
    if rc == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(rc)) }
}

/// DPDK's version: "DPDK 22.11.5".
pub fn version() -> String {
    // SAFETY: the function has no arguments and returns a text that lives as long as the process.
    #[allow(unsafe_code)]
    unsafe { CStr::from_ptr(raw::fs_version()) }.to_string_lossy().into_owned()
}

/// Starts DPDK with these arguments (those of its command line, without the program's name). It exists once in a process and
/// stays to its end: a second call answers as the first did, whatever its arguments.
pub fn start(args: &[&str]) -> io::Result<()> {
    static STARTED: OnceLock<Result<(), c_int>> = OnceLock::new();
    let args: Vec<CString> = std::iter::once("ferroswitch")
        .chain(args.iter().copied())
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    let started = STARTED.get_or_init(|| {
        // On a thread of its own: DPDK binds the calling thread to a processor.
        let init = std::thread::spawn(move || {
            // DPDK keeps pointers into its arguments, and may reorder them; so they stay.
            let args: &'static mut Vec<*mut c_char> =
                Box::leak(Box::new(args.into_iter().map(CString::into_raw).collect()));
            let count = args.len() as c_int;
            args.push(std::ptr::null_mut());
            // SAFETY: `count` texts that end with NUL, writable, and a null pointer behind them, all of which live for ever.
            #[allow(unsafe_code)]
            unsafe {
                raw::fs_init(count, args.as_mut_ptr())
            }
        });
        match init.join() {
            Ok(0) => Ok(()),
            Ok(error) => Err(error),
            Err(_) => Err(EINVAL),
        }
    });
    started.map_err(io::Error::from_raw_os_error)
}

/// Something about the arguments, which DPDK has told its log.
const EINVAL: c_int = 22;

/// How many queues and slots to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// Receive queues; 0 leaves it to the device.
    pub rx: u16,
    /// Transmit queues at most.
    pub tx: u16,
    /// Slots of a receive queue.
    pub rx_slots: u16,
    /// Slots of a transmit queue.
    pub tx_slots: u16,
}

/// A device that DPDK drives. Closed when it and all its queues are dropped.
pub struct Port(Arc<Open>);

struct Open {
    /// Never changes once opened.
    port: raw::Port,
    /// Held while the control side is used: DPDK leaves that to its users.
    control: Mutex<()>,
}

// SAFETY: the only pointer in it is to DPDK's own pool, which any thread may use; queues are used by one thread at a time, as
// `Rx` and `Tx` see to, and control functions under the lock.
#[allow(unsafe_code)]
unsafe impl Send for Open {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Open {}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the port was opened, and nobody else has it any more.
        #[allow(unsafe_code)]
        unsafe {
            raw::fs_close(&mut self.port);
        }
    }
}

/// A receive queue, for one thread at a time.
pub struct Rx(Arc<Open>, u16);

/// A transmit queue, for one thread at a time.
pub struct Tx(Arc<Open>, u16);

impl Port {
    /// Opens a device by its device arguments ("0000:05:00.0", "net_af_packet0,iface=eth1"), starts it, and gives its queues.
    /// DPDK must have been started. Errors of note: `ENODEV` (there is no such device), `ERANGE` (fewer queues than that).
    pub fn open(devargs: &str, queues: Queues) -> io::Result<(Self, Vec<Rx>, Vec<Tx>)> {
        let devargs = CString::new(devargs)?;
        let driver = [0; 32];
        let mut port = raw::Port {
            id: 0,
            rx_queues: 0,
            tx_queues: 0,
            probed: 0,
            pool: std::ptr::null_mut(),
            driver,
        };
        let Queues { rx, tx, rx_slots, tx_slots } = queues;
        let name = devargs.as_ptr();
        // SAFETY: the text ends with NUL and, like the structure that is filled in, lives for the call.
        #[allow(unsafe_code)]
        let rc = unsafe { raw::fs_open(name, rx, rx_slots, tx_slots, tx, &raw mut port) };
        if let Err(error) = check(rc) {
            if port.probed != 0 {
                // SAFETY: the device was made for us; nobody else has it.
                #[allow(unsafe_code)]
                unsafe {
                    raw::fs_close(&raw mut port);
                }
            }
            return Err(error);
        }
        let (rx, tx) = (port.rx_queues, port.tx_queues);
        let open = Arc::new(Open { port, control: Mutex::new(()) });
        let rx = (0..rx).map(|queue| Rx(open.clone(), queue)).collect();
        let tx = (0..tx).map(|queue| Tx(open.clone(), queue)).collect();
        Ok((Self(open), rx, tx))
    }

    fn control(&self) -> (&raw::Port, MutexGuard<'_, ()>) {
        (&self.0.port, self.0.control.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The driver's name: "net_af_packet", "mlx5_pci" ..
    pub fn driver(&self) -> String {
        let name = self.0.port.driver.iter().map(|c| *c as u8).take_while(|c| *c != 0).collect();
        String::from_utf8(name).unwrap_or_default()
    }

    /// Its hardware address.
    pub fn mac(&self) -> io::Result<[u8; 6]> {
        let (port, _held) = self.control();
        let mut mac = [0; 6];
        // SAFETY: the port is open, and there is room for six bytes.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_mac(port, mac.as_mut_ptr()) }).map(|()| mac)
    }

    /// Sets it.
    pub fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        let (port, _held) = self.control();
        // SAFETY: the port is open, and there are six bytes.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_set_mac(port, mac.as_ptr()) })
    }

    /// Its MTU.
    pub fn mtu(&self) -> io::Result<u16> {
        let (port, _held) = self.control();
        let mut mtu = 0;
        // SAFETY: the port is open, and the number lives for the call.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_mtu(port, &raw mut mtu) }).map(|()| mtu)
    }

    /// Sets it; for a moment the device is stopped.
    pub fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        let (port, _held) = self.control();
        // SAFETY: the port is open.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_set_mtu(port, mtu) })
    }

    /// Sets the link up or down.
    pub fn set_up(&self, up: bool) -> io::Result<()> {
        let (port, _held) = self.control();
        // SAFETY: the port is open.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_set_up(port, up.into()) })
    }

    /// The link's state.
    pub fn link(&self) -> io::Result<Link> {
        let (port, _held) = self.control();
        let mut link = Link::default();
        // SAFETY: the port is open, and the structure lives for the call.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_link(port, &raw mut link) }).map(|()| link)
    }

    /// The counters.
    pub fn stats(&self) -> io::Result<Stats> {
        let (port, _held) = self.control();
        let mut stats = Stats::default();
        // SAFETY: the port is open, and the structure lives for the call.
        #[allow(unsafe_code)]
        check(unsafe { raw::fs_stats(port, &raw mut stats) }).map(|()| stats)
    }
}

impl Rx {
    /// Shows the pieces of at most `max` received packets to `take`, with whether the packet goes on in the next one. Says how
    /// many packets there were.
    pub fn recv(&mut self, max: usize, mut take: impl FnMut(&[u8], bool)) -> usize {
        /// Calls the closure that `context` points to.
        ///
        /// # Safety
        /// `context` is an `F` that nobody else uses meanwhile, and `bytes` leads to `len` bytes that stay as they are.
        #[allow(unsafe_code)]
        unsafe extern "C" fn show<F: FnMut(&[u8], bool)>(
            context: *mut c_void,
            bytes: *const u8,
            len: u32,
            more: u8,
        ) {
            // SAFETY: as the caller vouches.
            unsafe {
                let take = &mut *context.cast::<F>();
                take(std::slice::from_raw_parts(bytes, len as usize), more != 0);
            }
        }
        fn of<F: FnMut(&[u8], bool)>(_: &F) -> raw::Take {
            show::<F>
        }
        let (show, max) = (of(&take), u16::try_from(max).unwrap_or(u16::MAX));
        let context = (&raw mut take).cast();
        // SAFETY: the port is open and has that queue, which is ours alone; `show` gets the closure that it was made for, borrowed
        // exclusively until the call returns, and the bytes of packets that are freed after it has seen them.
        #[allow(unsafe_code)]
        let count = unsafe { raw::fs_recv(&self.0.port, self.1, max, show, context) };
        usize::from(count)
    }
}

impl Tx {
    /// Packets that one call takes at most.
    pub const BURST: usize = 32;

    /// Sends copies of the first [`Tx::BURST`] packets and says how many the device took.
    pub fn send<'a>(&mut self, packets: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut frames = [const { raw::Frame { bytes: std::ptr::null(), len: 0 } }; Self::BURST];
        let mut count = 0;
        for (frame, bytes) in frames.iter_mut().zip(packets) {
            (frame.bytes, frame.len) = (bytes.as_ptr(), bytes.len() as u32);
            count += 1;
        }
        // SAFETY: the port is open and has that queue, which is ours alone; the first `count` frames are borrowed for the call,
        // with their true lengths.
        #[allow(unsafe_code)]
        let sent = unsafe { raw::fs_send(&self.0.port, self.1, frames.as_ptr(), count) };
        usize::from(sent)
    }
}
