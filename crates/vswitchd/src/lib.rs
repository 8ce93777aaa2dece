//! The switch daemon: what the database asks for, made to be, and reported back.
//!
//! Data flows one way, each step its own file: rows -> [`desired`] (plain data, checked) -> [`plan`] (the difference, as
//! steps) -> `apply` (devices, ports, tunnels) -> a `pipeline::Snapshot` that the slow path publishes -> `report` (what came
//! of it, written back).

pub mod commands;
pub mod daemon;
pub mod desired;
pub mod kept;
pub mod kernel;
pub mod numbers;
pub mod openflow;
pub mod plan;
pub mod program;
pub mod report;
pub mod rows;
pub mod switch;
