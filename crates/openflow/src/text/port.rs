//! Ports as people write them, with a word in the log about numbers that mean something else elsewhere.

use crate::Port;

/// Reads a number or a reserved name. Whoever writes a reserved port as OpenFlow 1.0's number is told: later versions have others.
pub(super) fn read(text: &str) -> Option<Port> {
    let port = Port::parse(text);
    if let Some(warning) = warning(text, port) {
        log::warn!(target: "ofp_port", "{warning}");
    }
    port
}

fn warning(text: &str, port: Option<Port>) -> Option<String> {
    let number: i64 = text.parse().ok()?;
    match port {
        None if number < 0 => Some(format!("Negative value {number} is not a valid port number.")),
        None => Some(format!(
            "port {number} is outside the supported range 0 through ffff or 0xffffff00 through 0xffffffff"
        )),
        Some(port) if i64::from(port.0) != number || port < Port::MAX => None,
        Some(port) if port.has_name() => Some(format!(
            "referring to port {port} as {number} is deprecated for compatibility with OpenFlow 1.1 and later"
        )),
        Some(port) => Some(format!(
            "port {number} is a reserved OF1.0 port number that will be translated to {} when talking to an OF1.1 or later controller",
            port.to_wire32()
        )),
    }
}

#[test]
fn numbers_of_old_are_told() {
    let told = |text: &str| warning(text, Port::parse(text)).unwrap_or_default();
    assert!(told("65534").starts_with("referring to port LOCAL as 65534 is deprecated"));
    assert!(told("65280").contains("translated to 4294967040"));
    assert!(told("70000").starts_with("port 70000 is outside"));
    assert!(told("-1").starts_with("Negative value -1"));
    for fine in ["1", "65279", "LOCAL", "4294967294", "p1", ""] {
        assert_eq!(told(fine), "", "{fine}");
    }
}
