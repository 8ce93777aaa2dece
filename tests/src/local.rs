//! Guests of one host (what people report first): TCP over veth and tap, with the kernel's defaults and without offloads.

use testbed::guest::Wire;

use crate::support::{OneBridge, ok, ours};

/// Test A. The guests' kernels leave checksums and segmentation to be finished by somebody.
#[test]
fn guests_at_the_kernels_defaults_reach_each_other() {
    if ours() {
        OneBridge::build(2).assert_connected();
    }
}

/// Test B.
#[test]
fn guests_without_offloads_reach_each_other() {
    let net = OneBridge::build(2);
    for guest in &net.guests {
        ok(guest.offloads_off());
    }
    net.assert_connected();
}

/// One side finishes nothing, the other accepts nothing unfinished.
#[test]
fn guests_of_every_kind_reach_each_other() {
    if ours() {
        OneBridge::of(&[Wire::Veth, Wire::Virtio, Wire::PlainTap]).assert_connected();
    }
}
