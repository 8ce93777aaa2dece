//! What is beneath tunnels: routes, links, how much fits.

mod ecmp;
mod host;
mod mtu;
mod rules;
