//! Typed rows through our own server and back.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use base::Clock;
use jsonrpc::{Client, Limits, Session};
use observe::Vlog;
use ovsdb::{Real, Uuid};
use ovsdb_idl::blocking::Database;
use ovsdb_idl::rows::Row;
use ovsdb_idl::{ChangeKind, Interest, Outcome, Protocol, Txn, UnknownName, polled};
use ovsdb_server::{Config, PROGRAM, Server, Stop};
use stream::{Endpoint, Poller};

use crate::garden::{Garden, GardenBed, Plant, Row2, SRow};
use crate::schema;

/// A server on a thread of this process; stopped when dropped.
struct Embedded {
    stop: Stop,
    thread: Option<JoinHandle<Result<(), String>>>,
    socket: PathBuf,
}

impl Embedded {
    fn start(dir: &Path) -> Self {
        let path = |name: &str| dir.join(name).display().to_string();
        ovsdb::log::create(&dir.join("db"), &path("db"), &schema()).unwrap();
        let clock = Clock::real();
        let mut config = Config::new(vec![path("db")], clock.clone());
        config.remotes.push(format!("punix:{}", path("sock")));
        config.unixctl = Some(dir.join("ctl"));
        let server = Server::new(&config, &Vlog::install(PROGRAM, &clock)).unwrap();
        let stop = server.stop_handle();
        Self { stop, thread: Some(std::thread::spawn(|| server.serve())), socket: dir.join("sock") }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.socket.clone())
    }

    /// A client that sees everything by its types.
    fn client(&self, seed: u8) -> Database {
        let client = Client::connect(&self.endpoint(), &Clock::real(), None).unwrap();
        let interest = Interest::none(schema())
            .watch_rows::<Garden>()
            .and_then(Interest::watch_rows::<GardenBed>)
            .and_then(Interest::watch_rows::<Plant>)
            .and_then(Interest::watch_rows::<Row2>)
            .and_then(Interest::watch_rows::<SRow>);
        Database::open(client, Protocol::new("Garden", interest.unwrap(), [seed; 32])).unwrap()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}

/// Has a transaction built and sent. Returns what was built, and what came of it.
fn commit<T>(
    database: &mut Database,
    build: impl FnOnce(&mut Txn<'_>) -> Result<T, UnknownName>,
) -> (T, Outcome) {
    let mut txn = database.begin();
    let built = build(&mut txn).unwrap();
    let prepared = txn.finish();
    (built, database.commit(prepared).unwrap())
}

fn is_success(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Success { .. })
}

fn real(value: f64) -> Real {
    Real::new(value).unwrap()
}

#[test]
fn rows_are_written_read_and_edited() {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::start(dir.path());
    let mut database = server.client(1);

    // A garden with a bed with two plants that know each other, all at once.
    let bean = Plant {
        kind: "bean".into(),
        tags: ["green".into(), "tall".into()].into(),
        names: ["Bean".into()].into(),
        heights: [(real(0.5), 3), (real(1.25), 7)].into(),
        origin: Some(Uuid::from_bytes([9; 16])),
        ..Plant::default()
    };
    let bed = GardenBed {
        name: "south".into(),
        r#type: "vegetables".into(),
        soil: Some("loam".into()),
        latitude: real(48.25),
        longitude: real(-3.5),
        wet_months: [1, 2, 12].into(),
        is_watered: true,
        external_ids: [("a".into(), "1".into()), ("b".into(), "2".into())].into(),
        ..GardenBed::default()
    };
    let ((bean_ref, pea_ref, bed_ref, garden_ref), outcome) = commit(&mut database, |txn| {
        let bean_ref = bean.insert(txn)?;
        let pea =
            Plant { friends: [bean_ref].into(), names: ["Pea".into()].into(), ..bean.clone() };
        let pea_ref = pea.insert(txn)?;
        let plants = [(1, bean_ref), (2, pea_ref)].into();
        let bed_ref = GardenBed { plants, favourite: Some(pea_ref), ..bed.clone() }.insert(txn)?;
        let garden = Garden { beds: [bed_ref].into(), owner: Some("Ann".into()), visits: 1 };
        Ok((bean_ref, pea_ref, bed_ref, garden.insert(txn)?))
    });
    assert!(is_success(&outcome), "{outcome:?}");
    let (bean_ref, pea_ref) = (bean_ref.after(&outcome), pea_ref.after(&outcome));
    let (bed_ref, garden_ref) = (bed_ref.after(&outcome), garden_ref.after(&outcome));

    // Another client reads them, from one to the next.
    let mut other = server.client(2);
    let gardens: Vec<_> = Garden::all(other.replica()).collect();
    let garden = Garden { beds: [bed_ref].into(), owner: Some("Ann".into()), visits: 1 };
    assert_eq!(gardens, [(garden_ref, garden)]);
    let plants = [(1, bean_ref), (2, pea_ref)].into();
    let planted = GardenBed { plants, favourite: Some(pea_ref), ..bed };
    assert_eq!(bed_ref.get(other.replica()), Some(planted.clone()));
    assert_eq!(bean_ref.get(other.replica()), Some(bean));
    assert_eq!(pea_ref.get(other.replica()).unwrap().friends, [bean_ref].into());

    // Both edit the same bed at the same time, at different places; neither undoes what the other did.
    let mut mine = database.begin();
    let edited = bed_ref.edit(&mut mine, |bed| {
        bed.external_ids.remove("a");
        bed.external_ids.insert("b".into(), "3".into());
        bed.wet_months.insert(3);
        bed.soil = None;
    });
    assert_eq!(edited, Ok(true));
    let mine = mine.finish();
    let (_, outcome) = commit(&mut other, |txn| {
        bed_ref.edit(txn, |bed| {
            bed.external_ids.insert("c".into(), "4".into());
            bed.longitude = real(7.0);
            bed.is_watered = false;
        })
    });
    assert!(is_success(&outcome), "{outcome:?}");
    let outcome = database.commit(mine).unwrap();
    assert!(is_success(&outcome), "{outcome:?}");
    let expected = GardenBed {
        soil: None,
        longitude: real(7.0),
        is_watered: false,
        wet_months: [1, 2, 3, 12].into(),
        external_ids: [("b".into(), "3".into()), ("c".into(), "4".into())].into(),
        ..planted
    };
    assert_eq!(bed_ref.get(database.replica()), Some(expected.clone()));

    // A set that must not be empty is exchanged as a whole, element by element.
    let (_, outcome) =
        commit(&mut database, |txn| bean_ref.edit(txn, |bean| bean.names = ["Fève".into()].into()));
    assert!(is_success(&outcome), "{outcome:?}");
    assert_eq!(bean_ref.get(database.replica()).unwrap().names, ["Fève".into()].into());

    // A plant that nobody has is gone, and with it the weak references to it.
    let (_, outcome) = commit(&mut database, |txn| {
        bed_ref.edit(txn, |bed| bed.plants.retain(|_, plant| *plant == bean_ref))
    });
    assert!(is_success(&outcome), "{outcome:?}");
    assert_eq!(pea_ref.get(database.replica()), None);
    let plants = [(1, bean_ref)].into();
    let expected = GardenBed { plants, favourite: None, ..expected };
    assert_eq!(bed_ref.get(database.replica()), Some(expected));

    // Nothing changed is nothing sent.
    let (_, outcome) = commit(&mut database, |txn| bed_ref.edit(txn, |bed| bed.soil = None));
    assert_eq!(outcome, Outcome::Unchanged);
    // What the schema forbids, the server finds.
    let (_, outcome) =
        commit(&mut database, |txn| bed_ref.edit(txn, |bed| bed.r#type = "weeds".into()));
    assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
}

#[test]
fn two_who_count_do_not_count_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::start(dir.path());
    let (mut database, mut other) = (server.client(4), server.client(5));
    let (garden, outcome) = commit(&mut database, |txn| Garden::default().insert(txn));
    let garden = garden.after(&outcome);
    let count = |txn: &mut Txn<'_>| garden.edit_verified(txn, |garden| garden.visits += 1);
    let mut stale = database.begin();
    assert_eq!(count(&mut stale), Ok(true));
    let stale = stale.finish();
    while garden.get(other.replica()).is_none() {
        other.wait_for_update().unwrap();
    }
    assert!(is_success(&commit(&mut other, count).1));
    assert_eq!(database.commit(stale).unwrap(), Outcome::TryAgain);
    assert!(is_success(&commit(&mut database, count).1));
    assert_eq!(garden.get(database.replica()).unwrap().visits, 2);
}

#[test]
fn a_daemon_hears_of_rows_that_change() {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::start(dir.path());
    let mut database = server.client(6);
    let clock = Clock::real();
    let session = Session::new(vec![server.endpoint()], Limits::default(), clock.now());
    let interest = Interest::none(schema()).watch_rows::<SRow>().unwrap();
    let mut daemon = polled::Database::new(session, Protocol::new("Garden", interest, [7; 32]));
    let poller = Poller::new().unwrap();
    // What the next change of the table is, and what the row was or is.
    let mut next = || {
        let end = clock.now() + Duration::from_secs(10);
        loop {
            daemon.run(clock.now());
            let changes = daemon.take_changes();
            if let Some((id, change)) = SRow::changes(&changes).next() {
                let row = change.last().map(SRow::read).or(id.get(daemon.replica()));
                return (id, change.kind(), row.unwrap().mac);
            }
            assert!(clock.now() < end, "ten seconds are not enough");
            daemon.watch(&poller, 0).unwrap();
            let wake = daemon.deadline(clock.now()).unwrap_or(end).min(end);
            poller.wait(Some(wake.since(clock.now())), &mut Vec::new()).unwrap();
        }
    };
    let (id, outcome) = commit(&mut database, |txn| SRow { mac: "a".into() }.insert(txn));
    let id = id.after(&outcome);
    assert_eq!(next(), (id, ChangeKind::Inserted, "a".into()));
    commit(&mut database, |txn| id.edit(txn, |row| row.mac.push('b')));
    assert_eq!(next(), (id, ChangeKind::Modified, "ab".into()));
    commit(&mut database, |txn| {
        id.delete(txn);
        Ok(())
    });
    assert_eq!(next(), (id, ChangeKind::Deleted, "ab".into()));
}

#[test]
fn odd_names_are_those_of_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let server = Embedded::start(dir.path());
    let mut database = server.client(3);
    let odd = Row2 {
        r#fn: "f".into(),
        self_: true,
        string: 7,
        string2: Some(false),
        number_of_the_columns_that_are_hard_to_name: 5,
    };
    let (_, outcome) = commit(&mut database, |txn| {
        SRow { mac: "aa:bb".into() }.insert(txn)?;
        odd.insert(txn)
    });
    assert!(is_success(&outcome), "{outcome:?}");
    let rows: Vec<_> = Row2::all(database.replica()).map(|(_, row)| row).collect();
    assert_eq!(rows, [odd]);
    let row = database.replica().only_row("Row").unwrap();
    assert_eq!((row.text("fn"), row.get("String").unwrap().as_integer()), ("f", Some(7)));
    assert_eq!(database.replica().only_row("s_ROW").unwrap().text("MAC"), "aa:bb");
}
