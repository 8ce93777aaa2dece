//! Where sockets of guests are (`other_config:vhost-sock-dir`).

use std::path::{Path, PathBuf};

use vswitch_schema::settings::{self, Refusal};

/// The folder that is asked for, below the run directory; an error for what would lead out of it.
pub(super) fn socket_dir(run_dir: &Path, asked: &str) -> Result<PathBuf, Refusal> {
    settings::check("Open_vSwitch", "other_config", "vhost-sock-dir", asked, "")?;
    // A path that begins with a slash would replace the run directory.
    Ok(run_dir.join(asked.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_stay_below_the_run_directory() {
        let dir = |asked: &str| socket_dir(Path::new("/run/ovs"), asked).map_err(|e| e.to_string());
        assert_eq!(dir(""), Ok("/run/ovs/".into()));
        assert_eq!(dir("guests"), Ok("/run/ovs/guests".into()));
        assert_eq!(dir("/var/lib/guests"), Ok("/run/ovs/var/lib/guests".into()));
        assert_eq!(dir("//"), Ok("/run/ovs/".into()));
        for out in ["..", "../tmp", "a/../../tmp", "/../tmp"] {
            let why = dir(out).unwrap_err();
            assert!(why.contains("vhost-sock-dir") && why.contains(out), "{why}");
        }
    }
}
