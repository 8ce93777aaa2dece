//! Ports of guests, as the database asks for them.

use vswitch_schema::{settings, tables};

use super::InterfaceKind;

/// A guest's port. Options that make no sense are left out, with the row saying so.
pub(super) fn vhost_user(row: &tables::Interface, client: bool) -> InterfaceKind {
    let path = row.options.get("vhost-server-path").filter(|path| !path.is_empty());
    if client && path.is_none() {
        return InterfaceKind::Refused(format!(
            "{}: options:vhost-server-path must say where the hypervisor listens",
            row.name
        ));
    }
    let checked = |key: &'static str| {
        let is_fine =
            |text: &&String| settings::check("Interface", "options", key, text, &row.kind).is_ok();
        (key, row.options.get(key).filter(is_fine))
    };
    let options = [
        ("vhost-server-path", path.filter(|_| client)),
        checked("tx-retries-max"),
        checked("vhost-max-queue-pairs"),
        checked("huge-pages"),
    ];
    let options = options.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?.clone())));
    InterfaceKind::VhostUser { client, options: options.collect() }
}
