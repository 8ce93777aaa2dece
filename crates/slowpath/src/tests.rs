//! The slow path with a real datapath whose devices are dummies, on a clock that the tests move.

mod barrier;
mod fragments;
mod handlers;
mod neighbours;
mod openflow;
mod path_mtu;
mod statistics;
mod steering;
mod versions;
mod world;
