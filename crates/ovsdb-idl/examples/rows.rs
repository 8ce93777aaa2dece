//! Rust for the rows of a schema, on standard output: `cargo run -p ovsdb-idl --example rows -- SCHEMA_FILE > rows.rs`.

use std::process::ExitCode;

use ovsdb_idl::jsonrpc::Json;
use ovsdb_idl::ovsdb::Schema;
use ovsdb_idl::rows;

fn rows_of(file: &str) -> Result<String, Box<dyn std::error::Error>> {
    let schema = Schema::from_json(&Json::parse(&std::fs::read_to_string(file)?)?)?;
    Ok(rows::generate(&schema))
}

fn main() -> ExitCode {
    let mut files = std::env::args().skip(1);
    let (Some(file), None) = (files.next(), files.next()) else {
        eprintln!("usage: rows SCHEMA_FILE > RUST_FILE");
        return ExitCode::FAILURE;
    };
    match rows_of(&file) {
        Ok(rust) => {
            print!("{rust}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{file}: {error}");
            ExitCode::FAILURE
        }
    }
}
