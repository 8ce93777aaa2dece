//! Who may talk to the switch, and how.

use super::{choice, table};
use crate::column::StringMap;

choice! {
    /// What a controller is for.
    ControllerKind {
        /// It decides what the bridge does.
        Primary = "primary",
        /// It serves the operator, as ovs-ofctl does.
        Service = "service",
    }
}

choice! {
    /// Whether the connection runs through the bridge that it controls.
    ConnectionMode {
        /// It does.
        InBand = "in-band",
        /// It has its own way.
        OutOfBand = "out-of-band",
    }
}

choice! {
    /// The OpenFlow role of a controller.
    Role {
        /// Full access, like others.
        Other = "other",
        /// Full access; the only one that has it.
        Master = "master",
        /// Read-only access.
        Slave = "slave",
    }
}

table! {
    /// An OpenFlow controller.
    Controller = "Controller";

    /// What it is for.
    kind as "type": Option<ControllerKind>;
    /// Where it is, or where to listen for it: `tcp:`, `ssl:`, `unix:`, `ptcp:`, `pssl:`, `punix:`.
    target: String;
    /// Longest wait between attempts to connect, in milliseconds.
    max_backoff: Option<i64>, at_least(1000);
    /// Milliseconds of silence before the connection is probed; 0 means never.
    inactivity_probe: Option<i64>;
    /// Whether the connection runs through the bridge.
    connection_mode: Option<ConnectionMode>;
    /// Address of the local port for an in-band connection.
    local_ip: Option<String>;
    /// Its netmask.
    local_netmask: Option<String>;
    /// Its gateway.
    local_gateway: Option<String>;
    /// Send packets, port changes and expiries unasked.
    enable_async_messages: Option<bool>;
    /// Most packets to keep for this controller.
    controller_queue_size: Option<i64>, range(1, 512);
    /// Most packets per second to send to this controller.
    controller_rate_limit: Option<i64>, at_least(100);
    /// Burst beyond that.
    controller_burst_limit: Option<i64>, at_least(25);
    /// Settings.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
    /// Whether it is connected.
    is_connected: bool, ephemeral;
    /// Its OpenFlow role.
    role: Option<Role>, ephemeral;
    /// State of the connection.
    status: StringMap, ephemeral;
}

table! {
    /// A database client that the server connects to, or an address it listens on.
    Manager = "Manager", index(&["target"]);

    /// Where it is: `tcp:`, `ssl:`, `unix:`, `ptcp:`, `pssl:`, `punix:`.
    target: String;
    /// Longest wait between attempts to connect, in milliseconds.
    max_backoff: Option<i64>, at_least(1000);
    /// Milliseconds of silence before the connection is probed; 0 means never.
    inactivity_probe: Option<i64>;
    /// Whether the connection runs through a bridge.
    connection_mode: Option<ConnectionMode>;
    /// Settings.
    other_config: StringMap;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
    /// Whether someone is connected.
    is_connected: bool, ephemeral;
    /// State of the connection.
    status: StringMap, ephemeral;
}

table! {
    /// Keys and certificates for TLS.
    Ssl = "SSL", single;

    /// File with the private key.
    private_key: String;
    /// File with the certificate of that key.
    certificate: String;
    /// File with the certificate authority to trust.
    ca_cert: String;
    /// Take the authority's certificate from the first peer if the file is missing.
    bootstrap_ca_cert: bool;
    /// Identifiers that other programs keep here.
    external_ids: StringMap;
}
