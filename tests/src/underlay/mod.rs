//! What is beneath tunnels: routes, links, how much fits.

mod ecmp;
mod mtu;
mod rules;
