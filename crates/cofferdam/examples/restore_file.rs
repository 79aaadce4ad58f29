//! How do I restore a file, all or nothing? `cargo run --release -p cofferdam --example restore_file -- SEALED TARGET IDENTITY-FILE`
//! Shows how an error tells what happened, where, and what to do, and that a program can act on it.

use std::error::Error;
use std::fs;

use cofferdam::{Identities, Remedy};

fn main() -> Result<(), Box<dyn Error>> {
    restore_file(&std::env::args().skip(1).collect::<Vec<_>>())
}

pub(crate) fn restore_file(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [sealed, target, identity] = arguments else {
        return Err("usage: restore_file SEALED TARGET IDENTITY-FILE".into());
    };
    let identities = Identities::new().identity_file(fs::read(identity)?)?;
    match cofferdam::restore(sealed, target, identities) {
        Ok(restored) => println!("{} bytes restored, each segment verified", restored.plaintext_len),
        Err(error) => {
            println!("the target is as it was; kept for the next call: {:?} bytes", error.resumable_bytes());
            match error.remedy() {
                Some(Remedy::FetchAgain) => println!("this copy is damaged in segment {:?}", error.segment()),
                Some(remedy) => println!("{remedy}"),
                None => println!("{}", error.advice().unwrap_or("nothing is known that helps")),
            }
            return Err(error.into());
        }
    }
    Ok(())
}
