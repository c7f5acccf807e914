//! MNIST from a server that is not trusted: bounded in time and size, verified by checksum, and
//! kept only as a whole.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use ureq::http::StatusCode;
use ureq::{Agent, Error, Timeout};

use crate::idx::write_whole;
use crate::mnist::{FILES, File};
use crate::{DataError, sha256};

/// Where MNIST comes from unless `CHAINRULE_MNIST_URL` names a mirror; burn-dataset's own source.
pub const URL: &str = "https://storage.googleapis.com/cvdf-datasets/mnist";

/// How long a download may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a server's name is found and a connection stands.
    pub connect: Duration,
    /// Then, until the head of an answer is there.
    pub answer: Duration,
    /// All four files in all.
    pub total: Duration,
}

/// MNIST is 11 MB: past this, no one is coming.
pub const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(10), total: Duration::from_secs(60) };

/// [`LIMITS`], but with `CHAINRULE_MNIST_SECONDS` in all where that is set, for a slow line.
///
/// # Errors
/// Where it is not a number of seconds.
pub(crate) fn limits() -> Result<Limits, String> {
    let Some(asked) = std::env::var_os("CHAINRULE_MNIST_SECONDS") else { return Ok(LIMITS) };
    match asked.to_str().and_then(|seconds| seconds.parse::<u32>().ok()) {
        Some(seconds) if seconds > 0 => Ok(Limits { total: Duration::from_secs(seconds.into()), ..LIMITS }),
        _ => Err(format!("CHAINRULE_MNIST_SECONDS = {}: expected whole seconds, 1 at least", asked.display())),
    }
}

/// Mirrors send on to the servers that hold their files, seldom over more than one other.
const MOST_REDIRECTS: u32 = 5;

/// Downloads the four files to `folder`, in the layout of burn-dataset's cache. None is written
/// before all are verified.
///
/// Redirects are followed to any host, since what comes is known by its checksum, over HTTP or
/// HTTPS, but never from the latter to the former.
///
/// # Errors
/// Where the source takes longer than `limits`, sends anything but MNIST, or the folder cannot be
/// written.
pub fn download(url: &str, folder: &Path, limits: Limits) -> Result<(), DataError> {
    let (agent, start) = (agent(url, limits), Instant::now());
    let mut contents = Vec::with_capacity(FILES.len());
    for file in &FILES {
        let url = format!("{}/{}.gz", url.trim_end_matches('/'), file.name);
        let fetched = fetch(&agent, &url, file, limits.total.saturating_sub(start.elapsed()));
        let content = fetched.map_err(|problem| DataError::NoMnist {
            reason: format!("{url}: {}", problem.in_words(limits)),
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
        .max_redirects(MOST_REDIRECTS)
        // A connection for each file: a server may close one that was kept at any moment, which
        // would end the download.
        .max_idle_connections(0)
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_recv_response(Some(limits.answer));
    config.build().into()
}

/// Why a file could not be had.
enum DownloadProblem {
    /// No answer, or none that can be used.
    Answer(Error),
    /// What comes is no gzip from its head on.
    NoGzip,
    /// The file breaks off, or cannot be inflated, after so many bytes.
    Body {
        inflated: usize,
        error: io::Error,
    },
    /// The file is whole, but longer than this or another one.
    Longer(u64),
    Other {
        found: String,
        expected: &'static str,
    },
}

/// A file's content, decompressed and verified.
fn fetch(agent: &Agent, url: &str, file: &File, remaining: Duration) -> Result<Vec<u8>, DownloadProblem> {
    let request = agent.get(url).config().timeout_global(Some(remaining)).build();
    let body = request.call().map_err(DownloadProblem::Answer)?.into_body();
    // No gzip is twice as long as what it holds, unless it holds nothing, without end.
    let body = body.into_with_config().limit(2 * file.bytes).reader();
    // One byte more than MNIST's file has tells a longer one, however far it would inflate.
    let mut content = Vec::new();
    let mut decoder = GzDecoder::new(body);
    let inflated = decoder.by_ref().take(file.bytes + 1).read_to_end(&mut content);
    inflated.map_err(|error| match (decoder.header(), error.kind()) {
        (None, ErrorKind::InvalidInput) => DownloadProblem::NoGzip,
        _ => DownloadProblem::Body { inflated: content.len(), error },
    })?;
    if content.len() as u64 > file.bytes {
        return Err(DownloadProblem::Longer(file.bytes));
    }
    let found = sha256([&content[..]]);
    if found == file.sha256 { Ok(content) } else { Err(DownloadProblem::Other { found, expected: file.sha256 }) }
}

impl DownloadProblem {
    fn in_words(self, limits: Limits) -> String {
        match self {
            DownloadProblem::Answer(error) => in_words(error, limits),
            DownloadProblem::NoGzip => {
                "what comes is no gzip file; perhaps this network answers with a page of its own".to_owned()
            }
            DownloadProblem::Body { inflated, error } => match Error::from(error) {
                Error::Io(error) => format!("broke off after {inflated} bytes: {error}"),
                Error::BodyExceedsLimit(bytes) => format!("went on after {bytes} bytes, more than MNIST's file has"),
                error => in_words(error, limits),
            },
            DownloadProblem::Longer(bytes) => format!("is longer than MNIST's file, which has {bytes} bytes"),
            DownloadProblem::Other { found, expected } => format!("SHA-256 is {found}, MNIST's is {expected}"),
        }
    }
}

/// What ureq says briefly or in a programmer's words. Of what a server sent it quotes visible ASCII
/// only.
fn in_words(error: Error, limits: Limits) -> String {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection within {} s", limits.connect.as_secs_f64())
        }
        Error::Timeout(Timeout::RecvResponse) => format!("no answer within {} s", limits.answer.as_secs_f64()),
        Error::Timeout(_) => {
            format!("took longer than {} s; CHAINRULE_MNIST_SECONDS allows for more", limits.total.as_secs_f64())
        }
        Error::StatusCode(code) => {
            let reason = StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason());
            format!("the server answers {code}{}", reason.map(|reason| format!(", {reason}")).unwrap_or_default())
        }
        Error::TooManyRedirects => format!("is redirected more than {MOST_REDIRECTS} times"),
        Error::RequireHttpsOnly(url) => format!("is redirected to {url}, which is not encrypted"),
        // Of an answer, only TLS can be invalid as data.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData => format!("no secure connection: {error}"),
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "the server hung up without an answer".to_owned()
        }
        Error::Io(error) => error.to_string(),
        Error::Protocol(error) => format!("what comes is no proper HTTP: {error}"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_download_is_not_led_to_one_that_is_not() {
        // The agent asks the same of each redirect as of the first request.
        for (url, expected) in
            [("https://a", "is redirected to http://127.0.0.1:9/, which is not encrypted"), ("http://a", "onnection")]
        {
            let error = agent(url, LIMITS).get("http://127.0.0.1:9").call().map_err(|error| in_words(error, LIMITS));
            assert!(error.as_ref().is_err_and(|error| error.contains(expected)), "{error:?}");
        }
    }
}
