//! The keys of a program: the files of its [`Settings`], read, and read again when they change.
//!
//! All connections of a program share one [`Keys`]. Before each new connection the files are looked at; the parsed form is kept
//! as long as none of them changed. Connections that stand keep what they began with.

use super::verify::{Authorities, Verifier};
use super::{Settings, Trust};
use base::{Clock, TokenBucket};
use rustix::io::Errno;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Larger files are not keys.
const FILE_MAX: u64 = 1 << 20;
/// More certificates are not one authority's or one chain.
const CERTIFICATES_MAX: usize = 256;
/// So many lines about peers' failures may come at once, and then one a second.
const LINES_AT_ONCE: u64 = 25;

/// A handle on the keys of a program. Copies are handles on the same.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    settings: Settings,
    loaded: Option<Loaded>,
    lines: TokenBucket,
    untold: u64,
}

/// What is made of the files.
struct Loaded {
    stamps: Vec<Stamp>,
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
    /// Where the first peer's authority goes, while there is none.
    bootstrap: Option<PathBuf>,
}

/// What a connection that we make needs.
pub(super) struct ClientKeys {
    pub(super) config: Arc<ClientConfig>,
    pub(super) bootstrap: Option<PathBuf>,
}

impl Default for Keys {
    /// None: every connection is refused.
    fn default() -> Keys {
        Keys::new(Settings::default(), &Clock::real())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.lock().settings).finish()
    }
}

impl Keys {
    /// The keys that `settings` name. The files are read when the first connection is made.
    pub fn new(settings: Settings, clock: &Clock) -> Keys {
        let lines = TokenBucket::new(1, LINES_AT_ONCE, clock.now());
        let state = State { settings, loaded: None, lines, untold: 0 };
        Keys(Arc::new(Shared { clock: clock.clone(), state: Mutex::new(state) }))
    }

    /// Has other files be used from the next connection on.
    pub fn set(&self, settings: Settings) {
        let mut state = self.lock();
        if state.settings != settings {
            state.settings = settings;
            state.loaded = None;
        }
    }

    /// The files used.
    pub fn settings(&self) -> Settings {
        self.lock().settings.clone()
    }

    /// The time by which certificates are judged.
    pub(super) fn time(&self) -> UnixTime {
        UnixTime::since_unix_epoch(self.0.clock.wall())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a connection that we make. An error, which the log explains, if the files are not fit for any.
    pub(super) fn client(&self) -> io::Result<ClientKeys> {
        self.loaded(|loaded| {
            let (config, bootstrap) = (loaded.client.clone(), loaded.bootstrap.clone());
            Ok(ClientKeys { config, bootstrap })
        })
    }

    /// For a connection that somebody makes to us.
    pub(super) fn server(&self) -> io::Result<Arc<ServerConfig>> {
        self.loaded(|loaded| {
            let nobody = "no peer is believed before there is a CA certificate, which bootstrapping is to bring";
            loaded.server.clone().ok_or_else(|| nobody.to_owned())
        })
    }

    fn loaded<T>(&self, get: impl FnOnce(&Loaded) -> Result<T, String>) -> io::Result<T> {
        let mut state = self.lock();
        let stamps = state.settings.stamps();
        if state.loaded.as_ref().is_none_or(|loaded| loaded.stamps != stamps) {
            state.loaded = None;
        }
        let result = match state.loaded.take() {
            Some(loaded) => Ok(loaded),
            None => load(&state.settings, stamps, &self.0.clock),
        };
        let result = result.and_then(|loaded| get(state.loaded.insert(loaded)));
        drop(state);
        result.map_err(|why| {
            self.complain(log::Level::Error, &why);
            Errno::NOPROTOOPT.into()
        })
    }

    /// Logs a failure, unless there are too many.
    pub(super) fn complain(&self, level: log::Level, text: &str) {
        let mut state = self.lock();
        if !state.lines.take(1, self.0.clock.now()) {
            state.untold += 1;
            return;
        }
        let untold = std::mem::take(&mut state.untold);
        drop(state);
        if untold > 0 {
            log::warn!(target: "stream_ssl", "{untold} more failures were not logged");
        }
        log::log!(target: "stream_ssl", level, "{text}");
    }
}

/// How a file looks from outside: another look means other content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<[i64; 5]>);

impl Stamp {
    fn of(path: &Path) -> Stamp {
        let known = std::fs::metadata(path).ok();
        Stamp(known.map(|m| {
            let size = i64::try_from(m.size()).unwrap_or(i64::MAX);
            [m.mtime(), m.mtime_nsec(), m.ctime_nsec(), size, m.ino().cast_signed()]
        }))
    }
}

impl Settings {
    fn stamps(&self) -> Vec<Stamp> {
        let files = [self.private_key.as_deref(), self.certificate.as_deref(), self.trust.file()];
        files.into_iter().chain([self.peer_ca_cert.as_deref()]).flatten().map(Stamp::of).collect()
    }
}

fn load(settings: &Settings, stamps: Vec<Stamp>, clock: &Clock) -> Result<Loaded, String> {
    let (Some(key_file), Some(cert_file)) = (&settings.private_key, &settings.certificate) else {
        let what = if settings.private_key.is_none() { "Private key" } else { "Certificate" };
        return Err(format!("{what} must be configured to use SSL"));
    };
    let provider = Arc::new(CryptoProvider {
        cipher_suites: settings.ciphers.suites(),
        ..rustls::crypto::ring::default_provider()
    });
    let authorities = match &settings.trust {
        Trust::Unset => return Err("CA certificate must be configured to use SSL".to_owned()),
        Trust::Anybody => None,
        Trust::Bootstrap(path) if !path.exists() => None,
        Trust::File(path) | Trust::Bootstrap(path) => {
            let known = Authorities::new(certificates(path)?, &provider);
            Some(known.map_err(|e| format!("{}: not a CA certificate ({e})", path.display()))?)
        }
    };
    let mut chain = certificates(cert_file)?;
    if let Some(authorities) = &authorities {
        chain.extend(authorities.that_signed(&chain));
    }
    if let Some(path) = &settings.peer_ca_cert {
        let more = certificates(path)?;
        chain.extend(more.into_iter().filter(|cert| !chain.contains(cert)).collect::<Vec<_>>());
    }
    let key = private_key(key_file)?;
    let bootstrap = match &settings.trust {
        Trust::Bootstrap(path) if authorities.is_none() => Some(path.clone()),
        _ => None,
    };
    let anybody = authorities.is_none() && bootstrap.is_none();
    if anybody {
        log::warn!(target: "stream_ssl", "Peer certificate validation disabled (this is a security risk)");
    }
    let verifier = Arc::new(Verifier::new(authorities, &provider));
    let time = Arc::new(WallTime(clock.clone()));
    let (wrong_pair, wrong_versions) = (
        |e| format!("{}: does not fit {} ({e})", key_file.display(), cert_file.display()),
        |e| format!("ciphers and protocols chosen do not fit each other ({e})"),
    );
    let versions = settings.protocols.versions();
    let mut client = ClientConfig::builder_with_details(provider.clone(), time.clone())
        .with_protocol_versions(versions)
        .map_err(wrong_versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(wrong_pair)?;
    client.resumption = Resumption::disabled(); // every connection is judged by itself
    let server = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(versions)
        .map_err(wrong_versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(wrong_pair)?;
    let mut server = server;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let server = bootstrap.is_none().then(|| Arc::new(server));
    Ok(Loaded { stamps, client: Arc::new(client), server, bootstrap })
}

/// The time by which certificates are judged.
#[derive(Clone)]
struct WallTime(Clock);

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallTime")
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.wall()))
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        return Err(format!("{}: not a regular file", path.display())); // reading it might never end
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("{}: {}", path.display(), crate::strerror(&error))),
        Ok(_) if bytes.len() as u64 > FILE_MAX => Err(format!("{}: too large", path.display())),
        Ok(_) => Ok(bytes),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = contents(path)?;
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes).take(CERTIFICATES_MAX).collect();
    let found = found.map_err(|error| format!("{}: bad PEM ({error})", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: contains no certificate in PEM form", path.display()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = contents(path)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| format!("{}: contains no private key in PEM form", path.display()))
}

/// Keeps the authority that a peer has shown, if it has signed the peer's own certificate, in a new file at `path`.
pub(super) fn keep_authority(
    path: &Path,
    chain: &[CertificateDer<'static>],
    config: &ClientConfig,
    now: UnixTime,
) -> Result<(), String> {
    let why = |why: &str| format!("could not bootstrap CA cert: {why}");
    let (Some(leaf), Some(last)) = (chain.first(), chain.last()) else {
        return Err(why("no certificate presented by peer"));
    };
    let root = webpki::EndEntityCert::try_from(last).map_err(|e| why(&e.to_string()))?;
    if root.issuer() != root.subject() {
        return Err(why(
            "certificate chain sent by peer does not end in a self-signed certificate; \
                        does it have --peer-ca-cert?",
        ));
    }
    let signed = Authorities::new(vec![last.clone()], config.crypto_provider())
        .map_err(|e| why(&e.to_string()))
        .and_then(|known| {
            let others = chain.get(1..).unwrap_or_default();
            let usage = webpki::KeyUsage::server_auth();
            known.check(leaf, others, now, usage).map_err(|e| why(&super::words::explain(&e)))
        });
    signed?;
    let mut options = File::options();
    let created = options.write(true).create_new(true).mode(0o444).open(path);
    let written = created.and_then(|mut file| {
        let result = file.write_all(pem(last).as_bytes());
        result.inspect_err(|_| drop(std::fs::remove_file(path))) // half a certificate would be worse than none
    });
    written.map_err(|e| why(&format!("creating {} ({})", path.display(), crate::strerror(&e))))?;
    log::info!(target: "stream_ssl", "successfully bootstrapped CA cert to {}", path.display());
    Ok(())
}

/// A certificate in PEM form (RFC 7468).
fn pem(certificate: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const BYTES_PER_LINE: usize = 48;
    let letter = |n: u32| char::from(ALPHABET.get(n as usize & 63).copied().unwrap_or(b'A'));
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in certificate.chunks(BYTES_PER_LINE) {
        for triple in line.chunks(3) {
            let byte = |i: usize| u32::from(triple.get(i).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for i in 0..4 {
                let there = i <= triple.len();
                text.push(if there { letter(bits >> (18 - 6 * i)) } else { '=' });
            }
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_as_pem_reads_back(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            let read = CertificateDer::from_pem_slice(pem(&bytes).as_bytes()).unwrap();
            prop_assert_eq!(read.as_ref(), &bytes[..]);
        }

        #[test]
        fn files_of_any_content_are_read_or_refused(
            text in "(-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY)-----\n|[A-Za-z+/=]{0,9}\n|\u{0}){0,9}"
        ) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            prop_assert!(certificates(file.path()).is_err() || certificates(file.path()).unwrap().len() < 9);
            let _ = private_key(file.path());
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut settings = Settings::default();
        let clock = Clock::real();
        let complaint = |settings: &Settings| load(settings, Vec::new(), &clock).err().unwrap();
        assert_eq!(complaint(&settings), "Private key must be configured to use SSL");
        settings.private_key = Some("/nonexistent/k".into());
        assert_eq!(complaint(&settings), "Certificate must be configured to use SSL");
        settings.certificate = Some("/nonexistent/c".into());
        assert_eq!(complaint(&settings), "CA certificate must be configured to use SSL");
        settings.trust = Trust::Anybody;
        assert_eq!(complaint(&settings), "/nonexistent/c: No such file or directory");
        settings.certificate = Some("/dev/zero".into());
        assert_eq!(complaint(&settings), "/dev/zero: not a regular file");
        let file = tempfile::NamedTempFile::new().unwrap();
        settings.certificate = Some(file.path().to_owned());
        assert!(complaint(&settings).ends_with(": contains no certificate in PEM form"));
        file.as_file().set_len(FILE_MAX + 1).unwrap();
        assert!(complaint(&settings).ends_with(": too large"));
    }
}
