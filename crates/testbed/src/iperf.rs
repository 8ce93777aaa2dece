//! TCP throughput by iperf3, where it is installed.

use std::time::Duration;

use jsonrpc::Json;

use crate::{Error, Guest, Result, wait};

/// iperf3's usual port.
const PORT: u16 = 5201;

/// Runs one TCP stream from one guest to another (`reverse`: the other way, over a connection opened the same way), after a
/// second of warming up. Answers with the receiver's bit/s.
pub fn tcp(from: &Guest, to: &Guest, seconds: u32, reverse: bool) -> Result<f64> {
    let log = std::env::temp_dir().join(format!("{}-iperf3.log", to.ns.name()));
    let mut server = to.ns.cmd(["iperf3", "-s", "-1", "-p", &PORT.to_string()]).spawn(&log)?;
    wait::until("iperf3 to listen", Duration::from_secs(5), || to.ns.listens(PORT).then_some(()))?;
    let address = to.address.to_string();
    let mut client =
        from.ns.cmd(["iperf3", "-c", &address, "-J", "-O", "1", "--connect-timeout", "3000"]);
    client = client
        .args(["-t", &seconds.to_string()])
        .limit(Duration::from_secs(u64::from(seconds) + 15));
    if reverse {
        client = client.args(["-R"]);
    }
    let output = client.output();
    let _ = server.signal(rustix::process::Signal::KILL);
    let _ = std::fs::remove_file(&log);
    received(&output?.stdout)
}

fn received(report: &str) -> Result<f64> {
    let failed = |why: &str| Error::Missing(format!("iperf3: {why}"));
    let json = Json::parse(report)
        .map_err(|e| failed(&format!("its report is no JSON ({e}): {report}")))?;
    if let Some(error) = json.get("error").and_then(Json::as_str) {
        return Err(failed(error));
    }
    let rate = json
        .get("end")
        .and_then(|end| end.get("sum_received"))
        .and_then(|sum| sum.get("bits_per_second"));
    rate.and_then(Json::as_f64).ok_or_else(|| failed("its report has no rate"))
}
