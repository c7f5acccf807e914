//! `chainrule serve`: offers this machine's device to others.

use std::net::TcpListener;

use anyhow::{Result, anyhow, bail};
use chainrule::backend::{self, Backend};

use crate::exit;
use crate::options::ServeOptions;
use crate::output::print_message;

/// Serves until the program is ended.
pub(crate) fn serve(options: &ServeOptions) -> Result<u8> {
    let backend = backend::choose(options.backend.as_ref())?;
    if let Backend::Remote(_) = backend {
        bail!("{backend} is another machine's device, which only that machine can serve");
    }
    let device = backend.info()?.device;
    let listen = &options.listen;
    let listener = TcpListener::bind(listen).map_err(|error| anyhow!("--listen {listen}: {error}"))?;
    backend.serve(listener, |address, has_token| {
        let name = device.map(|name| format!(" ({name})")).unwrap_or_default();
        // An unspecified address means all interfaces. A client cannot use it as an address.
        let client_address = if address.ip().is_unspecified() {
            format!("THIS-MACHINE:{}", address.port())
        } else {
            address.to_string()
        };
        print_message(&format!(
            "serving {backend}{name} at {address}: --backend remote:{client_address}; Ctrl-C stops it"
        ));
        if !has_token && !address.ip().is_loopback() {
            print_message(
                "warning: anyone who reaches this address can compute here; set CHAINRULE_TOKEN to require a token",
            );
        }
    })?;
    Ok(exit::SUCCESS)
}
