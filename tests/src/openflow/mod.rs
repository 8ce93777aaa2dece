//! OpenFlow end to end: the switch under controllers' and operators' programs.

mod failover;
mod forward;
mod parity;
mod probes;
mod testcontroller;
mod trace;
