//! The peer from memory to memory: Open vSwitch with DPDK, between devices that have no hardware.
//!
//! Its frames come from `net_pcap` with `infinite_rx`, which reads a file once and then copies the same frames out of memory
//! for ever, as our own source does; they end in `net_null`. (As a source, `net_null` gives frames of zeros, which are not
//! even IP.) So every scenario of ours has its counterpart with the same frames. It gets huge pages, a processor for its
//! worker, and flows that the measurement has not to wait for.

use std::fs::File;
use std::io::BufWriter;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use packet::pcap::Writer;
use testbed::bed::Sharing;
use testbed::{Error, Host, Programs, Result, Testbed, wait};

/// Memory for DPDK, in MiB.
const MEMORY: u64 = 512;
/// How long it may take to become ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happens to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// One flow forwards them all.
    OneFlow,
    /// Each connection has a flow of its own.
    FlowEach,
    /// They enter a tunnel.
    Push,
    /// They leave one.
    Pop,
}

/// The peer, ready to be given packets. Fields drop in order: the testbed after what runs in it.
pub(crate) struct Peer {
    host: Host,
    bed: Testbed,
}

/// How to have DPDK in a switch that is not started yet, with a worker on the last processor.
pub(crate) fn settings(prefix: &str, pages: bool) -> String {
    let memory = if pages {
        format!("--socket-mem={MEMORY}")
    } else {
        eprintln!("  without huge pages, which slows Open vSwitch with DPDK down");
        format!("--no-huge --legacy-mem -m {MEMORY}")
    };
    let extra = format!("{memory} --no-pci --file-prefix={prefix}");
    format!(
        "ovs-vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:per-port-memory=true \
         {} other_config:dpdk-extra=\"{extra}\"",
        on_last_processor()
    )
}

/// The setting for one worker, on the last processor.
pub(crate) fn on_last_processor() -> String {
    let last = std::thread::available_parallelism().map_or(0, |n| n.get() - 1).min(63);
    format!("other_config:pmd-cpu-mask={:#x}", 1u64 << last)
}

impl Peer {
    /// Starts it, with a worker on the last processor.
    pub(crate) fn start() -> Result<Self> {
        let bed = Testbed::new(Sharing::Alone)?;
        let links = bed.dir().join("dpdk");
        std::fs::create_dir_all(&links).map_err(Error::io("cannot make a folder"))?;
        let mut host = bed.host("memory", &Programs::reference_with_dpdk(&links)?)?;
        host.start_database(&[])?;
        let pages = HugePages::allow();
        host.shell(&settings(bed.prefix(), pages.is_some())).ok()?;
        host.start_switch(&[])?;
        let is_ready =
            || host.vsctl("get Open_vSwitch . dpdk_initialized").is_ok_and(|t| t.trim() == "true");
        if let Err(e) = wait::until("DPDK to be ready", PATIENCE, || is_ready().then_some(())) {
            let log = host.switch_log();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            return Err(Error::Missing(format!("{e}; its log ends in reverse: {last:?}")));
        }
        // It has taken its memory.
        drop(pages);
        let peer = Self { host, bed };
        peer.lay_tunnel()?;
        Ok(peer)
    }

    /// Two bridges and a tunnel, as in the guide; the addresses are those in the frames.
    fn lay_tunnel(&self) -> Result<()> {
        let host = &self.host;
        host.vsctl("add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure")?;
        host.vsctl("add-br br-phy -- set bridge br-phy datapath_type=netdev fail-mode=secure other-config:hwaddr=02:02:02:02:02:02")?;
        host.vsctl("add-port br-int vxlan0 -- set interface vxlan0 type=vxlan options:remote_ip=172.16.0.2 options:key=7")?;
        for address in ["172.16.0.1/24", "10.0.0.2/24"] {
            host.ns.ip(&format!("addr add {address} dev br-phy"))?;
        }
        host.ns.ip("link set br-phy up")?;
        host.appctl("tnl/neigh/set br-phy 172.16.0.2 04:04:04:04:04:04").map(drop)
    }

    /// Cycles per packet when these frames take this road.
    pub(crate) fn cycles(&self, frames: &[Vec<u8>], road: Road, how_long: Duration) -> Result<f64> {
        let file = self.host.dir().join("frames.pcap");
        write(&file, frames).map_err(Error::io(format!("cannot write {}", file.display())))?;
        let (from, to) = match road {
            Road::OneFlow | Road::FlowEach => ("br-int", "br-int"),
            Road::Push => ("br-int", "br-phy"),
            Road::Pop => ("br-phy", "br-int"),
        };
        self.add_port(to, "sink", "net_null0,no-rx=1")?;
        let flows = |bridge: &str, flows: &str| {
            self.host.cmd("ovs-ofctl", ["add-flows", bridge, "-"])?.stdin(flows).ok().map(drop)
        };
        match road {
            Road::OneFlow => flows("br-int", "actions=output:sink")?,
            Road::FlowEach => flows("br-int", &flow_each(frames))?,
            Road::Push => {
                flows("br-int", "actions=output:vxlan0")?;
                flows("br-phy", "in_port=LOCAL,actions=output:sink")?;
            }
            Road::Pop => {
                flows("br-phy", "actions=LOCAL")?;
                flows("br-int", "in_port=vxlan0,actions=output:sink")?;
            }
        }
        // Last: it starts at once, and never stops.
        self.add_port(from, "src", &format!("net_pcap0,rx_pcap={},infinite_rx=1", file.display()))?;
        let outcome = self.watch(road, how_long);
        self.host.vsctl("del-port src -- del-port sink")?;
        for bridge in ["br-int", "br-phy"] {
            self.host.cmd("ovs-ofctl", ["del-flows", bridge])?.ok()?;
        }
        outcome
    }

    fn add_port(&self, bridge: &str, port: &str, device: &str) -> Result<()> {
        self.host.vsctl(&format!(
            "add-port {bridge} {port} -- set interface {port} type=dpdk options:dpdk-devargs={device}"
        ))?;
        let error = self.host.vsctl(&format!("get interface {port} error"))?;
        if error.trim() == "[]" { Ok(()) } else { Err(Error::Missing(format!("{port}: {error}"))) }
    }

    fn watch(&self, road: Road, how_long: Duration) -> Result<f64> {
        let during = |time| -> Result<Counts> {
            self.host.appctl("dpif-netdev/pmd-stats-clear")?;
            std::thread::sleep(time);
            Counts::parse(&self.host.appctl("dpif-netdev/pmd-stats-show")?)
        };
        let mut last = Ok(Counts::default());
        wait::until("Open vSwitch with DPDK to have all its flows", PATIENCE, || {
            last = during(Duration::from_millis(300));
            last.as_ref()
                .map_or(true, |counts| counts.received > 0 && counts.missed == 0)
                .then_some(())
        })?;
        last?;
        let counts = during(how_long)?;
        let flows = self.host.appctl("dpctl/dump-flows")?;
        let expected = match road {
            Road::OneFlow | Road::FlowEach => "actions:",
            Road::Push => "tnl_push(",
            Road::Pop => "tnl_pop(",
        };
        if counts.received == 0 || !flows.contains(expected) {
            let few: Vec<&str> = flows.lines().take(4).collect();
            let text = format!("packets do not take the road {road:?}: {counts:?} {few:?}");
            return Err(Error::Missing(text));
        }
        Ok(counts.busy as f64 / counts.received as f64)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What DPDK leaves behind, wherever it was started.
        let _ = std::fs::remove_dir_all(Path::new("/var/run/dpdk").join(self.bed.prefix()));
    }
}

/// What a switch's worker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    missed: u64,
    /// Cycles with packets.
    pub(crate) busy: u64,
}

impl Counts {
    /// From `pmd-stats-show`, whose main thread does not count.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let worker = text.split("pmd thread ").nth(1).unwrap_or("");
        let number = |key: &str| {
            let rest = worker.lines().find_map(|line| line.trim().strip_prefix(key))?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        };
        let counts = (|| {
            Some(Self {
                received: number("packets received:")?,
                missed: number("miss with success upcall:")? + number("miss with failed upcall:")?,
                busy: number("processing cycles:").unwrap_or(0),
            })
        })();
        counts.ok_or_else(|| Error::Missing(format!("no worker's statistics in {text:?}")))
    }
}

/// A flow for each frame, by source address and port.
fn flow_each(frames: &[Vec<u8>]) -> String {
    let flow = |frame: &Vec<u8>| {
        let [a, b, c, d, .., p, q] = frame[26..36] else { return String::new() };
        let port = u16::from_be_bytes([p, q]);
        format!("udp,nw_src={a}.{b}.{c}.{d},tp_src={port},actions=output:sink\n")
    };
    frames.iter().map(flow).collect()
}

fn write(file: &Path, frames: &[Vec<u8>]) -> std::io::Result<()> {
    let mut to = Writer::new(BufWriter::new(File::create(file)?))?;
    frames.iter().try_for_each(|frame| to.write(Duration::ZERO, frame))
}

/// Permission for DPDK to have huge pages, where the kernel does not give it anyway; taken back when dropped. It is the whole
/// machine's, so it is held no longer than DPDK takes to start.
pub(crate) struct HugePages {
    _keeper: Option<Keeper>,
}

impl HugePages {
    const ALLOWED: &'static str = "/proc/sys/vm/nr_overcommit_hugepages";

    /// `None` where they cannot be had.
    pub(crate) fn allow() -> Option<Self> {
        let info = std::fs::read_to_string("/proc/meminfo").ok()?;
        let field = |key: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let size = field("Hugepagesize:")? / 1024;
        let needed = (MEMORY + 64).checked_div(size)?;
        if field("HugePages_Free:")? >= needed {
            return Some(Self { _keeper: None });
        }
        let keeper = Keeper::of(Path::new(Self::ALLOWED)).ok()?;
        // Only pages that somebody maps come of it, and they go with their owner.
        std::fs::write(Self::ALLOWED, needed.to_string()).ok()?;
        Some(Self { _keeper: Some(keeper) })
    }
}

/// Remembers a file's content and writes it back when dropped, or when we have died of whatever: a process of its own waits
/// for the end of the pipe between us, in a group that a terminal's signals do not reach.
struct Keeper(Child);

impl Keeper {
    fn of(file: &Path) -> std::io::Result<Self> {
        let before = std::fs::read_to_string(file)?;
        let wait_and_restore = r#"read -r _; printf %s "$1" > "$2""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", wait_and_restore, "sh", before.trim()]).arg(file);
        shell.stdin(Stdio::piped()).process_group(0).spawn().map(Self)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_counts_are_read_and_the_main_threads_are_not() {
        let text = "main thread:\n  packets received: 7\npmd thread numa_id 0 core_id 1:\n  packets received: 40\n  \
                    miss with success upcall: 1\n  miss with failed upcall: 2\n  idle cycles: 3 (1.00%)\n  \
                    processing cycles: 8000 (99.00%)\n";
        let counts = Counts::parse(text).unwrap();
        assert_eq!(counts, Counts { received: 40, missed: 3, busy: 8000 });
        assert!(Counts::parse("main thread:\n  packets received: 7\n").is_err());
    }

    #[test]
    fn what_was_changed_comes_back_with_the_end_of_the_pipe() {
        let file = std::env::temp_dir().join(format!("bench-keeper-{}", std::process::id()));
        std::fs::write(&file, "7\n").unwrap();
        let keeper = Keeper::of(&file).unwrap();
        std::fs::write(&file, "288").unwrap();
        drop(keeper);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "7");
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_frames_flow_is_by_its_source() {
        let mut frame = vec![0; 60];
        frame[26..30].copy_from_slice(&[10, 0, 3, 9]);
        frame[34..36].copy_from_slice(&[1, 2]);
        assert_eq!(flow_each(&[frame]), "udp,nw_src=10.0.3.9,tp_src=258,actions=output:sink\n");
    }
}
