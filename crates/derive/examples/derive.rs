//! Checks a derivation and prints the report.
#![allow(clippy::print_stdout)]
fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let start = std::time::Instant::now();
    match chainrule_derive::Document::parse(&text) {
        Ok(document) => println!("{}", chainrule_derive::check(&document, &chainrule_derive::Options::default())),
        Err(errors) => errors.iter().for_each(|error| println!("{error}")),
    }
    println!("{:?}", start.elapsed());
}
