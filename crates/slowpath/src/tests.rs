//! The slow path with a real datapath whose devices are dummies, on a clock that the tests move.

mod barrier;
mod handlers;
mod neighbours;
mod openflow;
mod statistics;
mod steering;
mod versions;
mod world;
