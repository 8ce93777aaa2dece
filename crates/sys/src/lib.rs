//! Unsafe code of the project, but for guests' memory (`vhost`): thin safe wrappers around system calls that no well-kept crate wraps.
//!
//! Every wrapper takes and returns plain values, is safe for any argument, and says at its `unsafe` block why. Policy (what to
//! open, when to retry, what to count) is not here but in the crates that call.

pub mod affinity;
pub mod alloc;
pub mod block;
pub mod bpf;
pub mod cycles;
pub mod daemon;
pub mod ethtool;
pub mod ifreq;
mod mapping;
pub mod mmsg;
pub mod netlink;
pub mod packet_socket;
pub mod prefetch;
pub mod tun;
pub mod udp_segment;
pub mod xdp;
