//! `ovs-pki`: keys and certificates for switches and controllers (ovs-pki(8)).
//!
//! A public key infrastructure is a directory with two authorities, `switchca` and `controllerca`: whom controllers believe, and
//! whom switches believe. Each has a certificate, `cacert.pem`, and a key, `private/cakey.pem`. Whoever is to show a certificate
//! makes a key and a request to sign it ([`Pki::request`]); the authority's owner compares fingerprints, and signs
//! ([`Pki::sign`]).
//!
//! Keys are ECDSA's, of P-256. Requests and authorities with RSA keys, as Open vSwitch's program makes them, are signed and used
//! all the same.

mod certificates;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base::Clock;
use observe::options::{COMMON, Opt, Options};
use observe::{dirs, version};

use certificates::{Authority, Holder};

const PROGRAM: &str = "ovs-pki";

const OWN: &[Opt] = &[
    Opt::value("key").short('k'),
    Opt::value("bits").short('B'),
    Opt::value("dsaparam").short('D'),
    Opt::flag("batch").short('b'),
    Opt::value("dir").short('d'),
    Opt::flag("force").short('f'),
    Opt::value("log").short('l'),
    Opt::flag("unique").short('u'),
];

/// Why the program ends without success: printed behind its name, or said already.
enum Stop {
    Fatal(String),
    Said(ExitCode),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Fatal(text)
    }
}

/// Runs the program with these arguments (its own name not among them).
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    match execute(args, input, out, err) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Said(code)) => code,
        Err(Stop::Fatal(text)) => {
            // Nobody is left to complain to when this fails.
            let _ = writeln!(err, "{PROGRAM}: {text}");
            ExitCode::FAILURE
        }
    }
}

/// What the options say, and where things are.
struct Pki<'a> {
    dir: PathBuf,
    batch: bool,
    force: bool,
    unique: bool,
    clock: Clock,
    input: &'a mut dyn BufRead,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

fn execute(
    args: impl IntoIterator<Item = OsString>,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Stop> {
    let mut options = Options::new(&[OWN, COMMON], args);
    let dir = PathBuf::from("/var/lib/openvswitch/pki");
    let (batch, force, unique, clock) = (false, false, false, Clock::real());
    let mut pki = Pki { dir, batch, force, unique, clock, input, out, err };
    while let Some(option) = options.next()? {
        match option.name {
            "help" => return pki.print(&usage()),
            "version" => return pki.print(&version::text(PROGRAM)),
            "batch" => pki.batch = true,
            "force" => pki.force = true,
            "unique" => pki.unique = true,
            "dir" => pki.dir = dirs::absolute(Path::new(option.arg())),
            "log" => {} // there is no other program whose words would go there
            "key" if option.arg() == "ecdsa" => {}
            name => {
                let text = format!("--{name} {}: keys are made for ECDSA with P-256", option.arg());
                return Err(text.into());
            }
        }
    }
    let words = options.operands();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Err("missing command name; use --help for help".to_owned().into()),
        ["init"] => pki.init(),
        ["req", name] => pki.request(name),
        ["sign", name, kind @ ..] if kind.len() < 2 => {
            let kind = authority(kind)?;
            pki.is_trusted(name)?;
            pki.sign(name, kind)
        }
        ["req+sign", name, kind @ ..] if kind.len() < 2 => {
            let kind = authority(kind)?;
            pki.authority(kind)?;
            pki.request(name)?;
            pki.sign(name, kind)
        }
        ["verify", name, kind @ ..] if kind.len() < 2 => {
            let kind = authority(kind)?;
            pki.verify(name, kind)
        }
        ["fingerprint", file] => pki.fingerprint(file),
        ["self-sign", name] => pki.self_sign(name),
        [
            command @ ("init" | "req" | "sign" | "req+sign" | "verify" | "fingerprint"
            | "self-sign"),
            ..,
        ] => {
            let count = match *command {
                "init" => "no arguments",
                "req" | "fingerprint" | "self-sign" => "exactly one argument",
                _ => "one or two arguments",
            };
            Err(format!("{command} must have {count}; use --help for help").into())
        }
        [command, ..] => Err(format!("{command} command unknown; use --help for help").into()),
    }
}

/// The authority for certificates of this type.
fn authority(kind: &[&str]) -> Result<&'static str, Stop> {
    match kind.first() {
        None | Some(&"switch") => Ok("switchca"),
        Some(&"controller") => Ok("controllerca"),
        Some(_) => Err("type argument must be 'switch' or 'controller'".to_owned().into()),
    }
}

impl Pki<'_> {
    fn print(&mut self, text: &str) -> Result<(), Stop> {
        let printed = self.out.write_all(text.as_bytes());
        printed.map_err(|e| format!("write failed ({})", stream::strerror(&e)).into())
    }

    /// Makes both authorities.
    fn init(&mut self) -> Result<(), Stop> {
        if self.dir.exists() && !self.force {
            return Err(
                format!("{} already exists and --force not specified", self.dir.display()).into()
            );
        }
        for name in ["controllerca", "switchca"] {
            let dir = self.dir.join(name);
            for path in [&dir, &dir.join("private")] {
                std::fs::create_dir_all(path).map_err(|e| words(path, &e))?;
            }
            restrict(&dir.join("private"), 0o700)?;
            let holder = Holder::generate()?;
            let certificate = holder.authority(name, &self.clock)?;
            write(&dir.join("private/cakey.pem"), &holder.private_key(), Secrecy::Secret)?;
            write(&dir.join("cacert.pem"), &certificate, Secrecy::Public)?;
        }
        Ok(())
    }

    fn authority(&self, name: &str) -> Result<Authority, Stop> {
        if !self.dir.is_dir() {
            let dir = self.dir.display();
            return Err(format!(
                "{dir} does not exist or is not a directory; use '{PROGRAM} init' to create it"
            )
            .into());
        }
        let dir = self.dir.join(name);
        let certificate = read(&dir.join("cacert.pem"))?;
        Ok(Authority::new(&certificate, &read(&dir.join("private/cakey.pem"))?)?)
    }

    /// Makes a key and a request to sign it.
    fn request(&mut self, name: &str) -> Result<(), Stop> {
        let (key, request) = (file(name, "privkey"), file(name, "req"));
        self.must_not_exist(&key)?;
        self.must_not_exist(&request)?;
        let holder = Holder::generate()?;
        let subject =
            if self.unique { name.to_owned() } else { format!("{name} id:{}", random_id()?) };
        let subject = Path::new(&subject)
            .file_name()
            .map_or(subject.clone(), |base| base.to_string_lossy().into_owned());
        let text = holder.request(&subject)?;
        write(&key, &holder.private_key(), Secrecy::Secret)?;
        write(&request, &text, Secrecy::Public)?;
        self.fingerprint(&request.display().to_string())
    }

    /// Asks whether the request is the one that its maker wrote down the fingerprint of.
    fn is_trusted(&mut self, name: &str) -> Result<(), Stop> {
        let request = file(name, "req");
        must_exist(&request)?;
        self.fingerprint(&request.display().to_string())?;
        if self.batch {
            return Ok(());
        }
        loop {
            self.print("Does fingerprint match? (yes/no)\n")?;
            let mut answer = String::new();
            let count = self.input.read_line(&mut answer).unwrap_or(0);
            match answer.trim() {
                "yes" | "y" | "YES" | "Y" => return Ok(()),
                "no" | "n" | "NO" | "N" => return Err(Stop::Said(ExitCode::FAILURE)),
                _ if count == 0 => return Err(Stop::Said(ExitCode::FAILURE)),
                _ => {}
            }
        }
    }

    fn sign(&mut self, name: &str, kind: &str) -> Result<(), Stop> {
        let (request, certificate) = (file(name, "req"), file(name, "cert"));
        must_exist(&request)?;
        self.must_not_exist(&certificate)?;
        let signed = self.authority(kind)?.sign(&read(&request)?, &self.clock)?;
        Ok(write(&certificate, &signed, Secrecy::Public)?)
    }

    fn self_sign(&mut self, name: &str) -> Result<(), Stop> {
        let (request, key, certificate) =
            (file(name, "req"), file(name, "privkey"), file(name, "cert"));
        must_exist(&request)?;
        must_exist(&key)?;
        self.must_not_exist(&certificate)?;
        let signed = Holder::read(&read(&key)?)?.self_sign(&read(&request)?, &self.clock)?;
        Ok(write(&certificate, &signed, Secrecy::Public)?)
    }

    fn verify(&mut self, name: &str, kind: &str) -> Result<(), Stop> {
        let certificate = file(name, "cert");
        must_exist(&certificate)?;
        let authority = read(&self.dir.join(kind).join("cacert.pem"))?;
        match certificates::verify(&read(&certificate)?, &authority, &self.clock) {
            Ok(()) => self.print(&format!("{}: OK\n", certificate.display())),
            Err(why) => {
                let said = writeln!(
                    self.err,
                    "error {}: verification failed: {why}",
                    certificate.display()
                );
                drop(said); // nobody is left to complain to when this fails
                Err(Stop::Said(ExitCode::from(2)))
            }
        }
    }

    /// Prints when a file was changed, and its digest: of a certificate, that of its binary form.
    fn fingerprint(&mut self, name: &str) -> Result<(), Stop> {
        let path = Path::new(name);
        let bytes = read_bytes(path)?;
        let changed = std::fs::metadata(path).and_then(|known| known.modified());
        let changed = changed.map_err(|e| words(path, &e))?;
        let digest = certificates::fingerprint(&bytes);
        self.print(&format!("{name}\t{}\n\tfingerprint {digest}\n", certificates::date(changed)))
    }

    fn must_not_exist(&self, path: &Path) -> Result<(), Stop> {
        if path.exists() && !self.force {
            return Err(
                format!("{} already exists and --force not supplied", path.display()).into()
            );
        }
        Ok(())
    }
}

/// `NAME-WHAT.pem`
fn file(name: &str, what: &str) -> PathBuf {
    PathBuf::from(format!("{name}-{what}.pem"))
}

fn must_exist(path: &Path) -> Result<(), Stop> {
    if path.exists() { Ok(()) } else { Err(format!("{} does not exist", path.display()).into()) }
}

fn words(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {}", path.display(), stream::strerror(error))
}

/// Larger files are not keys.
const FILE_MAX: u64 = 1 << 20;

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|e| words(path, &e))?;
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(|e| words(path, &e))?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<String, String> {
    Ok(String::from_utf8_lossy(&read_bytes(path)?).into_owned())
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    Public,
    /// Its owner alone.
    Secret,
}

fn write(path: &Path, text: &str, secrecy: Secrecy) -> Result<(), String> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if secrecy == Secrecy::Secret { 0o600 } else { 0o666 };
    // A secret is never written to a file that somebody else has made.
    let _ = std::fs::remove_file(path);
    let created = std::fs::File::options().write(true).create_new(true).mode(mode).open(path);
    created.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| words(path, &e))
}

fn restrict(path: &Path, mode: u32) -> Result<(), String> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, mode).map_err(|e| words(path, &e))
}

/// A random UUID (RFC 9562, section 5.4), by which certificates of the same name are told apart.
fn random_id() -> Result<String, String> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| format!("no random numbers ({})", stream::strerror(&e.into())))?;
    Ok(ovsdb::UuidSource::from_seed(seed).next_uuid().to_string())
}

fn usage() -> String {
    format!(
        "{PROGRAM}: keys and certificates for OpenFlow and OVSDB\n\
         usage: {PROGRAM} [OPTION...] COMMAND [ARG...]\n\
         \nCommands:\n\
         \x20 init                    make a public key infrastructure\n\
         \x20 req NAME                make a key, NAME-privkey.pem, and a request, NAME-req.pem\n\
         \x20 sign NAME [TYPE]        sign NAME-req.pem, making NAME-cert.pem\n\
         \x20 req+sign NAME [TYPE]    both\n\
         \x20 verify NAME [TYPE]      see whether NAME-cert.pem is a certificate of that type\n\
         \x20 fingerprint FILE        print the fingerprint of FILE\n\
         \x20 self-sign NAME          sign NAME-req.pem with NAME-privkey.pem, making NAME-cert.pem\n\
         where TYPE is \"switch\" (the default) or \"controller\".\n\
         \nOptions:\n\
         \x20 -k, --key=ecdsa         the kind of keys to make: there is no other\n\
         \x20 -b, --batch             sign without asking about the fingerprint\n\
         \x20 -d, --dir=DIR           where the infrastructure is\n\
         \x20                         (default: /var/lib/openvswitch/pki)\n\
         \x20 -f, --force             go on even if files exist already\n\
         \x20 -u, --unique            NAME is unique: do not append an id to it\n\
         \x20 -l, --log=FILE          taken for the sake of scripts; nothing is written\n\
         \x20 -h, --help              display this help message\n\
         \x20 -V, --version           display version information\n"
    )
}

#[cfg(test)]
mod tests;
