//! Versions: Open vSwitch's, whose behaviour we have, and our own.

/// The version of Open vSwitch whose commands, schema, protocols and texts these programs have.
pub const OVS_VERSION: &str = "4.0.0";

/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The line by which scripts recognise a program: `ovs-vswitchd (Open vSwitch) 4.0.0`.
pub fn line(program: &str) -> String {
    format!("{program} (Open vSwitch) {OVS_VERSION}")
}

/// What `--version` prints: that line and who we really are. Ends in a newline.
pub fn text(program: &str) -> String {
    format!("{}\nferroswitch {VERSION}\n", line(program))
}
