//! `chainrule serve`: this machine's device for others.

use std::net::TcpListener;

use anyhow::{Result, anyhow, bail};
use chainrule::backend::{self, Backend};

use crate::exit;
use crate::options::ServeOptions;
use crate::output::say;

/// Serves until it is told to end.
pub(crate) fn serve(options: &ServeOptions) -> Result<u8> {
    let backend = backend::choose(options.backend.as_ref())?;
    if let Backend::Remote(_) = backend {
        bail!("{backend} is another machine's device, which only that machine can offer");
    }
    let device = backend.offer()?.device;
    let listen = &options.listen;
    let listener = TcpListener::bind(listen).map_err(|error| anyhow!("--listen {listen}: {error}"))?;
    backend.serve(listener, |address, has_token| {
        let name = device.map(|name| format!(" ({name})")).unwrap_or_default();
        // Every interface is listened on, and none of them is called that.
        let reached_at = if address.ip().is_unspecified() {
            format!("THIS-MACHINE:{}", address.port())
        } else {
            address.to_string()
        };
        say(&format!("serving {backend}{name} at {address}: --backend remote:{reached_at}; Ctrl-C ends it"));
        if !has_token && !address.ip().is_loopback() {
            say("warning: whoever reaches this address can compute here; CHAINRULE_TOKEN keeps strays out");
        }
    })?;
    Ok(exit::DONE)
}
