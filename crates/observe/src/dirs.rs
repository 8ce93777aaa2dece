//! Where files lie: Debian's places, or what the environment says instead.

use std::env;
use std::path::{Path, PathBuf};

fn dir(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).filter(|v| !v.is_empty()).map_or_else(|| default.into(), PathBuf::from)
}

/// Sockets and pidfiles: `OVS_RUNDIR`.
pub fn rundir() -> PathBuf {
    dir("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Log files: `OVS_LOGDIR`.
pub fn logdir() -> PathBuf {
    dir("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Configuration: `OVS_SYSCONFDIR`, in which there is a directory `openvswitch`.
pub fn sysconfdir() -> PathBuf {
    dir("OVS_SYSCONFDIR", "/etc")
}

/// Databases: `OVS_DBDIR`, else `openvswitch` in [`sysconfdir`].
pub fn dbdir() -> PathBuf {
    match env::var_os("OVS_DBDIR").filter(|v| !v.is_empty()) {
        Some(dir) => dir.into(),
        None => sysconfdir().join("openvswitch"),
    }
}

/// Files that come with the package, schemas for instance: `OVS_PKGDATADIR`.
pub fn pkgdatadir() -> PathBuf {
    dir("OVS_PKGDATADIR", "/usr/share/openvswitch")
}

/// The socket that a switch's database server listens on by default, as an endpoint's text.
pub fn default_db_remote() -> String {
    format!("unix:{}", rundir().join("db.sock").display())
}

/// `path` made absolute against the working directory, which a daemon leaves when it detaches.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
