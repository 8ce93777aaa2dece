//! What is beneath tunnels: routes, links, how much fits.

mod bridges;
mod ecmp;
mod host;
mod kept;
mod mtu;
mod page;
mod rules;
