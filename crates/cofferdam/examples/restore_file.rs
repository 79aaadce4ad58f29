//! How do I restore a file, all or nothing? `cargo run --release -p cofferdam --example restore_file -- SEALED TARGET IDENTITY-FILE`
//! Shows how an error tells what happened, where, and what to do.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use cofferdam::{ErrorKind, Identities};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [sealed, target, identity] = &arguments[..] else {
        eprintln!("usage: restore_file SEALED TARGET IDENTITY-FILE");
        return ExitCode::from(2);
    };
    let identities = fs::read(identity).map_err(|error| error.to_string());
    let identities =
        identities.and_then(|text| Identities::new().identity_file(text).map_err(|error| error.to_string()));
    let identities = match identities {
        Ok(identities) => identities,
        Err(error) => {
            eprintln!("{identity}: {error}");
            return ExitCode::from(2);
        }
    };
    match cofferdam::restore(Path::new(sealed), Path::new(target), identities) {
        Ok(restored) => println!("{} bytes restored, each segment verified", restored.plaintext_len),
        Err(error) => {
            eprintln!("{error}");
            eprintln!("{}", error.advice().unwrap_or("The target is as it was."));
            return ExitCode::from(if error.kind() == ErrorKind::Damaged { 3 } else { 1 });
        }
    }
    ExitCode::SUCCESS
}
