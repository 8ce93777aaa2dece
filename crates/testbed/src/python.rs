//! Programs from PyPI that speak to switches as their users' do: os-ken's controllers and its conformance tests, faucet.
//!
//! They live in a virtual environment of their own, `target/python` of the checkout or where [`VARIABLE`] says; [`INSTALL`]
//! makes it.

use std::path::{Path, PathBuf};

use crate::{Cmd, Error, Netns, Result};

/// The variable that names another virtual environment.
pub const VARIABLE: &str = "FERROSWITCH_PYTHON";

/// What makes the environment, from the root of the checkout.
pub const INSTALL: &str = "python3 -m venv target/python && target/python/bin/pip install faucet==1.10.12 os-ken==3.1.0 \
                           ovs==3.7.0 ovsdbapp==2.12.0";

/// A virtual environment with the packages installed.
#[derive(Clone, Debug)]
pub struct Python(PathBuf);

impl Python {
    /// The environment, or an error that says how to make it.
    pub fn find() -> Result<Self> {
        let this = Self::here();
        for program in ["osken-manager", "faucet"] {
            if !this.program(program).exists() {
                let at = this.0.display();
                return Err(Error::Missing(format!(
                    "{program} is needed in {at}, and is not there; make it: {INSTALL}"
                )));
            }
        }
        Ok(this)
    }

    /// The environment, if it has the packages that speak to databases.
    pub fn with_database_clients() -> Result<Self> {
        let this = Self::here();
        for package in ["ovs", "ovsdbapp"] {
            this.file(&format!("{package}/__init__.py")).map_err(|_| {
                let at = this.0.display();
                Error::Missing(format!(
                    "the package {package} is needed in {at}, and is not there; make it: {INSTALL}"
                ))
            })?;
        }
        Ok(this)
    }

    fn here() -> Self {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python");
        Self(std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(here), PathBuf::from))
    }

    /// A script with these arguments, in a namespace.
    pub fn script<S: Into<String>>(
        &self,
        ns: &Netns,
        script: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Cmd {
        self.run(ns, "python", [script.display().to_string()]).args(args)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// A file of a package.
    pub fn file(&self, path: &str) -> Result<PathBuf> {
        let lib = self.0.join("lib");
        let versions =
            std::fs::read_dir(&lib).map_err(Error::io(format!("cannot read {}", lib.display())))?;
        versions
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages").join(path)))
            .find(|file| file.exists())
            .ok_or_else(|| Error::Missing(format!("{path} is not in {}", self.0.display())))
    }

    /// os-ken's manager with these arguments, in a namespace.
    pub fn osken<S: Into<String>>(&self, ns: &Netns, args: impl IntoIterator<Item = S>) -> Cmd {
        self.run(ns, "osken-manager", args)
    }

    /// faucet with this configuration, in a namespace; it logs into `dir`.
    pub fn faucet(&self, ns: &Netns, config: &Path, dir: &Path) -> Cmd {
        let log = |name: &str| dir.join(name).display().to_string();
        self.run::<String>(ns, "faucet", [])
            .env("FAUCET_CONFIG", config.display().to_string())
            .env("FAUCET_LOG", log("faucet.log"))
            .env("FAUCET_EXCEPTION_LOG", log("faucet_exception.log"))
            .env("FAUCET_EVENT_SOCK", log("faucet.sock"))
    }

    fn run<S: Into<String>>(
        &self,
        ns: &Netns,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Cmd {
        // faucet looks for os-ken's manager on the path.
        let bin = self.0.join("bin").display().to_string();
        let path = std::env::var("PATH").map_or(bin.clone(), |path| format!("{bin}:{path}"));
        let program = self.program(program).display().to_string();
        Cmd::new([program]).args(args).env("PATH", path).netns(ns.name())
    }
}
