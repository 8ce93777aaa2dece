//! Real sockets: connecting, stale files, long paths, wake-ups.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use stream::{Connected, Endpoint, Event, Interest, Listener, Poller, Stream, strerror};

fn unix(path: &std::path::Path) -> (Endpoint, Endpoint) {
    (Endpoint::PassiveUnix(path.to_owned()), Endpoint::Unix(path.to_owned()))
}

/// Sends `hello` through a fresh connection.
fn exchange(listener: &mut Listener, active: &Endpoint) {
    let mut client = Stream::connect(active).unwrap();
    let mut server = loop {
        if let Some(stream) = listener.accept().unwrap() {
            break stream;
        }
        std::thread::yield_now();
    };
    while client.poll_connect().unwrap() == Connected::InProgress {
        client.wait(Interest::WRITABLE, Some(Duration::from_secs(5))).unwrap();
    }
    assert_eq!(client.send(b"hello").unwrap(), 5);
    assert!(server.wait(Interest::READABLE, Some(Duration::from_secs(5))).unwrap());
    let mut buf = [0; 16];
    assert_eq!(server.recv(&mut buf).unwrap(), 5);
    assert_eq!(server.recv(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(client);
    assert_eq!(server.recv(&mut buf).unwrap(), 0);
}

#[test]
fn unix_sockets_carry_bytes_and_their_files_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sock");
    let (passive, active) = unix(&path);
    let mut listener = Listener::open(&passive).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0);
    exchange(&mut listener, &active);

    let busy = Listener::open(&passive).unwrap_err();
    assert_eq!(strerror(&busy), "Address already in use");
    drop(listener);
    assert!(!path.exists());
    assert_eq!(strerror(&Stream::connect(&active).unwrap_err()), "No such file or directory");
}

#[test]
fn a_dead_processs_socket_is_replaced_but_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // leaves its file
    assert!(path.exists());
    let (passive, active) = unix(&path);
    exchange(&mut Listener::open(&passive).unwrap(), &active);

    std::fs::write(&path, "precious").unwrap();
    assert_eq!(strerror(&Listener::open(&passive).unwrap_err()), "Address already in use");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_file_that_others_put_in_place_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let listener = Listener::open(&unix(&path).0).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another's").unwrap();
    drop(listener);
    assert!(path.exists());
}

#[test]
fn paths_may_be_longer_than_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let (passive, active) = unix(&deep.join("db.sock"));
    exchange(&mut Listener::open(&passive).unwrap(), &active);
    let (hopeless, _) = unix(&deep.join("f".repeat(200)));
    assert_eq!(strerror(&Listener::open(&hopeless).unwrap_err()), "File name too long");
}

#[test]
fn tcp_carries_bytes() {
    for (listen, host) in [("ptcp:0:127.0.0.1", "127.0.0.1"), ("ptcp:0:[::1]", "[::1]")] {
        let mut listener = Listener::open(&listen.parse().unwrap()).unwrap();
        let active = format!("tcp:{host}:{}", listener.local_port().unwrap());
        exchange(&mut listener, &active.parse().unwrap());
    }
}

#[test]
fn a_refused_connection_is_an_error() {
    let port = Listener::open(&"ptcp:0:127.0.0.1".parse().unwrap()).unwrap().local_port().unwrap();
    let mut attempt = match Stream::connect(&format!("tcp:127.0.0.1:{port}").parse().unwrap()) {
        Err(error) => return assert_eq!(strerror(&error), "Connection refused"),
        Ok(attempt) => attempt,
    };
    attempt.wait(Interest::WRITABLE, Some(Duration::from_secs(5))).unwrap();
    assert_eq!(strerror(&attempt.poll_connect().unwrap_err()), "Connection refused");
}

#[test]
fn the_poller_reports_levels_and_wakes() {
    let poller = Poller::new().unwrap();
    let mut events = Vec::new();
    let (mut a, b) = Stream::pair().unwrap();
    poller.register(&b, 7, Interest::READABLE).unwrap();
    poller.wait(Some(Duration::ZERO), &mut events).unwrap();
    assert_eq!(events, []);

    a.send(b"x").unwrap();
    let ready = Event { token: 7, readable: true, writable: false, broken: false };
    for _ in 0..2 {
        poller.wait(None, &mut events).unwrap();
        assert_eq!(events, [ready]);
    }
    poller.modify(&b, 8, Interest::BOTH).unwrap();
    poller.wait(None, &mut events).unwrap();
    assert_eq!(events, [Event { token: 8, writable: true, ..ready }]);
    poller.deregister(&b).unwrap();

    let waker = poller.waker(1).unwrap();
    let other = waker.clone();
    std::thread::spawn(move || other.wake()).join().unwrap();
    poller.wait(None, &mut events).unwrap();
    assert_eq!(events.iter().map(|e| e.token).collect::<Vec<_>>(), [1]);
    poller.wait(Some(Duration::ZERO), &mut events).unwrap();
    assert_eq!(events, []);
}
