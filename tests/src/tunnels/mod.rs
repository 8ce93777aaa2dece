//! Every tunnel protocol, end to end: traffic between hosts, and the texts and bytes of headers beside Debian's.

mod parity;
mod traffic;
