//! Whole machines in miniature, for the tests, the bench and the demo.
//!
//! # What?
//!
//! A [`Testbed`] holds network namespaces and everything that runs in them. A [`Host`] is one of them with a database server
//! and a switch, a [`Guest`] one that plays a virtual machine, a [`guide::TwoSites`] the whole picture of the guide
//! "Connecting VMs Using Tunnels": two hosts, a cable, a guest each. [`probe`] sends real traffic and says what came back.
//!
//! # Why?
//!
//! The same topology has to stand for ferroswitch, for Debian's Open vSwitch and for the kernel's own bridge + vxlan, in
//! tests, in measurements and before a newcomer's eyes. It is built here once; what varies ([`Programs`],
//! [`guide::Flavor`], [`guest::Wire`]) is an argument.
//!
//! # Design
//!
//! - Nothing needs a helper program but iproute2's `ip`: a thread moves itself into a namespace ([`Netns::enter`]) and
//!   opens its sockets and taps there.
//! - Every name starts with a prefix that carries our process id, so runs do not meet, and what a killed run left behind is
//!   known by its dead owner and removed by the next run ([`Testbed::new`]). Dropping the testbed removes everything, and so
//!   do Ctrl-C and SIGTERM.
//! - Waiting is for a condition with a deadline ([`wait::until`]), never for a while.
//! - Nothing here asserts. Functions answer with what happened; the caller judges.

pub mod bed;
pub mod echo;
pub mod exec;
pub mod guest;
pub mod guide;
pub mod host;
pub mod hugepages;
pub mod iperf;
pub mod kernel;
pub mod monitor;
pub mod netns;
#[cfg(feature = "vhost-user")]
pub mod nic;
pub mod pipelines;
pub mod probe;
pub mod process;
pub mod programs;
pub mod python;
pub mod testpmd;
pub mod vm;
pub mod wait;

pub use bed::Testbed;
pub use exec::{Cmd, Output};
pub use guest::Guest;
pub use host::Host;
pub use netns::Netns;
pub use process::Process;
pub use programs::Programs;
pub use testpmd::Testpmd;
pub use vm::Vm;

/// What can go wrong while building or driving a testbed. The text names the object and the operating system's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command ended otherwise than asked for.
    #[error("`{command}` ended with {status}{}", shown(.stderr))]
    Command {
        /// The command line.
        command: String,
        /// Its exit code or signal, in words.
        status: String,
        /// What it printed on standard error.
        stderr: String,
    },
    /// A condition did not come true in time.
    #[error("waited {seconds:.1} s in vain for {what}")]
    Timeout {
        /// The condition, in words.
        what: String,
        /// How long we waited.
        seconds: f64,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What we tried.
        what: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Something needed is not there.
    #[error("{0}")]
    Missing(String),
    /// Ctrl-C or SIGTERM came; everything is being removed.
    #[error("interrupted")]
    Interrupted,
}

fn shown(stderr: &str) -> String {
    let text = stderr.trim_end();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl Error {
    /// An [`Error::Io`] for `what`, to be used with `map_err`.
    pub fn io<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |e| Self::Io { what, source: e.into() }
    }
}

/// The testbed's result.
pub type Result<T> = std::result::Result<T, Error>;
