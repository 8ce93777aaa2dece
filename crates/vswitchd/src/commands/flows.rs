//! Flows of the datapath, as text.

use packet::Packet;
use unixctl::Registry;

use crate::daemon::Daemon;

pub(super) fn add(_registry: &mut Registry<Daemon>) {}

/// A packet that has this flow's headers.
pub(super) fn compose(text: &str, _length: Option<usize>) -> Result<Packet, String> {
    Err(format!("{text}: bad flow syntax"))
}
