//! The running switch: datapaths, bridges and interfaces, brought from what they are to what is desired step by step.
//!
//! A step that fails leaves its interface in place with an error (and OpenFlow port -1), and nothing else disturbed. A device
//! that was missing is tried again when the kernel says that one of its name has come.

mod bonds;
mod openflow;
mod plane;
mod settle;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Counters, Instant, Version};
use datapath::Schedule;
use flow::DpPort;
use netdev::{Device, Kind as DeviceKind, Opener, Queues, Status};
use pipeline::{BridgeId, OfPort, PortRef};
use tunnel::{Routes, SourcePorts};

use crate::desired::underlay::name_on_host;
use crate::desired::{DatapathKind, Desired, Interface, InterfaceKind, Mac};
use crate::kept::Kept;
use crate::numbers::OfPorts;
use crate::openflow::{BridgeSwitch, Mailbox};
use crate::plan::{Step, plan};
pub use bonds::AggregateStatus;
pub use plane::Plane;
use sockets::socket_dir;

/// The vlog module of configuration.
const LOG: &str = "bridge";

/// How the daemon was started, as far as it concerns the switch.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Datapath workers; 0 chooses.
    pub workers: usize,
    /// Do not follow the kernel's routes.
    pub no_system_routes: bool,
    /// Where sockets are made.
    pub run_dir: PathBuf,
}

/// Settings of the switch as a whole that apply while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// `other_config:max-idle`.
    pub max_idle: Duration,
    /// `other_config:kernel-offload`.
    pub kernel_offload: bool,
    /// `other_config:n-handler-threads`; by the number of processors, if that is not set.
    pub handlers: Option<usize>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { max_idle: Duration::from_secs(10), kernel_offload: true, handlers: None }
    }
}

/// All of it.
pub struct Switch {
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    setup: Setup,
    planes: BTreeMap<DatapathKind, Plane>,
    bridges: BTreeMap<String, LiveBridge>,
    applied: Desired,
    next_bridge: u32,
    version: Version,
    source_ports: SourcePorts,
    tuning: Tuning,
    /// What every plane starts with.
    schedule: Schedule,
    routes: Routes,
    /// What of that, and of neighbours, the database keeps.
    kept: Kept,
    opener: Opener,
    /// What was last asked for as the folder of guests' sockets.
    socket_dir: Option<String>,
    /// Whether DPDK was to be started.
    dpdk_asked: bool,
    /// OpenFlow port numbers of the last run, by bridge: (interface, number).
    remembered: BTreeMap<String, Vec<(String, u16)>>,
    /// Addresses of bonds' active members of the last run, by bridge and port.
    remembered_active: BTreeMap<String, BTreeMap<String, Mac>>,
    /// Interfaces whose rows may no longer say how they are.
    touched: BTreeSet<String>,
    /// What controllers ask for.
    mailbox: Mailbox,
    /// Whether OpenFlow does not know yet how bridges and ports are.
    openflow_stale: bool,
    /// Whether the operator's wishes were applied since OpenFlow was last told.
    reconfigured: bool,
}

/// A bridge that runs.
pub struct LiveBridge {
    /// Its identity over snapshots.
    pub id: BridgeId,
    /// Its datapath.
    pub kind: DatapathKind,
    /// Its hardware address.
    pub mac: Mac,
    ofports: OfPorts,
    /// Addresses of the members that were active in bonds when the switch last ran, by port.
    last_active: BTreeMap<String, Mac>,
    /// The bridge as controllers' connections see it.
    openflow: Option<Arc<BridgeSwitch>>,
    /// By name: an error, or what runs.
    pub interfaces: BTreeMap<String, Result<Live, String>>,
}

/// An interface that runs.
#[derive(Clone)]
pub struct Live {
    /// Its OpenFlow number.
    pub ofport: OfPort,
    /// Its datapath port; tunnels share theirs, patches have none.
    pub dp: Option<DpPort>,
    /// The device, if bytes go through one.
    pub device: Option<Arc<dyn Device>>,
    /// Its state when last asked; for ports without a device what there is to say.
    pub status: Status,
    /// Why it has no part in forwarding although it is here (two tunnels that cannot be told apart).
    pub excluded: Option<String>,
    /// Whether it has a place among the tunnels, which no newer one takes from it.
    is_placed: bool,
    /// Since when it is there.
    pub since: Instant,
    /// What controllers forbid, as bits of OpenFlow's port configuration.
    pub forbidden: u32,
}

impl Switch {
    /// A switch without bridges.
    pub fn new(clock: Clock, counters: Counters, setup: Setup) -> Self {
        Self {
            // Taps stay when the daemon ends, and with them their addresses: a restart finds them as they were.
            dpdk_asked: false,
            socket_dir: None,
            opener: Opener::new(clock.clone()).with_persistent_taps(),
            clock,
            counters,
            setup,
            planes: BTreeMap::new(),
            bridges: BTreeMap::new(),
            applied: Desired::default(),
            next_bridge: 1,
            version: Version::default(),
            source_ports: SourcePorts::default(),
            tuning: Tuning::default(),
            schedule: Schedule::default(),
            routes: Routes::default(),
            kept: Kept::default(),
            touched: BTreeSet::new(),
            remembered: BTreeMap::new(),
            remembered_active: BTreeMap::new(),
            mailbox: Mailbox::new(|| {}),
            openflow_stale: false,
            reconfigured: false,
        }
    }

    /// Has controllers ask for what they want by this.
    pub fn set_mailbox(&mut self, mailbox: Mailbox) {
        self.mailbox = mailbox;
    }

    /// Has this called, from any thread, with the name of an interface whose link changed without the kernel knowing.
    pub fn on_change(&mut self, notify: Arc<dyn Fn(&str) + Send + Sync>) {
        self.opener.on_change(notify);
    }

    /// Where sockets of guests are made from now on (`other_config:vhost-sock-dir`): a folder below the run directory, or that
    /// itself if what is asked for leads out of it.
    pub fn set_socket_dir(&mut self, asked: &str) {
        if self.socket_dir.as_deref() == Some(asked) {
            return;
        }
        let dir = socket_dir(&self.setup.run_dir, asked).unwrap_or_else(|refusal| {
            let run_dir = self.setup.run_dir.clone();
            log::error!(target: "dpdk", "{refusal}; using {} instead", run_dir.display());
            run_dir
        });
        self.opener.set_socket_dir(dir);
        self.socket_dir = Some(asked.to_owned());
    }

    /// The last run gave this interface this number; it shall have it again.
    pub fn remember(&mut self, bridge: &str, interface: &str, ofport: u16) {
        self.remembered.entry(bridge.to_owned()).or_default().push((interface.to_owned(), ofport));
    }

    /// What was last applied.
    pub fn applied(&self) -> &Desired {
        &self.applied
    }

    /// The bridges that run, by name.
    pub fn bridges(&self) -> &BTreeMap<String, LiveBridge> {
        &self.bridges
    }

    /// The datapaths that run.
    pub fn planes(&self) -> impl Iterator<Item = (DatapathKind, &Plane)> {
        self.planes.iter().map(|(kind, plane)| (*kind, plane))
    }

    /// A datapath.
    pub fn plane(&self, kind: DatapathKind) -> Option<&Plane> {
        self.planes.get(&kind)
    }

    /// A bridge with its datapath.
    pub fn bridge(&self, name: &str) -> Option<(&LiveBridge, &Plane)> {
        let bridge = self.bridges.get(name)?;
        Some((bridge, self.planes.get(&bridge.kind)?))
    }

    /// The interface of that name, with its bridge's name.
    pub fn interface(&self, name: &str) -> Option<(&str, &Result<Live, String>)> {
        self.bridges.iter().find_map(|(bridge, b)| Some((bridge.as_str(), b.interfaces.get(name)?)))
    }

    /// Brings the switch to what is desired. Never fails as a whole; what failed is in the interfaces.
    pub fn apply(&mut self, desired: Desired) {
        let steps = plan(&self.applied, &desired);
        self.schedule = desired.schedule.clone();
        for step in &steps {
            log::debug!(target: LOG, "{step:?}");
            self.carry_out(step, &desired);
        }
        self.applied = desired;
        self.openflow_stale = true;
        self.reconfigured = true;
        if !steps.is_empty() {
            self.settle();
        }
    }

    fn carry_out(&mut self, step: &Step, desired: &Desired) {
        match step {
            Step::RemoveInterface { bridge, interface } => self.remove_interface(bridge, interface),
            Step::RemoveBridge { bridge } => {
                self.bridges.remove(bridge);
            }
            Step::AddBridge { bridge } => {
                if let Some(wanted) = desired.bridges.get(bridge) {
                    self.add_bridge(bridge, wanted.datapath);
                }
            }
            Step::AddInterface { bridge, interface } => {
                if let Some(wanted) =
                    desired.bridges.get(bridge).and_then(|b| b.interface(interface))
                {
                    self.add_interface(bridge, wanted);
                }
            }
            Step::ConfigureInterface { bridge, interface } => {
                if let Some(wanted) =
                    desired.bridges.get(bridge).and_then(|b| b.interface(interface))
                {
                    self.configure_interface(bridge, wanted);
                }
            }
            Step::ConfigureWorkers => {
                self.planes.values().for_each(|p| p.set_schedule(&self.schedule))
            }
            // All that a bridge has is in the snapshot and in `settle`.
            Step::ConfigureBridge { .. } => {}
        }
    }

    fn add_bridge(&mut self, name: &str, kind: DatapathKind) {
        let id = BridgeId(self.next_bridge);
        self.next_bridge += 1;
        let mac = random_mac();
        let mut ofports = OfPorts::default();
        for (port, n) in self.remembered.remove(name).into_iter().flatten() {
            ofports.remember(&port, n);
        }
        let last_active = self.remembered_active.remove(name).unwrap_or_default();
        let (openflow, interfaces) = (None, BTreeMap::new());
        let live = LiveBridge { id, kind, mac, ofports, last_active, openflow, interfaces };
        self.bridges.insert(name.to_owned(), live);
        if !self.planes.contains_key(&kind) {
            match Plane::start(
                kind,
                &self.clock,
                &self.counters,
                self.setup.workers,
                &self.routes,
                self.tuning,
            ) {
                Ok(plane) => {
                    plane.set_schedule(&self.schedule);
                    if kind == DatapathKind::Dummy {
                        // The reference's datapath has a dummy of its own, and tests count on the others' addresses.
                        self.opener.next_dummy_mac();
                    }
                    self.planes.insert(kind, plane);
                }
                Err(error) => {
                    log::error!(target: LOG, "could not start datapath {}: {error}", kind.as_str())
                }
            }
        }
        log::info!(target: LOG, "bridge {name}: created on datapath {}", kind.as_str());
    }

    fn add_interface(&mut self, bridge: &str, wanted: &Interface) {
        let outcome = self.open_interface(bridge, wanted);
        self.touched.insert(wanted.name.clone());
        match &outcome {
            Ok(live) => {
                log::info!(target: LOG, "bridge {bridge}: added interface {} on port {}", wanted.name, live.ofport.0)
            }
            Err(why) => log::warn!(target: LOG, "{why}"),
        }
        if let Some(live_bridge) = self.bridges.get_mut(bridge) {
            live_bridge.interfaces.insert(wanted.name.clone(), outcome);
        }
    }

    fn open_interface(&mut self, bridge_name: &str, wanted: &Interface) -> Result<Live, String> {
        if let InterfaceKind::Refused(why) = &wanted.kind {
            return Err(why.clone());
        }
        let bridge = self.bridges.get(bridge_name).ok_or("the bridge is gone")?;
        let is_local = wanted.name == bridge_name;
        let kind = bridge.kind;
        let plane = self.planes.get_mut(&kind).ok_or("the datapath could not be started")?;
        let (dp, device) = match &wanted.kind {
            InterfaceKind::Patch { .. } => (None, None),
            InterfaceKind::Tunnel(endpoint) => (Some(plane.tunnel_port(endpoint)?), None),
            _ => {
                let workers = plane.datapath.workers();
                let device = open_device(&self.opener, wanted, is_local, workers)?;
                let dp = plane.add_device(&wanted.name, device.clone()).map_err(|e| {
                    format!(
                        "could not add network device {} to ofproto ({})",
                        wanted.name,
                        errno_text(&e)
                    )
                })?;
                plane.datapath.set_affinity(dp, &wanted.affinity);
                (Some(dp), Some(device))
            }
        };
        let bridge = self.bridges.get_mut(bridge_name).ok_or("the bridge is gone")?;
        let ofport = if is_local {
            Some(OfPort::LOCAL)
        } else {
            bridge.ofports.take(&wanted.name, wanted.ofport_request).map(OfPort)
        };
        let status = match &device {
            Some(device) => device.status().unwrap_or_default(),
            None => {
                Status { mac: random_mac(), admin_up: true, link_up: true, ..Status::default() }
            }
        };
        let mut live = Live {
            ofport: ofport.unwrap_or(OfPort::NONE),
            dp,
            device,
            status,
            excluded: None,
            is_placed: false,
            since: self.clock.now(),
            forbidden: 0,
        };
        if ofport.is_none() {
            self.close(kind, &wanted.name, live);
            return Err(format!(
                "could not add network device {} to ofproto (no free OpenFlow port)",
                wanted.name
            ));
        }
        set_up_device(&mut live, wanted, is_local);
        Ok(live)
    }
    fn configure_interface(&mut self, bridge: &str, wanted: &Interface) {
        let current = self.bridges.get(bridge).and_then(|b| b.interfaces.get(&wanted.name));
        let refused = matches!(wanted.kind, InterfaceKind::Refused(_));
        let renumber = |live: &Live| {
            wanted
                .ofport_request
                .is_some_and(|n| n != live.ofport.0 && live.ofport != OfPort::LOCAL)
        };
        match current.cloned() {
            Some(Ok(mut live)) if !refused => {
                // A dummy's wires and capture files are part of the device; a tunnel may need another datapath port.
                let reopen = renumber(&live) || self.needs_reopening(bridge, wanted);
                if reopen {
                    drop(live); // or the device would be held while it is opened anew
                    self.remove_interface(bridge, &wanted.name);
                    self.add_interface(bridge, wanted);
                } else {
                    // What it asks of packets may be another tunnel's by now.
                    live.is_placed &= self.kind_of(bridge, wanted) == Some(&wanted.kind);
                    set_up_device(&mut live, wanted, wanted.name == bridge);
                    if let (Some(device), InterfaceKind::VhostUser { options, .. }) =
                        (&live.device, &wanted.kind)
                    {
                        device.retune(options);
                    }
                    if let (Some(dp), Some((_, plane))) = (live.dp, self.bridge(bridge)) {
                        plane.datapath.set_affinity(dp, &wanted.affinity);
                    }
                    self.touched.insert(wanted.name.clone());
                    if let Some(b) = self.bridges.get_mut(bridge) {
                        b.interfaces.insert(wanted.name.clone(), Ok(live));
                    }
                }
            }
            _ => {
                self.remove_interface(bridge, &wanted.name);
                self.add_interface(bridge, wanted);
            }
        }
    }

    /// What an interface has been until now.
    fn kind_of(&self, bridge: &str, wanted: &Interface) -> Option<&InterfaceKind> {
        let interface = self.applied.bridges.get(bridge)?.interface(&wanted.name)?;
        Some(&interface.kind)
    }

    fn needs_reopening(&self, bridge: &str, wanted: &Interface) -> bool {
        let was = self.kind_of(bridge, wanted);
        match (was, &wanted.kind) {
            (
                Some(InterfaceKind::Dummy { options: a, .. }),
                InterfaceKind::Dummy { options: b, .. },
            ) => a != b,
            (Some(a @ InterfaceKind::Afxdp { .. }), b @ InterfaceKind::Afxdp { .. }) => a != b,
            (Some(InterfaceKind::Dpdk(a)), InterfaceKind::Dpdk(b)) => a != b,
            (Some(a @ InterfaceKind::System(_)), b @ InterfaceKind::System(_)) => a != b,
            (Some(a @ InterfaceKind::Internal(_)), b @ InterfaceKind::Internal(_)) => a != b,
            (Some(a @ InterfaceKind::Tap(_)), b @ InterfaceKind::Tap(_)) => a != b,
            (Some(was @ InterfaceKind::VhostUser { .. }), wanted) => !was.can_become(wanted),
            (Some(was @ InterfaceKind::HostCard { .. }), wanted) => was != wanted,
            (Some(InterfaceKind::Tunnel(a)), InterfaceKind::Tunnel(b)) => {
                a.device_name() != b.device_name()
            }
            _ => false,
        }
    }

    fn remove_interface(&mut self, bridge: &str, name: &str) {
        let Some(live_bridge) = self.bridges.get_mut(bridge) else { return };
        let kind = live_bridge.kind;
        if let Some(Ok(live)) = live_bridge.interfaces.remove(name) {
            live_bridge.ofports.release(live.ofport.0);
            log::info!(target: LOG, "bridge {bridge}: deleted interface {name} on port {}", live.ofport.0);
            self.close(kind, name, live);
        }
    }

    fn close(&mut self, kind: DatapathKind, name: &str, live: Live) {
        let Some(plane) = self.planes.get_mut(&kind) else { return };
        match (live.dp, &live.device) {
            (Some(dp), Some(device)) => {
                plane.remove_device(dp);
                warn(name, "be released", device.release());
            }
            (Some(dp), None) => plane.release_tunnel(dp),
            _ => {}
        }
    }

    /// Tries again what failed for want of a device, if one of these names has come; and gives up what has gone. Says whether
    /// anything changed.
    pub fn devices_changed(&mut self, came: &BTreeSet<String>, gone: &BTreeSet<String>) -> bool {
        let mut work = Vec::new();
        for (bridge, wanted) in
            self.applied.bridges.iter().flat_map(|(n, b)| b.interfaces().map(move |i| (n, i)))
        {
            let Some(live) = self.bridges.get(bridge).and_then(|b| b.interfaces.get(&wanted.name))
            else {
                continue;
            };
            let follows_host = wanted.kind.is_of_host();
            let on_host = name_on_host(&wanted.name);
            if follows_host
                && ((live.is_err() && came.contains(on_host))
                    || (live.is_ok() && gone.contains(on_host)))
            {
                work.push((bridge.clone(), wanted.clone()));
            }
        }
        for (bridge, wanted) in &work {
            self.remove_interface(bridge, &wanted.name);
            self.add_interface(bridge, wanted);
        }
        if !work.is_empty() {
            self.settle();
        }
        !work.is_empty()
    }

    /// The state of these devices has changed: asks for it anew.
    pub fn refresh(&mut self, names: &BTreeSet<String>) {
        let mut links_changed = false;
        for (name, outcome) in self.bridges.values_mut().flat_map(|b| &mut b.interfaces) {
            if let Ok(live) = outcome
                && names.contains(name_on_host(name))
                && let Some(device) = &live.device
            {
                let was_down = is_down(live);
                warn(name, "be looked at", device.refresh());
                live.status = device.status().unwrap_or_default();
                self.touched.insert(name.clone());
                self.openflow_stale = true;
                links_changed |= is_down(live) != was_down;
            }
        }
        if links_changed {
            // Groups choose buckets, and bonds members, by their ports' links.
            self.publish();
        }
    }

    /// Something has happened to links, here or in another network namespace.
    pub fn links_changed(&self, now: Instant) {
        self.planes.values().for_each(|plane| plane.datapath.links_changed(now));
    }

    /// The interfaces touched since this was last asked.
    pub fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    /// The range of tunnels' UDP source ports.
    pub fn source_ports(&self) -> SourcePorts {
        self.source_ports
    }

    /// Changes it.
    pub fn set_source_ports(&mut self, ports: SourcePorts) {
        self.source_ports = ports;
        self.publish();
    }

    /// Starts DPDK, if the settings in `other_config` of the Open_vSwitch row say so and it does not run yet.
    pub fn start_dpdk(&mut self, config: &BTreeMap<String, String>) {
        let wanted = config.get("dpdk-init").is_some_and(|word| word == "true" || word == "try");
        if wanted && !std::mem::replace(&mut self.dpdk_asked, true) {
            match self.opener.start_dpdk(config) {
                Ok(version) => log::info!(target: "dpdk", "{version} is started"),
                Err(why) => log::warn!(target: "dpdk", "dpdk-init: {why}"),
            }
        }
    }

    /// DPDK's version, if it runs.
    pub fn dpdk_version(&self) -> Option<&str> {
        self.opener.dpdk_version()
    }

    /// Changes settings of the switch as a whole.
    pub fn tune(&mut self, tuning: Tuning) {
        if tuning != self.tuning {
            self.tuning = tuning;
            for plane in self.planes.values() {
                plane.tune(tuning);
            }
        }
    }

    /// Changes the routes, everywhere.
    pub fn routes<R>(&mut self, change: impl Fn(&mut Routes) -> R) -> R {
        for plane in self.planes.values() {
            plane.slow.with(|state, _| drop(change(&mut state.routes)));
        }
        change(&mut self.routes)
    }

    /// The database keeps these routes, rules and neighbours.
    pub fn keep(&mut self, kept: Kept) {
        if kept != self.kept {
            let before = std::mem::replace(&mut self.kept, kept.clone());
            self.routes(|table| kept.change_routes(&before, table));
        }
        // Also on datapaths that are new.
        for plane in self.planes.values() {
            plane.slow.with(|state, now| self.kept.set_neighbours(&mut state.neighbours, now));
        }
    }

    /// The routes as they are.
    pub fn current_routes(&self) -> &Routes {
        &self.routes
    }

    /// Whether the kernel's routes are followed.
    pub fn follows_kernel(&self) -> bool {
        !self.setup.no_system_routes
    }

    /// Where a port is in snapshots.
    pub fn port_ref(&self, bridge: &str, live: &Live) -> Option<PortRef> {
        Some(PortRef { bridge: self.bridges.get(bridge)?.id, port: live.ofport })
    }

    /// Ends everything. With `cleanup`, devices that would stay behind are removed too.
    pub fn shut_down(&mut self, cleanup: bool) {
        for plane in self.planes.values() {
            plane.stop();
        }
        for bridge in self.bridges.values() {
            for live in bridge.interfaces.values().flatten() {
                if let Some(device) = live.device.as_ref().filter(|_| cleanup) {
                    warn(device.name(), "be released", device.release());
                }
            }
        }
        self.bridges.clear();
        self.planes.clear();
    }
}

/// A locally administered address for a bridge that has no device to take one from.
fn random_mac() -> Mac {
    use std::hash::{BuildHasher, RandomState};
    let n = RandomState::new().hash_one(0).to_be_bytes();
    [(n[0] & 0xfc) | 0x02, n[1], n[2], n[3], n[4], n[5]]
}

/// Opens the device behind an interface, which `workers` will serve; the error is what the Interface row's `error` will say.
fn open_device(
    opener: &Opener,
    wanted: &Interface,
    is_local: bool,
    workers: usize,
) -> Result<Arc<dyn Device>, String> {
    let (kind, options) = match &wanted.kind {
        InterfaceKind::System(options) => {
            let opened = opener.open_system(&wanted.name, options, Queues::clamped(workers));
            return opened.map_err(|e| e.to_string());
        }
        InterfaceKind::Internal(options) => {
            let opened = opener.open_tap(DeviceKind::Internal, &wanted.name, options);
            return opened.map_err(|e| e.to_string());
        }
        InterfaceKind::Tap(options) => {
            let opened = opener.open_tap(DeviceKind::Tap, &wanted.name, options);
            return opened.map_err(|e| e.to_string());
        }
        InterfaceKind::Afxdp { kind, options } => {
            return opener.open_afxdp(*kind, &wanted.name, options).map_err(|e| e.to_string());
        }
        InterfaceKind::Dpdk(options) => {
            return opener.open_dpdk(&wanted.name, options).map_err(|e| e.to_string());
        }
        InterfaceKind::HostCard { ports } => {
            let opened = opener.open_underlay(name_on_host(&wanted.name), ports);
            return opened.map_err(|e| e.to_string());
        }
        InterfaceKind::HostEnd => (DeviceKind::DummyInternal, &BTreeMap::new()),
        InterfaceKind::VhostUser { client: false, options } => (DeviceKind::VhostUser, options),
        InterfaceKind::VhostUser { client: true, options } => {
            (DeviceKind::VhostUserClient, options)
        }
        InterfaceKind::Dummy { options, .. } if is_local => (DeviceKind::DummyInternal, options),
        InterfaceKind::Dummy { options, poses_as } => match poses_as.as_deref() {
            Some("dummy-pmd") => (DeviceKind::DummyPmd, options),
            _ => (DeviceKind::Dummy, options),
        },
        InterfaceKind::Patch { .. } | InterfaceKind::Tunnel(_) | InterfaceKind::Refused(_) => {
            return Err(format!("{}: no device belongs to this type", wanted.name));
        }
    };
    opener.open(kind, &wanted.name, options).map_err(|e| e.to_string())
}

/// Applies what a row asks of its device.
fn set_up_device(live: &mut Live, wanted: &Interface, is_local: bool) {
    let Some(device) = &live.device else { return };
    let own_mac = matches!(
        wanted.kind,
        InterfaceKind::Internal(_)
            | InterfaceKind::Tap(_)
            | InterfaceKind::VhostUser { .. }
            | InterfaceKind::Dummy { .. }
    );
    if let Some(mac) = wanted.mac.filter(|_| !is_local && own_mac) {
        warn(&wanted.name, "set the hardware address", device.set_mac(mac));
    }
    if let Some(mtu) = wanted.mtu_request {
        warn(&wanted.name, &format!("set the MTU to {mtu}"), device.set_mtu(mtu));
    }
    live.status = device.status().unwrap_or_default();
}

/// The text of an I/O error without the number.
pub(crate) fn errno_text(error: &io::Error) -> String {
    stream::strerror(error)
}

fn warn(name: &str, what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::warn!(target: LOG, "{name}: could not {what} ({})", errno_text(&error));
    }
}

/// Whether nothing can leave by a port: it has a device whose link is down.
fn is_down(live: &Live) -> bool {
    live.device.is_some() && !(live.status.admin_up && live.status.link_up)
}
