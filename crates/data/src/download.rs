//! Downloads MNIST from an untrusted server. The download is bounded in time and size, verified by
//! checksum, and kept only if complete.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use ureq::http::StatusCode;
use ureq::{Agent, Error, Timeout};

use crate::idx::write_whole;
use crate::mnist::{FILES, File};
use crate::{DataError, sha256};

/// The default source of MNIST, the same as burn-dataset's. `CHAINRULE_MNIST_URL` overrides it.
pub const URL: &str = "https://storage.googleapis.com/cvdf-datasets/mnist";

/// The time limits of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the name lookup and the connection.
    pub connect: Duration,
    /// For the head of the response, after connecting.
    pub response: Duration,
    /// For all four files together.
    pub total: Duration,
}

/// The default limits; MNIST has 11 MB.
pub const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), response: Duration::from_secs(10), total: Duration::from_secs(60) };

/// Returns [`LIMITS`] with the total from `CHAINRULE_MNIST_SECONDS`, if set, for a slow connection.
///
/// # Errors
/// Fails if the variable is not a number of seconds.
pub(crate) fn limits() -> Result<Limits, String> {
    let Some(requested) = std::env::var_os("CHAINRULE_MNIST_SECONDS") else { return Ok(LIMITS) };
    match requested.to_str().and_then(|seconds| seconds.parse::<u32>().ok()) {
        Some(seconds) if seconds > 0 => Ok(Limits { total: Duration::from_secs(seconds.into()), ..LIMITS }),
        _ => Err(format!(
            "CHAINRULE_MNIST_SECONDS = {}: expected a whole number of seconds, at least 1",
            requested.display()
        )),
    }
}

/// The limit of redirects. Mirrors rarely redirect more than once.
const MAX_REDIRECTS: u32 = 5;

/// Downloads the four files to `folder`, in the layout of burn-dataset's cache. No file is written
/// before all are verified.
///
/// Redirects to any host are followed, because the checksum verifies the content. A redirect from
/// HTTPS to HTTP is refused.
///
/// # Errors
/// Fails if the source exceeds `limits` or sends anything but MNIST, or if the folder cannot be
/// written.
pub fn download(url: &str, folder: &Path, limits: Limits) -> Result<(), DataError> {
    let (agent, start) = (agent(url, limits), Instant::now());
    let mut contents = Vec::with_capacity(FILES.len());
    for file in &FILES {
        let url = format!("{}/{}.gz", url.trim_end_matches('/'), file.name);
        let fetched = fetch(&agent, &url, file, limits.total.saturating_sub(start.elapsed()));
        let content = fetched.map_err(|problem| DataError::NoMnist {
            reason: format!("{url}: {}", problem.describe(limits)),
            folder: folder.to_owned(),
        })?;
        contents.push(content);
    }
    for (file, content) in FILES.iter().zip(&contents) {
        let split = folder.join(file.split);
        std::fs::create_dir_all(&split).map_err(|problem| DataError::Write { path: split.clone(), problem })?;
        write_whole(&split.join(file.name), &[content])?;
    }
    Ok(())
}

fn agent(url: &str, limits: Limits) -> Agent {
    let is_encrypted = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    let config = Agent::config_builder()
        .https_only(is_encrypted)
        .max_redirects(MAX_REDIRECTS)
        // Use one connection per file: a server may close a kept connection at any moment, which
        // would end the download.
        .max_idle_connections(0)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.response));
    config.build().into()
}

/// An error of one file's download.
enum DownloadProblem {
    /// No response, or an unusable one.
    Response(Error),
    /// The content is not a gzip file.
    NoGzip,
    /// The file ends early or cannot be decompressed, after `inflated` bytes.
    Body {
        inflated: usize,
        error: io::Error,
    },
    /// The file is complete, but too long (`TooLong`) or a different file (`WrongChecksum`).
    TooLong(u64),
    WrongChecksum {
        found: String,
        expected: &'static str,
    },
}

/// Downloads, decompresses and verifies one file.
fn fetch(agent: &Agent, url: &str, file: &File, remaining: Duration) -> Result<Vec<u8>, DownloadProblem> {
    let request = agent.get(url).config().timeout_global(Some(remaining)).build();
    let body = request.call().map_err(DownloadProblem::Response)?.into_body();
    // A gzip is never twice as long as its content, unless it is padded with empty parts.
    let body = body.into_with_config().limit(2 * file.bytes).reader();
    // One byte past MNIST's size shows that the file is too long, whatever its full size.
    let mut content = Vec::new();
    let mut decoder = GzDecoder::new(body);
    let inflated = decoder.by_ref().take(file.bytes + 1).read_to_end(&mut content);
    inflated.map_err(|error| match (decoder.header(), error.kind()) {
        (None, ErrorKind::InvalidInput) => DownloadProblem::NoGzip,
        _ => DownloadProblem::Body { inflated: content.len(), error },
    })?;
    if content.len() as u64 > file.bytes {
        return Err(DownloadProblem::TooLong(file.bytes));
    }
    let found = sha256([&content[..]]);
    if found == file.sha256 {
        Ok(content)
    } else {
        Err(DownloadProblem::WrongChecksum { found, expected: file.sha256 })
    }
}

impl DownloadProblem {
    fn describe(self, limits: Limits) -> String {
        match self {
            DownloadProblem::Response(error) => describe(error, limits),
            DownloadProblem::NoGzip => {
                "the response is not a gzip file; perhaps this network answered with a page of its own".to_owned()
            }
            DownloadProblem::Body { inflated, error } => match Error::from(error) {
                Error::Io(error) => format!("the download ended after {inflated} bytes: {error}"),
                Error::BodyExceedsLimit(bytes) => {
                    format!("the download exceeds {bytes} bytes, the limit for MNIST's file")
                }
                error => describe(error, limits),
            },
            DownloadProblem::TooLong(bytes) => format!("longer than MNIST's file, which has {bytes} bytes"),
            DownloadProblem::WrongChecksum { found, expected } => format!("SHA-256 is {found}, MNIST's is {expected}"),
        }
    }
}

/// Rephrases ureq's errors that are terse or technical. ureq quotes only visible ASCII of a
/// server's text.
fn describe(error: Error, limits: Limits) -> String {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection within {} s", limits.connect.as_secs_f64())
        }
        Error::Timeout(Timeout::RecvResponse) => format!("no answer within {} s", limits.response.as_secs_f64()),
        Error::Timeout(_) => {
            format!("took longer than {} s; CHAINRULE_MNIST_SECONDS sets another limit", limits.total.as_secs_f64())
        }
        Error::StatusCode(code) => {
            let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
            format!("the server returned {code}{}", reason.map(|reason| format!(", {reason}")).unwrap_or_default())
        }
        Error::TooManyRedirects => format!("more than {MAX_REDIRECTS} redirects"),
        Error::RequireHttpsOnly(url) => format!("redirected to {url}, which is not encrypted"),
        // In a response, only TLS produces invalid data.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => format!("no secure connection: {error}"),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "the server closed the connection without a response".to_owned()
        }
        Error::Io(error) => error.to_string(),
        Error::Protocol(error) => format!("the response is not valid HTTP: {error}"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_from_https_to_http_is_rejected() {
        // The agent applies the same rule to redirects and to the first request.
        for (url, expected) in
            [("https://a", "redirected to http://127.0.0.1:9/, which is not encrypted"), ("http://a", "onnection")]
        {
            let error = agent(url, LIMITS).get("http://127.0.0.1:9").call().map_err(|error| describe(error, LIMITS));
            assert!(error.as_ref().is_err_and(|error| error.contains(expected)), "{error:?}");
        }
    }
}
