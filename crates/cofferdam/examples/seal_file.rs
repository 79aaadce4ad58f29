//! How do I seal a file for a recipient? `cargo run --release -p cofferdam --example seal_file -- INPUT OUTPUT age1…`
//! Shows the one-line way; every choice beyond it is a setter of `Sealer`.

use std::error::Error;

use cofferdam::Recipients;

fn main() -> Result<(), Box<dyn Error>> {
    seal_file(&std::env::args().skip(1).collect::<Vec<_>>())
}

pub(crate) fn seal_file(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [input, output, recipient] = arguments else {
        return Err("usage: seal_file INPUT OUTPUT RECIPIENT".into());
    };
    let recipients = Recipients::new().parse(recipient)?;
    let sealed = cofferdam::seal(input, output, recipients)?;
    println!("{} bytes sealed in {} segments", sealed.plaintext_len, sealed.segments);
    Ok(())
}
