//! A folder behind nginx and a proxy that fails, for trying things by hand: `cargo run --example proxy -p cofferdam-servers -- FOLDER [SEED]`.
//! With a seed, about one request in ten fails. It runs until its standard input ends.

use std::env;
use std::error::Error;
use std::io;
use std::path::Path;

use servers::{FaultKind, FaultProxy, Nginx, Plan};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let plan = match arguments.next() {
        Some(seed) => Plan::seeded(seed.parse()?, 10, &FaultKind::PASSING),
        None => Plan::none(),
    };
    let server = Nginx::start(Path::new(&folder))?;
    let proxy = FaultProxy::start(server.address(), plan)?;
    println!("served at   {}\nthrough     {}", server.url(""), proxy.url(""));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    println!("{:#?}", proxy.counts());
    Ok(())
}
