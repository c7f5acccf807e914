//! `cargo run --release -- model.json [127.0.0.1:3000]`: serves a model that `chainrule export`
//! wrote as JSON or npz.

use std::error::Error;

use chainrule::{Fitted, formats::Hints};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name the model: model.json [127.0.0.1:3000]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let service = chainrule_service::service(Fitted::import(file, &Hints::default())?)?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/predict", listener.local_addr()?);
    Ok(axum::serve(listener, service).await?)
}
