//! Translations of small topologies, compared with what Open vSwitch does with the same.

mod beyond;
mod bounds;
mod causes;
mod changes;
mod guide;
mod in_band;
mod labels;
mod memory;
mod options;
mod outcome;
mod pipelines;
mod property;
mod recorded;
mod traces;
mod vlan;
mod ways;
mod world;
