//! Every tunnel protocol, end to end: traffic between hosts, what each option and each drop shows,
//! and the texts and bytes of headers beside Debian's.

mod drops;
mod floods;
mod hostile;
mod limits;
mod matching;
mod narrow;
mod option_flows;
mod options;
mod page;
mod parity;
mod states;
mod traffic;
mod wire;
mod wrong;
