//! OpenFlow end to end: the switch under controllers' and operators' programs.

mod parity;
mod trace;
