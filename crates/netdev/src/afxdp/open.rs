//! Finding out what works: modes from the best down, features from all to none, and what to say when nothing does.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{NanosleepRelativeResult, nanosleep};
use sys::xdp::program::{Attach, Link, Program, Sockets};
use sys::xdp::{self, Config, Umems};

use super::options::{Mode, Options};
use crate::common::strerror;

/// Queues served at most; each pins some megabytes of memory.
const QUEUES_MAX: u32 = 64;
/// Frames each way for a queue; fewer where there are many queues.
const DEPTH: u32 = 2048;
const DEPTH_OF_MANY: u32 = 512;
const MANY: u32 = 8;

/// The kernel gives a queue back some time after its last socket was closed ..
const BUSY_PAUSE: Duration = Duration::from_millis(5);
const BUSY_TRIES: u32 = 100;
/// .. and so it does with what that had of the limit of locked memory, of which there may be too little in any case.
const LIMIT_TRIES: u32 = 10;

/// Which sockets to open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub ifindex: u32,
    pub queues: u32,
    /// The memory node of the device.
    pub node: Option<usize>,
}

/// What was opened.
pub(super) struct Opened {
    pub sockets: Vec<(xdp::Rx, xdp::Tx)>,
    pub link: Link,
    /// The mode in use, never best-effort.
    pub mode: Mode,
    pub features: Config,
    /// Better modes that were tried, and why they do not work.
    pub fallen: Vec<Failure>,
}

/// Why a mode does not work.
#[derive(Debug)]
pub(super) struct Failure {
    mode: Mode,
    step: Step,
    error: io::Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Load,
    Bind(u32),
    BusyPoll,
    Attach,
}

/// Opens sockets on all of the queues and attaches the program that feeds them.
pub(super) fn open(
    wanted: Wanted,
    options: &Options,
    umems: &Umems,
) -> Result<Opened, Vec<Failure>> {
    let mut failures = Vec::new();
    let mut opened = None;
    for &mode in options.mode.candidates() {
        match attempt(wanted, mode, options, umems) {
            Ok(this) => {
                opened = Some(this);
                break;
            }
            Err((step, error)) => failures.push(Failure { mode, step, error }),
        }
    }
    umems.settle();
    match opened {
        Some(opened) => Ok(Opened { fallen: failures, ..opened }),
        None => Err(failures),
    }
}

fn attempt(
    wanted: Wanted,
    mode: Mode,
    options: &Options,
    umems: &Umems,
) -> Result<Opened, (Step, io::Error)> {
    let Wanted { ifindex, node, .. } = wanted;
    let queues = wanted.queues.clamp(1, QUEUES_MAX);
    let best = Config {
        depth: if queues > MANY { DEPTH_OF_MANY } else { DEPTH },
        zero_copy: mode == Mode::NativeZeroCopy,
        need_wakeup: options.need_wakeup,
        multi_buffer: true,
        checksums: true,
        node,
    };
    let table = Sockets::new(queues).map_err(|e| (Step::Load, e))?;
    let mut features = None;
    let mut sockets = Vec::new();
    for queue in 0..queues {
        let (socket, config) = match features {
            None => bind_somehow(ifindex, queue, best, umems),
            Some(config) => bind(ifindex, queue, config, umems).map(|socket| (socket, config)),
        }
        .map_err(|e| (Step::Bind(queue), e))?;
        if let Some(budget) = options.busy_poll {
            socket.0.busy_poll(budget.get()).map_err(|e| (Step::BusyPoll, e))?;
        }
        table.set(queue, socket.0.fd()).map_err(|e| (Step::Load, e))?;
        features = Some(config);
        sockets.push(socket);
    }
    let link = attach(ifindex, mode, &table)?;
    let features = features.unwrap_or(best);
    Ok(Opened { sockets, link, mode, features, fallen: Vec::new() })
}

/// Binds with as many features as the kernel and the driver have.
fn bind_somehow(
    ifindex: u32,
    queue: u32,
    best: Config,
    umems: &Umems,
) -> io::Result<((xdp::Rx, xdp::Tx), Config)> {
    let ladder = [
        best,
        Config { multi_buffer: false, ..best },
        Config { checksums: false, ..best },
        Config { multi_buffer: false, checksums: false, ..best },
    ];
    let mut first = None;
    for config in ladder {
        match bind(ifindex, queue, config, umems) {
            Ok(socket) => return Ok((socket, config)),
            // What was not understood may have been a feature; anything else will not get better.
            Err(error) if is(&error, &[Errno::INVAL, Errno::OPNOTSUPP]) => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or_else(|| Errno::INVAL.into()))
}

fn bind(ifindex: u32, queue: u32, config: Config, umems: &Umems) -> io::Result<(xdp::Rx, xdp::Tx)> {
    let mut tries = 0;
    loop {
        let error = match xdp::open(ifindex, queue, config, umems) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let most = match Errno::from_io_error(&error) {
            Some(Errno::BUSY) => BUSY_TRIES,
            Some(Errno::NOBUFS) => LIMIT_TRIES,
            _ => 0,
        };
        if tries >= most {
            return Err(error);
        }
        tries += 1;
        pause();
    }
}

/// Sleeps for [`BUSY_PAUSE`]: what is waited for announces itself to nobody.
fn pause() {
    let mut left = BUSY_PAUSE;
    while let Ok(time) = left.try_into()
        && let NanosleepRelativeResult::Interrupted(rest) = nanosleep(&time)
    {
        left = rest.try_into().unwrap_or_default();
    }
}

fn attach(ifindex: u32, mode: Mode, table: &Sockets) -> Result<Link, (Step, io::Error)> {
    let how = if mode == Mode::Generic { Attach::Generic } else { Attach::Native };
    let program = Program::load(table).map_err(|e| (Step::Load, e))?;
    program.attach(ifindex, how).map_err(|e| (Step::Attach, e))
}

fn is(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|e| errnos.contains(&e))
}

impl Failure {
    fn advice(&self) -> &'static str {
        let any = |errnos: &[Errno]| is(&self.error, errnos);
        match self.step {
            _ if any(&[Errno::PERM, Errno::ACCESS]) => {
                "AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"
            }
            Step::Bind(_) if any(&[Errno::BUSY]) => "another program has an AF_XDP socket there",
            Step::Bind(_) if any(&[Errno::NOBUFS, Errno::NOMEM]) => {
                "the limit of locked memory is too low (ulimit -l), or give CAP_IPC_LOCK"
            }
            Step::Bind(_) if any(&[Errno::AFNOSUPPORT]) => "the kernel was built without AF_XDP",
            Step::Bind(_) if self.mode == Mode::NativeZeroCopy => "the driver has no zero-copy",
            Step::BusyPoll if any(&[Errno::NOPROTOOPT]) => {
                "this kernel has no preferred busy polling (Linux 5.11, CONFIG_NET_RX_BUSY_POLL)"
            }
            Step::Attach if any(&[Errno::BUSY, Errno::EXIST]) => {
                "another XDP program is attached; `ip link set DEVICE xdp off` removes it"
            }
            Step::Attach if any(&[Errno::RANGE]) => {
                "its MTU, or its other end's, is too large for XDP"
            }
            Step::Attach if any(&[Errno::OPNOTSUPP]) => "the driver has no XDP",
            _ => "",
        }
    }

    /// Whether the interface is not there (any more).
    pub(super) fn is_missing(&self) -> bool {
        is(&self.error, &[Errno::NODEV])
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = strerror(&self.error);
        match self.step {
            Step::Load => write!(f, "xdp-mode={}: cannot load the program: {words}", self.mode),
            Step::Bind(queue) => write!(f, "xdp-mode={}: queue {queue}: {words}", self.mode),
            Step::BusyPoll => write!(f, "options:xdp-busy-poll: {words}"),
            Step::Attach => write!(f, "xdp-mode={}: cannot attach the program: {words}", self.mode),
        }?;
        match self.advice() {
            "" => Ok(()),
            advice => write!(f, ", {advice}"),
        }
    }
}
