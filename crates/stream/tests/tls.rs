//! TLS between two streams of ours, and with peers that do not mean it. The certificates are made by openssl, as `ovs-pki` does.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base::Clock;
use stream::tls::{Settings, Trust};
use stream::{Connected, Endpoint, Interest, Keys, Listener, Stream, strerror};

/// A directory with two authorities, `a` and `b`, and certificates that they have signed.
struct Pki(tempfile::TempDir);

impl Pki {
    fn new() -> Pki {
        let pki = Pki(tempfile::tempdir().unwrap());
        for ca in ["a", "b"] {
            let subject = format!("/O=Open vSwitch/CN={ca} CA");
            pki.openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -sha512 -days 30 -keyout {ca}-key.pem -out {ca}.pem -subj"
            ), &[&subject]);
        }
        for (name, ca, days) in
            [("one", "a", "30"), ("two", "a", "30"), ("old", "a", "-1"), ("alien", "b", "30")]
        {
            pki.openssl(&format!("req -newkey rsa:2048 -nodes -sha512 -keyout {name}-key.pem -out {name}.req -subj"), &[
                &format!("/O=Open vSwitch/CN={name}"),
            ]);
            std::fs::write(pki.path("extensions"), "basicConstraints=CA:FALSE").unwrap();
            pki.openssl(&format!(
                "x509 -req -in {name}.req -CA {ca}.pem -CAkey {ca}-key.pem -CAcreateserial -sha512 -days {days} \
                 -extfile extensions -out {name}.pem"
            ), &[]);
        }
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, words: &str, last: &[&str]) {
        let mut command = Command::new("openssl");
        let output = command
            .args(words.split_whitespace())
            .args(last)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn settings(&self, name: &str, trust: Trust) -> Settings {
        Settings {
            private_key: Some(self.path(&format!("{name}-key.pem"))),
            certificate: Some(self.path(&format!("{name}.pem"))),
            trust,
            ..Settings::default()
        }
    }

    /// Who has the certificate `name` and believes those of the authority `ca`.
    fn keys(&self, name: &str, ca: &str) -> Keys {
        Keys::new(self.settings(name, Trust::File(self.path(&format!("{ca}.pem")))), &Clock::real())
    }
}

fn listen(keys: &Keys) -> (Listener, Endpoint) {
    let listener = Listener::open_with(&"pssl:0:127.0.0.1".parse().unwrap(), keys).unwrap();
    let called = format!("ssl:127.0.0.1:{}", listener.local_port().unwrap());
    (listener, called.parse().unwrap())
}

const LONG: Duration = Duration::from_secs(20);

/// Connects; says how it went at the end that called and at the end that was called.
fn meet(caller: &Keys, called: &Keys) -> (Result<Stream, String>, Result<Stream, String>) {
    let (mut listener, endpoint) = listen(called);
    let caller = caller.clone();
    let thread = std::thread::spawn(move || {
        let stream = Stream::connect_with(&endpoint, &caller).map_err(|e| strerror(&e))?;
        let mut stream = finish(stream)?;
        // Of TLS 1.3's handshake the end that calls is done before the other has looked at its certificate.
        stream.send(b"x").map_err(|e| strerror(&e))?;
        read(&mut stream, 1)?;
        Ok(stream)
    });
    listener.wait().unwrap();
    let accepted = listener.accept().map_err(|e| strerror(&e)).and_then(|stream| {
        let mut stream = finish(stream.unwrap())?;
        read(&mut stream, 1)?;
        stream.send(b"y").map_err(|e| strerror(&e))?;
        Ok(stream)
    });
    if accepted.is_err() {
        drop(listener);
    }
    (thread.join().unwrap(), accepted)
}

fn finish(mut stream: Stream) -> Result<Stream, String> {
    while stream.poll_connect().map_err(|e| strerror(&e))? == Connected::InProgress {
        assert!(stream.wait(Interest::WRITABLE, Some(LONG)).unwrap(), "too slow");
    }
    Ok(stream)
}

fn read(stream: &mut Stream, count: usize) -> Result<Vec<u8>, String> {
    let (mut all, mut buf) = (Vec::new(), [0; 1000]);
    while all.len() < count {
        match stream.recv(&mut buf) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                assert!(stream.wait(Interest::READABLE, Some(LONG)).unwrap(), "too slow");
            }
            Err(error) => return Err(strerror(&error)),
        }
    }
    Ok(all)
}

const PROTOCOL: &str = "Protocol error";

#[test]
fn who_shares_an_authority_can_talk_and_nobody_else() {
    let pki = Pki::new();
    let (one, two) = (pki.keys("one", "a"), pki.keys("two", "a"));
    let (caller, called) = meet(&one, &two);
    let (mut caller, mut called) = (caller.unwrap(), called.unwrap());
    assert!(called.name().starts_with("ssl:127.0.0.1:"));

    // More than any buffer holds, in both directions at once; nothing is lost, whatever is read in which pieces.
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
    let copy = sent.clone();
    let echo = std::thread::spawn(move || {
        let got = read(&mut called, copy.len()).unwrap();
        assert!(got == copy, "other bytes");
        called
    });
    let mut rest = &sent[..];
    while !rest.is_empty() {
        match caller.send(rest) {
            Ok(n) => rest = &rest[n..],
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                assert!(caller.wait(Interest::WRITABLE, Some(LONG)).unwrap(), "too slow");
            }
        }
    }
    drop(echo.join().unwrap());
    assert_eq!(read(&mut caller, 1).unwrap_err(), "closed");

    for (caller, called) in [("alien", "two"), ("old", "two")] {
        let (caller, called) = meet(&pki.keys(caller, "a"), &pki.keys(called, "a"));
        assert_eq!(called.unwrap_err(), PROTOCOL);
        assert!(caller.is_err(), "is told");
    }
    let (caller, called) = meet(&pki.keys("one", "b"), &pki.keys("two", "a"));
    assert_eq!((caller.unwrap_err().as_str(), called.unwrap_err().as_str()), (PROTOCOL, PROTOCOL));

    // A file of authorities may name a peer's own certificate.
    let trust = |name: &str| Trust::File(pki.path(&format!("{name}.pem")));
    let a = Keys::new(pki.settings("a", trust("b")), &Clock::real());
    let b = Keys::new(pki.settings("b", trust("a")), &Clock::real());
    let (caller, called) = meet(&a, &b);
    assert!(caller.is_ok() && called.is_ok());
    let (caller, called) = meet(&a, &Keys::new(pki.settings("b", trust("one")), &Clock::real()));
    assert!(caller.is_err() && called.is_err());

    // Who believes anybody asks nobody for a certificate.
    let anybody = Keys::new(pki.settings("alien", Trust::Anybody), &Clock::real());
    assert!(meet(&anybody, &anybody).1.is_ok());
}

#[test]
fn versions_and_ciphers_are_agreed_on_or_not() {
    let pki = Pki::new();
    let with = |name: &str, protocols: &str, ciphers: &str| {
        let mut settings = pki.settings(name, Trust::File(pki.path("a.pem")));
        settings.take("ssl-protocols", protocols).unwrap();
        settings.take("ssl-ciphers", ciphers).unwrap();
        Keys::new(settings, &Clock::real())
    };
    for protocols in ["TLSv1.2", "TLSv1.3", "TLSv1.2+"] {
        let (caller, called) =
            meet(&with("one", protocols, "DEFAULT"), &with("two", protocols, "HIGH"));
        assert!(caller.is_ok() && called.is_ok(), "{protocols}");
    }
    let (caller, called) =
        meet(&with("one", "TLSv1.2", "DEFAULT"), &with("two", "TLSv1.3", "DEFAULT"));
    assert_eq!((caller.unwrap_err().as_str(), called.unwrap_err().as_str()), (PROTOCOL, PROTOCOL));
    let (caller, called) =
        meet(&with("one", "TLSv1.2", "AES128"), &with("two", "TLSv1.2", "CHACHA20"));
    assert_eq!((caller.unwrap_err().as_str(), called.unwrap_err().as_str()), (PROTOCOL, PROTOCOL));
}

#[test]
fn the_first_peer_called_is_believed_and_then_only_its_authority() {
    let pki = Pki::new();
    let file = pki.path("learned.pem");
    let learner = Keys::new(pki.settings("one", Trust::Bootstrap(file.clone())), &Clock::real());

    // Nobody who calls is believed by who believes nobody yet.
    let (_, called) = meet(&pki.keys("two", "a"), &learner);
    assert_eq!(called.unwrap_err(), "Protocol not available");

    let (caller, called) = meet(&learner, &pki.keys("two", "a"));
    assert!(caller.is_ok() && called.is_ok());
    let learned = std::fs::read_to_string(&file).unwrap();
    let original = std::fs::read_to_string(pki.path("a.pem")).unwrap();
    assert_eq!(learned, original);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o444);

    let mut alien = pki.settings("alien", Trust::File(pki.path("a.pem")));
    alien.peer_ca_cert = Some(pki.path("b.pem"));
    assert_eq!(meet(&learner, &Keys::new(alien, &Clock::real())).0.unwrap_err(), PROTOCOL);
    assert!(meet(&pki.keys("two", "a"), &learner).1.is_ok(), "now it can be called");

    // A peer that does not show its authority teaches nothing.
    let nothing = pki.path("nothing.pem");
    let learner = Keys::new(pki.settings("one", Trust::Bootstrap(nothing.clone())), &Clock::real());
    let (caller, _) =
        meet(&learner, &Keys::new(pki.settings("two", Trust::Anybody), &Clock::real()));
    assert_eq!(caller.unwrap_err(), PROTOCOL);
    assert!(!nothing.exists());
}

#[test]
fn files_are_read_again_when_they_change() {
    let pki = Pki::new();
    let copy =
        |from: &str, to: &str| std::fs::copy(pki.path(from), pki.path(to)).map(drop).unwrap();
    copy("alien-key.pem", "changing-key.pem");
    copy("alien.pem", "changing.pem");
    let (changing, two) = (pki.keys("changing", "a"), pki.keys("two", "a"));
    assert!(meet(&changing, &two).1.is_err());
    copy("one-key.pem", "changing-key.pem");
    let error = Stream::connect_with(&"ssl:127.0.0.1:1".parse().unwrap(), &changing).unwrap_err();
    assert_eq!(strerror(&error), "Protocol not available", "key and certificate do not fit");
    copy("one.pem", "changing.pem");
    assert!(meet(&changing, &two).1.is_ok());
    two.set(pki.settings("two", Trust::File(pki.path("b.pem"))));
    assert!(meet(&changing, &two).1.is_err());
    assert!(two.settings().trust == Trust::File(pki.path("b.pem")));
    let error = Stream::connect(&"ssl:127.0.0.1:1".parse().unwrap()).unwrap_err();
    assert_eq!(strerror(&error), "Protocol not available", "no keys");
}

#[test]
fn peers_that_do_not_speak_tls_are_refused() {
    let pki = Pki::new();
    let keys = pki.keys("one", "a");
    let (mut listener, endpoint) = listen(&keys);
    let plain: Endpoint = endpoint.to_string().replace("ssl:", "tcp:").parse().unwrap();
    let flood =
        [0x16u8, 3, 1, 0x40, 0].into_iter().chain([1; 0x4000]).collect::<Vec<u8>>().repeat(40);
    for bytes in [
        &b"{\"id\":0,\"method\":\"echo\",\"params\":[]}"[..],
        b"\x04\0\0\x08\0\0\0\x01",
        &flood,
        b"",
    ] {
        let mut peer = finish(Stream::connect(&plain).unwrap()).unwrap();
        if !bytes.is_empty() {
            peer.send(bytes).unwrap();
        }
        listener.wait().unwrap();
        let stream = listener.accept().unwrap().unwrap();
        if bytes.is_empty() {
            drop(peer);
            assert_eq!(finish(stream).unwrap_err(), PROTOCOL);
        } else {
            assert_eq!(finish(stream).unwrap_err(), PROTOCOL);
        }
    }
    // Half a handshake: nothing happens, and nothing is said to be there.
    let mut peer = finish(Stream::connect(&plain).unwrap()).unwrap();
    peer.send(&[0x16, 3, 1]).unwrap();
    listener.wait().unwrap();
    let mut stream = listener.accept().unwrap().unwrap();
    assert_eq!(stream.poll_connect().unwrap(), Connected::InProgress);
    assert_eq!(stream.recv(&mut [0; 9]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(stream.send(b"secret").unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn what_was_decrypted_but_not_taken_wakes_the_poller() {
    let pki = Pki::new();
    let (caller, called) = meet(&pki.keys("one", "a"), &pki.keys("two", "a"));
    let (mut caller, mut called) = (caller.unwrap(), called.unwrap());
    caller.send(&[7; 100]).unwrap();
    assert_eq!(read(&mut called, 1).unwrap().len(), 100);
    caller.send(&[7; 100]).unwrap();
    assert!(called.wait(Interest::READABLE, Some(LONG)).unwrap());
    assert_eq!(called.recv(&mut [0; 10]).unwrap(), 10);
    let poller = stream::Poller::new().unwrap();
    let mut events = Vec::new();
    called.watch(&poller, 1, Interest::READABLE).unwrap();
    poller.wait(Some(LONG), &mut events).unwrap();
    assert_eq!(events.len(), 1, "90 bytes are left");
    assert!(called.wait(Interest::READABLE, Some(Duration::ZERO)).unwrap());
    assert_eq!(read(&mut called, 90).unwrap().len(), 90);
    called.watch(&poller, 1, Interest::READABLE).unwrap();
    poller.wait(Some(Duration::ZERO), &mut events).unwrap();
    assert_eq!(events, [], "nothing is left");
}

/// The first words of a client, with some bytes replaced, cut short, or followed by noise: whatever comes of it, no byte of ours
/// is encrypted for such a peer, and nothing is left undone.
#[test]
fn garbled_handshakes_end_in_refusal() {
    let pki = Pki::new();
    let keys = pki.keys("one", "a");
    let mut plain = Listener::open(&"ptcp:0:127.0.0.1".parse().unwrap()).unwrap();
    let there = format!("ssl:127.0.0.1:{}", plain.local_port().unwrap()).parse().unwrap();
    let mut client = Stream::connect_with(&there, &keys).unwrap();
    client.wait(Interest::WRITABLE, Some(LONG)).unwrap();
    client.poll_connect().unwrap();
    plain.wait().unwrap();
    let hello = read(&mut plain.accept().unwrap().unwrap(), 100).unwrap();
    drop(client);

    let (mut listener, endpoint) = listen(&keys);
    let plain: Endpoint = endpoint.to_string().replace("ssl:", "tcp:").parse().unwrap();
    let mut dice = 1u64;
    let mut roll = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    for round in 0..400 {
        let mut bytes = hello.clone();
        for _ in 0..roll(4) {
            let at = roll(bytes.len());
            bytes[at] = roll(256) as u8;
        }
        if round % 3 == 0 {
            bytes.truncate(roll(bytes.len()) + 1);
        }
        bytes.extend((0..roll(200)).map(|_| roll(256) as u8));
        let mut peer = finish(Stream::connect(&plain).unwrap()).unwrap();
        peer.send(&bytes).unwrap();
        listener.wait().unwrap();
        let mut stream = listener.accept().unwrap().unwrap();
        assert!(stream.send(b"secret").is_err());
        drop(peer); // resets or closes: the end is in sight either way
        assert!(finish(stream).is_err());
    }
}
