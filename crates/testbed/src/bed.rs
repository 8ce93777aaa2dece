//! The testbed: who owns what, and that nothing stays behind.
//!
//! Every namespace and the scratch folder carry the testbed's prefix `fst-PID-N`. Removal needs no list that a crash could
//! lose: it takes what carries the prefix, and kills what runs inside, the process that asks excepted. Three roads lead
//! there: [`Drop`], a signal, and the next testbed on this machine, which removes what dead processes left.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::netns::NETNS_DIR;
use crate::{Error, Host, Netns, Programs, Result, wait};

const PREFIX: &str = "fst-";

/// What this process must remove, and whether it still may start things.
static STATE: Mutex<State> = Mutex::new(State { live: BTreeSet::new(), interrupted: false });

struct State {
    live: BTreeSet<String>,
    interrupted: bool,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(|e| e.into_inner())
}

/// To be held while a program is started: after an interrupt nothing starts any more.
pub(crate) fn spawning() -> Result<impl Sized> {
    let state = state();
    if state.interrupted { Err(Error::Interrupted) } else { Ok(state) }
}

/// How a testbed shares the machine with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Others may run at the same time.
    Shared,
    /// Alone: for whoever looks at times or rates.
    Alone,
    /// Takes no part in the arrangement.
    Unmanaged,
}

/// Namespaces, processes and files that go away together.
#[derive(Debug)]
pub struct Testbed {
    prefix: String,
    dir: PathBuf,
    keep: bool,
    _turn: Option<File>,
}

impl Testbed {
    /// An empty testbed. Waits for its turn according to `sharing`, and removes what dead runs left on this machine.
    pub fn new(sharing: Sharing) -> Result<Self> {
        static SEQUENCE: AtomicU32 = AtomicU32::new(0);
        require_privilege()?;
        catch_signals()?;
        let turn = take_turn(sharing)?;
        sweep();
        let prefix =
            format!("{PREFIX}{}-{}", std::process::id(), SEQUENCE.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&prefix);
        state().live.insert(prefix.clone());
        std::fs::create_dir_all(&dir)
            .map_err(Error::io(format!("cannot make {}", dir.display())))?;
        Ok(Self { prefix, dir, keep: false, _turn: turn })
    }

    /// The prefix of everything that belongs here.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The scratch folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new network namespace; `name` must be unique in this testbed.
    pub fn netns(&self, name: &str) -> Result<Netns> {
        Netns::create(format!("{}-{name}", self.prefix))
    }

    /// A new namespace with a folder of its own, for these programs' daemons.
    pub fn host(&self, name: &str, programs: &Programs) -> Result<Host> {
        Host::new(self.netns(name)?, self.dir.join(name), programs.clone())
    }

    /// Leaves everything in place when dropped (interrupts still remove it).
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.prefix);
        }
        state().live.remove(&self.prefix);
    }
}

/// Removes a testbed that was kept, from whichever process.
pub fn remove_kept(prefix: &str) -> Result<()> {
    if !prefix.starts_with(PREFIX) {
        return Err(Error::Missing(format!("{prefix} is not the name of a testbed")));
    }
    remove(prefix);
    Ok(())
}

fn require_privilege() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Error::Missing("network namespaces need root; run this as root (sudo)".to_owned()))
    }
}

/// How long to wait for our turn.
const TURN: Duration = Duration::from_secs(120);

/// One machine, few cores: testbeds that look at the time run alone, by a lock on a file that all of them know.
fn take_turn(sharing: Sharing) -> Result<Option<File>> {
    let operation = match sharing {
        Sharing::Shared => FlockOperation::NonBlockingLockShared,
        Sharing::Alone => FlockOperation::NonBlockingLockExclusive,
        Sharing::Unmanaged => return Ok(None),
    };
    let path = std::env::temp_dir().join("ferroswitch-testbed.lock");
    let what = format!("cannot open {}", path.display());
    let open = File::options().create(true).append(true).open(&path);
    let file = open.map_err(Error::io(what))?;
    let turn = wait::until("our turn", TURN, || flock(&file, operation).is_ok().then_some(()));
    if turn.is_err() {
        // Somebody hangs. Better a disturbed measurement than one more who hangs.
        eprintln!(
            "testbed: {} is still locked after {} s, going on",
            path.display(),
            TURN.as_secs()
        );
    }
    Ok(Some(file))
}

/// Ctrl-C, SIGTERM and a closed terminal remove everything before the process ends.
fn catch_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| {
        outcome = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(Error::io("cannot catch signals"))
            .map(|mut signals| {
                std::thread::spawn(move || {
                    if let Some(signal) = signals.forever().next() {
                        interrupt();
                        std::process::exit(128 + signal);
                    }
                });
            });
    });
    outcome
}

fn interrupt() {
    let live = {
        let mut state = state();
        state.interrupted = true;
        state.live.clone()
    };
    for prefix in &live {
        remove(prefix);
    }
    // A command that was already running may have made one namespace more after we looked.
    std::thread::sleep(Duration::from_millis(50));
    for prefix in &live {
        remove(prefix);
    }
}

/// Removes what processes that no longer exist left behind.
fn sweep() {
    let in_netns = names(Path::new(NETNS_DIR));
    let in_temp = names(&std::env::temp_dir());
    for name in in_netns.chain(in_temp) {
        let mut parts = name.strip_prefix(PREFIX).unwrap_or("").splitn(3, '-');
        let (Some(pid), Some(sequence)) = (parts.next(), parts.next()) else { continue };
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if all_digits(pid)
            && all_digits(sequence)
            && !Path::new("/proc").join(pid).exists()
            && !kept(&name)
        {
            remove(&format!("{PREFIX}{pid}-{sequence}"));
        }
    }
}

/// A kept testbed says so by a file, or the next run would take it for a leftover.
fn kept(name: &str) -> bool {
    let prefix: Vec<&str> = name.splitn(4, '-').take(3).collect();
    std::env::temp_dir().join(prefix.join("-")).join(KEPT).exists()
}

/// The file that marks a kept testbed.
pub const KEPT: &str = "kept";

fn names(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok())
}

fn remove(prefix: &str) {
    let mine = |name: &String| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
    for name in names(Path::new(NETNS_DIR)).filter(mine) {
        kill_inside(&Path::new(NETNS_DIR).join(&name));
        // Not `Cmd`: this must also work after an interrupt has closed the gate.
        let mut ip = Command::new("ip");
        ip.args(["netns", "del", &name]).stdin(Stdio::null()).stderr(Stdio::null());
        let _ = ip.status();
    }
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(prefix));
}

/// Kills every process whose network namespace is this one, and waits until they are gone.
fn kill_inside(netns: &Path) {
    let _ = wait::until("processes in a namespace to end", Duration::from_secs(5), || {
        let pids = inside(netns);
        for &pid in &pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        pids.is_empty().then_some(())
    });
}

fn inside(netns: &Path) -> Vec<Pid> {
    let identity = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok();
    let Some(wanted) = identity(netns) else { return Vec::new() };
    let pids = names(Path::new("/proc")).filter_map(|name| name.parse::<i32>().ok());
    // Our own threads enter namespaces, our process never does.
    let others = pids.filter(|&pid| u32::try_from(pid) != Ok(std::process::id()));
    let there =
        others.filter(|pid| identity(Path::new(&format!("/proc/{pid}/ns/net"))) == Some(wanted));
    there.filter_map(Pid::from_raw).collect()
}
