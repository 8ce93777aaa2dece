//! Surviving guest memory that goes away beneath us.
//!
//! # The problem
//! A mapped file that somebody truncates answers the next access behind its new end with SIGBUS; so does a huge page that the
//! system cannot supply. Whoever holds the file (the hypervisor, or what has taken it over) could end the whole switch with it,
//! and with the switch all other guests' network.
//!
//! # What is done
//! A handler for SIGBUS looks whether the address belongs to guest memory. If so, it puts memory of our own, all zero, in its
//! place, notes that the region is damaged, and returns: the access is repeated and reads zeros. The guest is detached as soon
//! as the batch is done. Any other SIGBUS goes to whoever handled it before us, as if we were not there.
//!
//! # Why so
//! Copying by system call (`process_vm_readv`) cannot fail so but costs more than the packet; asking for the file's size before
//! each access is a race; a sealed file cannot shrink, but nobody has to seal, and huge pages can run out anyhow.
//!
//! Signals belong to the process, so this table and the handler do, too: the one thing here that is not per switch. The table
//! is fixed and read without a lock, because a signal handler may not wait.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mappings that can be watched at a time, of all guests.
const SLOTS: usize = 4096;

struct Slot {
    /// 0: free. Written last when a mapping comes, first when it goes.
    start: AtomicUsize,
    len: AtomicUsize,
    hit: AtomicBool,
    taken: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        hit: AtomicBool::new(false),
        taken: AtomicBool::new(false),
    }
}; SLOTS];

/// One mapping under guard.
#[derive(Debug)]
pub(crate) struct Guard(usize);

impl Guard {
    /// Watches over the mapping from `start` on. `ENOSPC` when there are too many.
    pub(crate) fn new(start: usize, len: usize) -> io::Result<Self> {
        install()?;
        let free = |slot: &Slot| !slot.taken.swap(true, Ordering::AcqRel);
        let at = TABLE.iter().position(free).ok_or(io::ErrorKind::StorageFull)?;
        let slot = &TABLE[at];
        slot.hit.store(false, Ordering::Relaxed);
        slot.len.store(len, Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Self(at))
    }

    /// Whether memory was put in the mapping's place.
    pub(crate) fn is_hit(&self) -> bool {
        TABLE[self.0].hit.load(Ordering::Relaxed)
    }

    /// Watches no longer. Nobody touches the mapping any more.
    pub(crate) fn release(&self) {
        let slot = &TABLE[self.0];
        slot.start.store(0, Ordering::Release);
        slot.taken.store(false, Ordering::Release);
    }
}

/// What handled SIGBUS before us. Written once, before our handler can run.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written once under `OnceLock`, before the handler that reads it is installed.
#[allow(unsafe_code)]
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::uninit()));

/// Installs the handler, once in the life of the process.
fn install() -> io::Result<()> {
    static DONE: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        // SAFETY: `sigaction` is plain data for which zero is a value; the calls get pointers to valid ones. PREVIOUS is
        // written only here, once, and read only by the handler, which the second call installs. The handler itself keeps to
        // what signal handlers may do.
        #[allow(unsafe_code)]
        unsafe {
            if libc::sigaction(libc::SIGBUS, std::ptr::null(), PREVIOUS.0.get().cast()) != 0 {
                return Err(rustix::io::Errno::INVAL.raw_os_error());
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_sigbus as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, &action, null_mut()) != 0 {
                return Err(rustix::io::Errno::INVAL.raw_os_error());
            }
        }
        Ok(())
    });
    done.map_err(io::Error::from_raw_os_error)
}

/// The handler. Async-signal-safe: atomics, `mmap` (a bare system call), `sigaction`.
extern "C" fn on_sigbus(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid `info` to a handler with SA_SIGINFO; `si_addr` is what SIGBUS carries.
    #[allow(unsafe_code)]
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &TABLE {
        let start = slot.start.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        if start == 0 || address.wrapping_sub(start) >= len {
            continue;
        }
        // SAFETY: replaces exactly one mapping that this process made for a guest's memory, and that is still in use: whoever
        // unmaps it takes it out of the table first, after the last access. So no memory but the guest's is affected.
        #[allow(unsafe_code)]
        let replaced = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if replaced != libc::MAP_FAILED {
            slot.hit.store(true, Ordering::Relaxed);
            return;
        }
    }
    hand_on(signal, info, context);
}

/// Somebody else's SIGBUS.
fn hand_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: PREVIOUS was written before this handler was installed. What it holds was a valid disposition: one of the two
    // constants, or a function of the kind that its flags say, which is called as the kernel would.
    #[allow(unsafe_code)]
    unsafe {
        let previous = (*PREVIOUS.0.get()).assume_init_ref();
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The access is repeated when we return, and then ends the process.
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, null_mut());
            }
            function if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                type WithInfo = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
                std::mem::transmute::<usize, WithInfo>(function)(signal, info, context);
            }
            function => std::mem::transmute::<usize, extern "C" fn(i32)>(function)(signal),
        }
    }
}
