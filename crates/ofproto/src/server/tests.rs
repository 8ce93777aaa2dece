//! The thread with real sockets, in a folder of the test's own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base::Clock;
use ofconn::{Client, Versions};
use openflow::message::flow_mod::{Command, FlowMod};
use openflow::message::switch::{Role, RoleMessage};
use openflow::message::{FlowStatsRequest, Message};
use openflow::wire::{decode, encode};
use openflow::{Code, Field, Match, Protocol, Version};
use pipeline::{BridgeId, FailMode};
use stream::{Endpoint, Keys, Listener};

use super::{BridgeConfig, Configuration, Controller, InBand, OpenFlow, Status};
use crate::bridge::Settings;
use crate::peer::Kind;
use crate::tests::Kept;

const LONG: Duration = Duration::from_secs(20);

struct World {
    dir: tempfile::TempDir,
    openflow: OpenFlow,
    switch: Arc<Kept>,
    changed: Receiver<()>,
}

fn world() -> World {
    let (notify, changed) = channel();
    let notify = std::sync::Mutex::new(notify);
    let on_change = move || notify.lock().unwrap().send(()).unwrap_or_default();
    let openflow =
        OpenFlow::start(Clock::real(), &Default::default(), &Keys::default(), Box::new(on_change))
            .unwrap();
    let dir = tempfile::tempdir().unwrap();
    World { dir, openflow, switch: Arc::new(Kept::new()), changed }
}

impl World {
    fn configure(&self, controllers: Vec<Controller>, fail_mode: FailMode) {
        let bridge = BridgeConfig {
            id: BridgeId(1),
            settings: Settings {
                name: "br0".to_owned(),
                versions: Versions::ALL,
                ..Settings::default()
            },
            switch: self.switch.clone(),
            run_dir: self.dir.path().to_owned(),
            controllers,
            in_band: InBand::default(),
            fail_mode,
            reconfigured: true,
        };
        self.openflow.configure(Configuration { bridges: vec![bridge], sources: Vec::new() });
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A client on the management socket, once that is there.
    fn client(&self, version: Version) -> Client {
        let endpoint = Endpoint::Unix(self.path("br0.mgmt"));
        let connect = || Client::connect(&endpoint, Versions::only(version), 1, false).ok();
        eventually(connect)
    }

    /// Waits until the controller's status is such.
    fn status(&self, is: impl Fn(&Status) -> bool) -> Status {
        loop {
            if let Some(status) = self.openflow.statuses().remove("c").filter(&is) {
                return status;
            }
            self.changed.recv_timeout(LONG).expect("the status changes");
        }
    }

    fn controller(&self) -> Controller {
        Controller {
            key: "c".to_owned(),
            endpoint: Endpoint::Unix(self.path("controller")),
            kind: Kind::Primary,
            max_backoff: Duration::from_millis(50),
            probe: Some(Duration::from_secs(1)),
            limit: None,
            unasked: true,
        }
    }
}

/// What `attempt` gives at last.
fn eventually<T>(attempt: impl Fn() -> Option<T>) -> T {
    let clock = Clock::real();
    let end = clock.now() + LONG;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(clock.now() < end, "it does not come");
        std::thread::yield_now();
    }
}

fn ask(client: &mut Client, message: &Message) -> Message {
    let bytes = encode(message, Protocol::Of13, 9).unwrap();
    decode(&client.transact(&bytes).unwrap()).unwrap().1
}

fn fill(world: &World, rules: u16) {
    let mut program = world.switch.program.lock().unwrap();
    for port in 1..=rules {
        let mut matching = Match::any();
        matching.set_exact(Field::InPort, port);
        let rule = FlowMod { table: 0, matching, ..FlowMod::new(Command::Add) };
        program.flow_mod(&rule, base::Instant::default()).unwrap();
    }
}

#[test]
fn a_thousand_connections_are_all_answered() {
    let world = world();
    world.configure(Vec::new(), FailMode::Secure);
    let mut clients: Vec<Client> = (0..1000).map(|_| world.client(Version::V13)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, &Message::BarrierRequest), Message::BarrierReply);
    }
}

#[test]
fn who_does_not_read_delays_nobody() {
    let world = world();
    world.configure(Vec::new(), FailMode::Secure);
    fill(&world, 4000);
    let mut silent = world.client(Version::V13);
    let asked = Message::FlowStatsRequest(Box::<FlowStatsRequest>::default());
    let asked = encode(&asked, Protocol::Of13, 1).unwrap();
    for _ in 0..20 {
        silent.send(&asked).unwrap();
    }
    let mut other = world.client(Version::V13);
    for _ in 0..10 {
        assert_eq!(ask(&mut other, &Message::BarrierRequest), Message::BarrierReply);
    }
    // Nothing is lost either: all answers are there for who reads at last.
    let mut answers = 0;
    while answers < 20 {
        let (_, message) = decode(&silent.recv().unwrap()).unwrap();
        let Message::FlowStatsReply { more, .. } = message else { panic!("{message:?}") };
        answers += usize::from(!more);
    }
}

#[test]
fn messages_of_one_peer_stay_in_order_around_a_barrier() {
    let world = world();
    world.configure(Vec::new(), FailMode::Secure);
    let mut client = world.client(Version::V13);
    for xid in 1..=100 {
        let message = match xid % 2 {
            0 => Message::BarrierRequest,
            _ => Message::EchoRequest(Vec::new()),
        };
        client.send(&encode(&message, Protocol::Of13, xid).unwrap()).unwrap();
    }
    // Echoes are answered by the session itself; all else comes in its order.
    let mut barriers = Vec::new();
    let mut echoes = 0;
    while barriers.len() + echoes < 100 {
        match decode(&client.recv().unwrap()).unwrap() {
            (header, Message::BarrierReply) => barriers.push(header.xid),
            (_, Message::EchoReply(_)) => echoes += 1,
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!(barriers, (1..=50).map(|n| 2 * n).collect::<Vec<u32>>());
}

#[test]
fn a_controller_is_called_and_called_again() {
    let world = world();
    let endpoint = Endpoint::PassiveUnix(world.path("controller"));
    world.configure(vec![world.controller()], FailMode::Secure);
    world.status(|status| !status.connected && status.last_error.is_some());
    let mut listener = Listener::open(&endpoint).unwrap();
    let accept = |listener: &mut Listener| loop {
        listener.wait().unwrap();
        if let Some(stream) = listener.accept().unwrap() {
            break stream;
        }
    };
    let greet = |stream| {
        let session = ofconn::Session::new(Versions::only(Version::V13), 1, ofconn::Echo::Answer);
        let mut connection = ofconn::Connection::new(stream, session);
        while connection.version().is_none() {
            connection.recv().unwrap();
            connection.stream().wait(connection.interest(), Some(LONG)).unwrap();
            connection.recv().unwrap();
        }
        connection
    };
    let connection = greet(accept(&mut listener));
    let status = world.status(|status| status.connected);
    assert_eq!((status.state, status.role), ("ACTIVE", Some(Role::Equal)));
    drop(connection);
    world.status(|status| !status.connected);
    let _connection = greet(accept(&mut listener));
    world.status(|status| status.connected);
}

#[test]
fn a_bridge_stands_alone_without_controllers_and_begins_empty_with_them() {
    let world = world();
    let rules = || world.switch.program.lock().unwrap().select(&Default::default()).unwrap().len();
    world.configure(Vec::new(), FailMode::Standalone);
    let mut client = world.client(Version::V13);
    ask(&mut client, &Message::BarrierRequest);
    assert_eq!(rules(), 1);
    world.configure(vec![world.controller()], FailMode::Standalone);
    ask(&mut client, &Message::BarrierRequest);
    eventually(|| (rules() == 0).then_some(()));
    world.configure(Vec::new(), FailMode::Standalone);
    eventually(|| (rules() == 1).then_some(()));
}

#[test]
fn a_secondary_is_refused() {
    let world = world();
    world.configure(Vec::new(), FailMode::Secure);
    let mut client = world.client(Version::V13);
    let role =
        RoleMessage { role: Role::Secondary, generation: Some(1), short_id: None, nicira: false };
    ask(&mut client, &Message::RoleRequest(role));
    let Message::Error(error) = ask(
        &mut client,
        &Message::FlowMod(Box::new(FlowMod { table: 0, ..FlowMod::new(Command::Add) })),
    ) else {
        panic!("not refused")
    };
    assert_eq!(error.code, Code::OFPBRC_IS_SECONDARY);
}
