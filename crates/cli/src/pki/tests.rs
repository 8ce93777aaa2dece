//! What is made is what openssl, and so the reference's program, makes and takes.

use std::path::Path;
use std::process::Command;

use super::run;

/// A directory to work in. Names of files are given whole, for tests share a process and so a working directory.
struct Here(tempfile::TempDir);

impl Here {
    fn new() -> Here {
        Here(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Whether it succeeds, and what it prints. A word `@X` is the file X.
    fn pki(&self, words: &str, input: &str) -> (bool, String) {
        let dir = format!("--dir={}", self.path("pki"));
        let words = words.split(' ').map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name),
            None => word.to_owned(),
        });
        let args = [dir].into_iter().chain(words).map(Into::into);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(args, &mut input.as_bytes(), &mut out, &mut err);
        out.append(&mut err);
        let succeeded = code == std::process::ExitCode::SUCCESS;
        (succeeded, String::from_utf8(out).unwrap().replace(&self.path(""), ""))
    }

    #[track_caller]
    fn succeed(&self, words: &str) -> String {
        let (succeeded, text) = self.pki(words, "");
        assert!(succeeded, "{words}: {text}");
        text
    }

    #[track_caller]
    fn fail(&self, words: &str) -> String {
        let (succeeded, text) = self.pki(words, "");
        assert!(!succeeded, "{words}: {text}");
        text
    }

    #[track_caller]
    fn openssl(&self, words: &str) -> String {
        let output = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{words}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(Path::new(&self.path(name))).unwrap().permissions().mode() & 0o777
    }
}

#[test]
fn what_is_made_is_taken_by_openssl() {
    let here = Here::new();
    here.succeed("init");
    assert!(here.fail("init").contains("already exists and --force not specified"));
    let printed = here.succeed("--unique req+sign @sc switch");
    assert!(printed.contains("sc-req.pem\t") && printed.contains("\n\tfingerprint "), "{printed}");
    here.openssl("verify -CAfile pki/switchca/cacert.pem -purpose sslclient sc-cert.pem");
    here.openssl("verify -CAfile pki/switchca/cacert.pem -purpose sslserver sc-cert.pem");
    here.openssl("req -in sc-req.pem -noout -verify");
    let shown = here.openssl("x509 -in sc-cert.pem -noout -text");
    assert!(
        shown.contains("CN = sc") && shown.contains("DNS:sc") && shown.contains("CA:FALSE"),
        "{shown}"
    );
    assert_eq!(
        (here.mode("sc-privkey.pem"), here.mode("pki/switchca/private/cakey.pem")),
        (0o600, 0o600)
    );
    assert_eq!(here.mode("pki/switchca/private"), 0o700);
    assert_eq!(here.succeed("verify @sc switch"), "sc-cert.pem: OK\n");
    assert!(here.fail("verify @sc controller").contains("verification failed"));
    let want = here.openssl("x509 -in sc-cert.pem -noout -fingerprint -sha1").replace(':', "");
    let got = here.succeed("fingerprint @sc-cert.pem");
    assert!(want.trim().ends_with(got.trim().rsplit(' ').next().unwrap()), "{want} {got}");
}

#[test]
fn what_openssl_has_made_is_taken() {
    let here = Here::new();
    here.succeed("init");
    // An authority and a request with RSA keys, as the reference's program makes them.
    here.openssl("req -x509 -newkey rsa:2048 -nodes -sha512 -subj /CN=old -days 9 -keyout pki/switchca/private/cakey.pem -out pki/switchca/cacert.pem");
    here.openssl("req -newkey rsa:2048 -nodes -sha512 -subj /CN=x -addext basicConstraints=CA:TRUE -keyout x-privkey.pem -out x-req.pem -text");
    here.succeed("--batch sign @x");
    assert!(
        here.openssl("x509 -in x-cert.pem -noout -text").contains("CA:FALSE"),
        "what was not asked of us"
    );
    here.openssl("verify -CAfile pki/switchca/cacert.pem x-cert.pem");
    assert!(
        here.fail("--batch sign @x").contains("x-cert.pem already exists and --force not supplied")
    );
    here.succeed("--force self-sign @x");
    here.openssl("verify -CAfile x-cert.pem x-cert.pem");

    // A request that somebody has changed on its way.
    let request = std::fs::read_to_string(here.path("x-req.pem")).unwrap();
    let at = request.rfind("\n-----END").unwrap() - 20;
    let other = if request.as_bytes()[at] == b'A' { "B" } else { "A" };
    std::fs::write(
        here.path("y-req.pem"),
        format!("{}{other}{}", &request[..at], &request[at + 1..]),
    )
    .unwrap();
    assert!(here.fail("--batch sign @y").contains("bad certificate request"));
}

#[test]
fn nothing_is_signed_unless_the_fingerprint_is_confirmed() {
    let here = Here::new();
    here.succeed("init");
    let printed = here.succeed("req @n");
    for (answer, signed) in [("", false), ("no\n", false), ("what?\nyes\n", true)] {
        let (succeeded, text) = here.pki("sign @n", answer);
        assert_eq!(succeeded, signed, "{answer}");
        assert!(
            text.starts_with(&printed) && text.contains("Does fingerprint match? (yes/no)"),
            "{text}"
        );
        assert_eq!(Path::new(&here.path("n-cert.pem")).exists(), signed);
    }
}

#[test]
fn mistakes_are_named() {
    let here = Here::new();
    for (words, text) in [
        ("sign @n", "n-req.pem does not exist"),
        ("verify @n", "n-cert.pem does not exist"),
        ("req", "req must have exactly one argument; use --help for help"),
        ("frob", "frob command unknown; use --help for help"),
        ("sign @n guest", "type argument must be 'switch' or 'controller'"),
        ("req+sign @n", "does not exist or is not a directory; use 'ovs-pki init' to create it"),
        ("--key=dsa req @n", "--key dsa: keys are made for ECDSA with P-256"),
        ("fingerprint @n", "n: No such file or directory"),
    ] {
        let said = here.fail(words);
        assert!(said.contains(text), "{words}: {said}");
    }
}
