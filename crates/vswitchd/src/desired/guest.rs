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
    let retries = row.options.get("tx-retries-max").filter(|text| {
        settings::check("Interface", "options", "tx-retries-max", text, &row.kind).is_ok()
    });
    let options = [("vhost-server-path", path.filter(|_| client)), ("tx-retries-max", retries)];
    let options = options.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?.clone())));
    InterfaceKind::VhostUser { client, options: options.collect() }
}
