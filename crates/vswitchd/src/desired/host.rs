//! Ports that are interfaces of the host, as the database asks for them.

use netdev::HostOptions;
use vswitch_schema::tables;

use super::InterfaceKind;

/// A port of type system, internal or tap, unless its options make no sense.
pub(super) fn device(row: &tables::Interface) -> InterfaceKind {
    let of_system = || HostOptions::of_system(&row.options).map(InterfaceKind::System);
    let of_tap = |kind: fn(HostOptions) -> _| HostOptions::of_tap(&row.options).map(kind);
    let kind = match row.kind.as_str() {
        "internal" => of_tap(InterfaceKind::Internal),
        "tap" => of_tap(InterfaceKind::Tap),
        _ => of_system(),
    };
    kind.unwrap_or_else(|why| InterfaceKind::Refused(format!("{}: {why}", row.name)))
}
