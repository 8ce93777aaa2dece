//! DPDK's testpmd as a guest of vhost-user ports: fast, and without a virtual machine.
//!
//! It runs without huge pages. Its prompt is typed at, and what it prints is read.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, Netns, Result, bed, wait};

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
const PROMPT: &str = "testpmd> ";

/// A testpmd at its prompt.
#[derive(Debug)]
pub struct Testpmd {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    said: String,
}

/// What it counted on one of its ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub rx_packets: u64,
    pub tx_packets: u64,
}

impl Testpmd {
    /// Starts it in a namespace with these devices (`--vdev`) and further options.
    pub fn start(ns: &Netns, devices: &[String], options: &[&str]) -> Result<Self> {
        let mut command = Command::new("ip");
        // Into a pipe, it would keep what it prints until there is a lot.
        let words = ["netns", "exec", ns.name(), "stdbuf", "-o0", "dpdk-testpmd"];
        command.args(words).args(["--lcores", "0@0,1@0"]);
        command.args(["--no-huge", "--legacy-mem", "-m", "256", "--no-pci", "--no-telemetry"]);
        command.arg(format!("--file-prefix={}", ns.name()));
        command.args(devices.iter().map(|device| format!("--vdev={device}")));
        command.args(["--", "-i", "--nb-cores=1", "--total-num-mbufs=20000", "--no-flush-rx"]);
        command.args(options).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = {
            let _open = bed::spawning()?;
            command.spawn().map_err(Error::io("cannot run dpdk-testpmd"))?
        };
        let missing = || Error::Missing("testpmd's pipes".to_owned());
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let mut testpmd = Self { child, input, output, said: String::new() };
        testpmd.until(PROMPT, START)?;
        Ok(testpmd)
    }

    /// Reads until it prints `mark`; what came before.
    fn until(&mut self, mark: &str, limit: Duration) -> Result<String> {
        let deadline = wait::now() + limit;
        loop {
            if let Some(at) = self.said.find(mark) {
                let before = self.said[..at].to_owned();
                self.said.drain(..at + mark.len());
                return Ok(before);
            }
            let left = Timespec::try_from(deadline.since(wait::now())).ok();
            let ready = poll(&mut [PollFd::new(&self.output, PollFlags::IN)], left.as_ref());
            let mut bytes = [0; 8192];
            match ready.map(|n| if n > 0 { self.output.read(&mut bytes).unwrap_or(0) } else { 0 }) {
                Ok(n) if n > 0 => self.said.push_str(&String::from_utf8_lossy(&bytes[..n])),
                _ => {
                    let said = &self.said;
                    return Err(Error::Missing(format!("testpmd did not print {mark:?}: {said}")));
                }
            }
        }
    }

    /// Types a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let bytes = format!("{line}\n");
        self.input
            .write_all(bytes.as_bytes())
            .map_err(Error::io(format!("cannot tell testpmd {line}")))
    }

    /// Stops it, and lets it go on.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let sent = pid.map_or(Ok(()), |pid| kill_process(pid, signal));
        sent.map_err(|e| Error::Io { what: "cannot signal testpmd".to_owned(), source: e.into() })
    }

    /// What it has counted, by port: so many of them.
    pub fn counts<const PORTS: usize>(&mut self) -> Result<[Counts; PORTS]> {
        self.input
            .write_all(b"show port stats all\n")
            .map_err(Error::io("cannot ask testpmd for its counts"))?;
        let mut all = [Counts::default(); PORTS];
        for (n, counts) in all.iter_mut().enumerate() {
            self.until(&format!("NIC statistics for port {n}"), START)?;
            let text = self.until("Throughput", START)?;
            let number = |key: &str| {
                let (_, rest) = text.split_once(key)?;
                rest.split_whitespace().next()?.parse().ok()
            };
            let missing = || Error::Missing(format!("testpmd's counts of port {n}: {text}"));
            counts.rx_packets = number("RX-packets:").ok_or_else(missing)?;
            counts.tx_packets = number("TX-packets:").ok_or_else(missing)?;
        }
        Ok(all)
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.input.write_all(b"quit\n");
        let ends = || matches!(self.child.try_wait(), Ok(Some(_))).then_some(());
        if wait::until("testpmd to end", Duration::from_secs(5), ends).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
