//! End to end: the real programs, real packets, in network namespaces. All of these tests need root and say so.
//!
//! `FERROSWITCH_BIN` chooses the programs: a folder, or `reference` for Debian's Open vSwitch, which then has to pass what
//! any Open vSwitch must; what ours must do better is not asked of it. Without the variable, the programs built with the
//! tests are taken.

#![cfg(test)]

mod afxdp;
mod bond;
mod bridge;
mod clients;
mod conformance;
mod controllers;
mod dpdk;
mod frames;
mod guide;
mod in_band;
mod interop;
mod jumps;
mod local;
mod migration;
mod misuse;
mod ofctl;
mod offload;
mod openflow;
mod order;
mod ovn;
mod pairs;
mod parity;
mod ports;
mod restart;
mod support;
mod tls;
mod tunnel_state;
mod tunnels;
mod underlay;
mod user;
mod vhost;
