//! Opening devices by type and name, with errors that say what is wrong and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use base::Clock;
use rustix::io::Errno;
use sys::xdp::Umems;

use crate::Device;
use crate::afxdp::{self, Afxdp};
use crate::common::{Unopened, strerror};
use crate::dpdk;
use crate::dummy::{self, Dummy};
use crate::host::{self, Host, Queues};
use crate::system::System;
use crate::tap::Tap;
use crate::vhost_user::{self, Mode, Notify, VhostUser};

/// A type of device, as in the Interface table's `type` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An interface of the host: "system", or nothing.
    System,
    /// A tap of ours.
    Tap,
    /// A tap that stands for a bridge, or for a port of the host on it.
    Internal,
    /// A dummy.
    Dummy,
    /// A dummy with as many receive queues as asked for.
    DummyPmd,
    /// A dummy that stands for a bridge.
    DummyInternal,
    /// An interface of the host, by AF_XDP.
    Afxdp,
    /// The same by its other name; the reference does not poll it.
    AfxdpNonpmd,
    /// A device that DPDK drives.
    Dpdk,
    /// A guest by vhost-user; the switch listens.
    VhostUser,
    /// A guest by vhost-user; its hypervisor listens.
    VhostUserClient,
}

/// The names of the types, in the order of `iface_types`.
const NAMES: [(&str, Kind); 12] = [
    ("dpdk", Kind::Dpdk),
    ("afxdp", Kind::Afxdp),
    ("afxdp-nonpmd", Kind::AfxdpNonpmd),
    ("", Kind::System),
    ("system", Kind::System),
    ("tap", Kind::Tap),
    ("internal", Kind::Internal),
    ("dummy", Kind::Dummy),
    ("dummy-pmd", Kind::DummyPmd),
    ("dummy-internal", Kind::DummyInternal),
    ("dpdkvhostuser", Kind::VhostUser),
    ("dpdkvhostuserclient", Kind::VhostUserClient),
];

impl FromStr for Kind {
    type Err = ();

    /// `Err` for what is no type of device here: a virtual port's type, or nonsense.
    fn from_str(name: &str) -> Result<Self, ()> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind).ok_or(())
    }
}

/// Opens the devices of one switch.
pub struct Opener {
    clock: Clock,
    /// How many dummies have been given an address.
    dummies: AtomicU32,
    /// What AF_XDP ports share.
    umems: Umems,
    persistent_taps: bool,
    /// What came of starting DPDK.
    dpdk: OnceLock<Result<String, String>>,
    socket_dir: PathBuf,
    notify: Notify,
}

impl Opener {
    /// An opener whose capture files have that clock's time.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            dummies: AtomicU32::new(0),
            umems: Umems::default(),
            persistent_taps: false,
            socket_dir: PathBuf::new(),
            dpdk: OnceLock::new(),
            notify: Arc::new(|_| ()),
        }
    }

    /// Makes taps and internal devices that outlive the process, until they are released.
    #[must_use]
    pub fn with_persistent_taps(self) -> Self {
        Self { persistent_taps: true, ..self }
    }

    /// Says where sockets for guests are made (at first: in the working directory), for devices opened from now on.
    pub fn set_socket_dir(&mut self, dir: PathBuf) {
        self.socket_dir = dir;
    }

    /// Has this called, from any thread, with the name of a device whose link changed, if the kernel does not tell of it. For
    /// devices opened from now on.
    pub fn on_change(&mut self, notify: Notify) {
        self.notify = notify;
    }

    /// The next dummy's hardware address, aa:55:aa:55:00:00 first. The reference spends the first on its datapath's own port.
    pub fn next_dummy_mac(&self) -> [u8; 6] {
        let [.., high, low] = self.dummies.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        [0xaa, 0x55, 0xaa, 0x55, high, low]
    }

    /// Opens a device. `options` is the Interface row's column of that name; checking its keys is not done here.
    pub fn open(
        &self,
        kind: Kind,
        name: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn Device>, OpenError> {
        let refused = |why| OpenError::text(name, why);
        Ok(match kind {
            Kind::System => {
                let options = host::Options::of_system(options).map_err(refused)?;
                self.open_system(name, &options, Queues::ONE)?
            }
            Kind::Tap | Kind::Internal => {
                let options = host::Options::of_tap(options).map_err(refused)?;
                self.open_tap(kind, name, &options)?
            }
            Kind::Dummy => Arc::new(self.dummy(name, "dummy", options)?),
            Kind::DummyPmd => Arc::new(self.dummy(name, "dummy-pmd", options)?),
            Kind::DummyInternal => Arc::new(self.dummy(name, "dummy-internal", options)?),
            Kind::Dpdk => {
                let options = dpdk::Options::parse(options).map_err(refused)?;
                self.open_dpdk(name, &options)?
            }
            Kind::Afxdp | Kind::AfxdpNonpmd => {
                let options = afxdp::Options::parse(options).map_err(refused)?;
                self.open_afxdp(kind, name, &options)?
            }
            Kind::VhostUser => Arc::new(self.vhost_user(name, Mode::Server, options)?),
            Kind::VhostUserClient => Arc::new(self.vhost_user(name, Mode::Client, options)?),
        })
    }

    /// Opens a device of type system with options that were parsed before. `queues`: how many it is to have if they do not say.
    pub fn open_system(
        &self,
        name: &str,
        options: &host::Options,
        queues: Queues,
    ) -> Result<Arc<dyn Device>, OpenError> {
        opened(Kind::System, name, System::open(name, options, queues))
    }

    /// Opens an interface whose address stays with the host, for tunnels at these UDP ports.
    pub fn open_underlay(
        &self,
        name: &str,
        ports: &BTreeSet<u16>,
    ) -> Result<Arc<dyn Device>, OpenError> {
        opened(Kind::System, name, System::open_underlay(name, ports))
    }

    /// Opens a device of type tap or internal with options that were parsed before.
    pub fn open_tap(
        &self,
        kind: Kind,
        name: &str,
        options: &host::Options,
    ) -> Result<Arc<dyn Device>, OpenError> {
        opened(kind, name, Tap::open(name, options, self.persistent_taps))
    }

    /// Opens a device of type afxdp or afxdp-nonpmd with options that were parsed before.
    pub fn open_afxdp(
        &self,
        kind: Kind,
        name: &str,
        options: &afxdp::Options,
    ) -> Result<Arc<dyn Device>, OpenError> {
        let kind_name = if kind == Kind::AfxdpNonpmd { "afxdp-nonpmd" } else { "afxdp" };
        opened(kind, name, Afxdp::open(kind_name, name, options, &self.umems))
    }

    /// Opens a device of type dpdk with options that were parsed before.
    #[cfg(feature = "dpdk")]
    pub fn open_dpdk(
        &self,
        name: &str,
        options: &dpdk::Options,
    ) -> Result<Arc<dyn Device>, OpenError> {
        match self.dpdk.get() {
            Some(Ok(_)) => {}
            Some(Err(why)) => return Err(OpenError::text(name, why)),
            None => {
                let first = "`ovs-vsctl set Open_vSwitch . other_config:dpdk-init=true` first";
                return Err(OpenError::text(name, format_args!("DPDK is not started; {first}")));
            }
        }
        match dpdk::Dpdk::open(name, options) {
            Ok(device) => Ok(Arc::new(device)),
            Err(error) => {
                let (device, words) = (&options.devargs, strerror(&error));
                let more = "what DPDK says of it is on the switch's standard error";
                Err(OpenError::text(name, format_args!("{device}: {words}; {more}")))
            }
        }
    }

    /// Says that this build cannot.
    #[cfg(not(feature = "dpdk"))]
    pub fn open_dpdk(&self, name: &str, _: &dpdk::Options) -> Result<Arc<dyn Device>, OpenError> {
        Err(OpenError::text(name, dpdk::ABSENT))
    }

    /// Starts DPDK by the settings in `other_config` of the Open_vSwitch row, once: what came of it then is the answer ever
    /// after.
    pub fn start_dpdk(&self, config: &BTreeMap<String, String>) -> &Result<String, String> {
        self.dpdk.get_or_init(|| dpdk::start(config))
    }

    /// DPDK's version, if it runs.
    pub fn dpdk_version(&self) -> Option<&str> {
        self.dpdk.get()?.as_ref().ok().map(String::as_str)
    }

    fn vhost_user(
        &self,
        name: &str,
        mode: Mode,
        options: &BTreeMap<String, String>,
    ) -> Result<VhostUser, OpenError> {
        let path = match mode {
            Mode::Server if name.contains('/') => {
                let why = "its name is that of a socket, and cannot contain a slash";
                return Err(OpenError::text(name, why));
            }
            Mode::Server => self.socket_dir.join(name),
            Mode::Client => match options.get("vhost-server-path").filter(|p| !p.is_empty()) {
                Some(path) => PathBuf::from(path),
                None => {
                    let why = "options:vhost-server-path must say where the hypervisor listens";
                    return Err(OpenError::text(name, why));
                }
            },
        };
        let retries =
            vhost_user::read_retries(options).map_err(|why| OpenError::text(name, why))?;
        let pairs = vhost_user::read_pairs(options).map_err(|why| OpenError::text(name, why))?;
        let huge_pages =
            vhost_user::read_huge_pages(options).map_err(|why| OpenError::text(name, why))?;
        let config = vhost_user::Config { mode, path, retries, pairs, huge_pages };
        VhostUser::open(name, config, random_mac(), &self.clock, self.notify.clone())
            .map_err(|error| OpenError::text(name, strerror(&error)))
    }

    fn dummy(
        &self,
        name: &str,
        kind: &'static str,
        options: &BTreeMap<String, String>,
    ) -> Result<Dummy, OpenError> {
        let options =
            dummy::Options::parse(options).map_err(|reason| OpenError::text(name, reason))?;
        Dummy::new(name, kind, self.next_dummy_mac(), &options, &self.clock)
            .map_err(|error| OpenError::text(name, strerror(&error)))
    }
}

fn opened<D: Device + 'static>(
    kind: Kind,
    name: &str,
    outcome: Result<D, Unopened>,
) -> Result<Arc<dyn Device>, OpenError> {
    match outcome {
        Ok(device) => Ok(Arc::new(device)),
        Err(Unopened::Host(error)) => Err(OpenError::new(kind, name, error)),
        Err(Unopened::Refused(why)) => Err(OpenError::text(name, why)),
    }
}

/// An address for a device that nobody gave one: locally administered, and hardly anybody else's.
fn random_mac() -> [u8; 6] {
    use std::hash::{BuildHasher, RandomState};
    let [a, b, c, d, e, f, ..] = RandomState::new().hash_one(0).to_be_bytes();
    [(a & 0xfc) | 0x02, b, c, d, e, f]
}

/// Why a device could not be opened. Displayed, it is the text for the Interface row's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    text: String,
    /// There is no interface of that name (any more): worth trying again when one appears.
    pub missing: bool,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    fn text(name: &str, reason: impl fmt::Display) -> Self {
        Self { text: format!("could not open network device {name} ({reason})"), missing: false }
    }

    fn new(kind: Kind, name: &str, error: io::Error) -> Self {
        let errno = Errno::from_io_error(&error);
        if kind == Kind::System && name == "lo" && errno == Some(Errno::INVAL) {
            // The reference opens it and then finds that it cannot use it.
            let text = format!("could not add network device {name} to ofproto (Invalid argument)");
            return Self { text, missing: false };
        }
        let words = strerror(&error);
        match advice(kind, name, errno) {
            Some(advice) => Self::text(name, format_args!("{words}: {advice}")),
            None => Self { missing: errno == Some(Errno::NODEV), ..Self::text(name, words) },
        }
    }
}

/// What to do about an error.
fn advice(kind: Kind, name: &str, errno: Option<Errno>) -> Option<&'static str> {
    let tap = matches!(kind, Kind::Tap | Kind::Internal);
    let afxdp = matches!(kind, Kind::Afxdp | Kind::AfxdpNonpmd);
    match errno? {
        Errno::PERM | Errno::ACCESS if tap => {
            Some("making a tap needs CAP_NET_ADMIN and access to /dev/net/tun")
        }
        Errno::PERM | Errno::ACCESS if afxdp => Some("AF_XDP needs CAP_NET_ADMIN and CAP_NET_RAW"),
        Errno::PERM | Errno::ACCESS => Some("a packet socket needs CAP_NET_RAW"),
        Errno::NOENT if tap => Some("there is no /dev/net/tun; load the kernel module tun"),
        Errno::BUSY if tap => {
            Some("another process holds this tap; to attach to its host side, use type=system")
        }
        Errno::INVAL if tap && Host::find(name).is_ok() => Some(
            "an interface of that name exists and is not a tap; use type=system, or another name",
        ),
        Errno::INVAL if !tap => Some("it is not an Ethernet interface"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(kind: Kind, name: &str, options: &[(&str, &str)]) -> Result<Arc<dyn Device>, String> {
        let options = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Opener::new(Clock::real()).open(kind, name, &options).map_err(|e| e.to_string())
    }

    #[test]
    fn errors_are_the_reference_s_or_better() {
        let text = |kind, name: &str| open(kind, name, &[]).err().unwrap();
        assert_eq!(
            text(Kind::System, "no-such0"),
            "could not open network device no-such0 (No such device)"
        );
        let long = "averyveryverylongname";
        assert_eq!(
            text(Kind::System, long),
            format!("could not open network device {long} (No such device)")
        );
        assert_eq!(
            text(Kind::System, "lo"),
            "could not add network device lo to ofproto (Invalid argument)"
        );
        let bad = open(Kind::Dummy, "d", &[("stream", "foo:bar")]).err().unwrap();
        assert!(bad.starts_with("could not open network device d (stream=foo:bar: "), "{bad}");
        let bad = open(Kind::Dummy, "d", &[("pcap", "/no/such/dir/x")]).err().unwrap();
        assert_eq!(bad, "could not open network device d (No such file or directory)");
    }

    #[test]
    fn dummies_are_numbered() {
        let opener = Opener::new(Clock::real());
        let mac = |kind| opener.open(kind, "d", &BTreeMap::new()).unwrap().status().unwrap().mac;
        assert_eq!(mac(Kind::Dummy), [0xaa, 0x55, 0xaa, 0x55, 0, 0]);
        assert_eq!(mac(Kind::DummyInternal), [0xaa, 0x55, 0xaa, 0x55, 0, 1]);
    }

    #[test]
    fn types_have_names() {
        assert_eq!("".parse(), Ok(Kind::System));
        assert_eq!("internal".parse(), Ok(Kind::Internal));
        assert_eq!("vxlan".parse::<Kind>(), Err(()));
    }
}
