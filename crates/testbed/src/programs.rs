//! Which programs a host runs: ours or the reference's.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Whose programs they are. Some claims ("better than") are made for ours alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// ferroswitch.
    Ours,
    /// Open vSwitch as Debian packages it.
    Reference,
}

/// A set of programs with Open vSwitch's names.
#[derive(Clone, Debug)]
pub struct Programs {
    maker: Maker,
    dirs: Vec<PathBuf>,
}

/// Where Debian puts the switch with DPDK.
pub const DPDK_SWITCH: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";

/// The variable that says which programs to test: a folder, or `reference`.
pub const VARIABLE: &str = "FERROSWITCH_BIN";

impl Programs {
    /// The programs to test: those of [`VARIABLE`], else those that lie where this program or its test was built.
    pub fn under_test() -> Result<Self> {
        match std::env::var_os(VARIABLE) {
            Some(value) if value == "reference" => Self::reference(),
            Some(dir) => Self::ours(PathBuf::from(dir)),
            None => Self::beside_this(),
        }
    }

    /// Our programs from the folder of this executable (of its parent, when that is cargo's `deps`).
    pub fn beside_this() -> Result<Self> {
        let exe = std::env::current_exe().map_err(Error::io("cannot find this executable"))?;
        let dir = exe.parent().unwrap_or(Path::new("/"));
        let is_deps = dir.file_name().is_some_and(|n| n == "deps");
        Self::ours(if is_deps { dir.parent().unwrap_or(dir) } else { dir }.to_owned())
    }

    /// Our programs from this folder.
    pub fn ours(dir: PathBuf) -> Result<Self> {
        let programs = Self { maker: Maker::Ours, dirs: vec![dir] };
        for name in ["ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl", "ovsdb-tool"] {
            programs
                .find(name)
                .map_err(|e| Error::Missing(format!("{e}; build them all first: `cargo build`")))?;
        }
        Ok(programs)
    }

    /// Debian's Open vSwitch.
    pub fn reference() -> Result<Self> {
        let dirs = ["/usr/bin", "/usr/sbin"].map(PathBuf::from).to_vec();
        let programs = Self { maker: Maker::Reference, dirs };
        for name in ["ovsdb-server", "ovs-vswitchd", "ovs-vsctl"] {
            let hint = |e| {
                Error::Missing(format!(
                    "{e}; the peer to compare with is Debian's package openvswitch-switch"
                ))
            };
            programs.find(name).map_err(hint)?;
        }
        Ok(programs)
    }

    /// Debian's Open vSwitch with DPDK. Its switch has a name and folder of its own, so `links`, an existing folder, gets a link to
    /// it that is called as usual.
    pub fn reference_with_dpdk(links: &Path) -> Result<Self> {
        let mut programs = Self::reference()?;
        let switch = Path::new(DPDK_SWITCH);
        if !switch.exists() {
            return Err(Error::Missing(format!(
                "there is no {DPDK_SWITCH}; it is in Debian's package openvswitch-switch-dpdk"
            )));
        }
        let link = links.join("ovs-vswitchd");
        let what = format!("cannot make {}", link.display());
        std::os::unix::fs::symlink(switch, link).map_err(Error::io(what))?;
        programs.dirs.insert(0, links.to_owned());
        Ok(programs)
    }

    /// No programs at all: for a host where the kernel switches.
    pub fn none() -> Self {
        Self { maker: Maker::Reference, dirs: Vec::new() }
    }

    /// Whose they are.
    pub fn maker(&self) -> Maker {
        self.maker
    }

    /// Whether they are ours.
    pub fn are_ours(&self) -> bool {
        self.maker == Maker::Ours
    }

    /// The path of one of them.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        let here = self.dirs.iter().map(|d| d.join(name)).find(|p| p.exists());
        here.ok_or_else(|| {
            let dirs: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
            Error::Missing(format!("there is no {name} in {}", dirs.join(" or ")))
        })
    }

    /// A PATH that finds them first and the system's programs (`ip`, `sh`) after.
    pub fn path(&self) -> String {
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.folders())
    }

    /// The folders they lie in, joined by colons.
    pub fn folders(&self) -> String {
        let dirs: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
        dirs.join(":")
    }
}
