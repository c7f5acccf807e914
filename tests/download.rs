//! MNIST from slow, broken or hostile servers. Every download ends within its limits with a
//! one-line error and leaves the cache unchanged. `--data auto` reports the error and uses the
//! embedded digits. `--data mnist` ends with exit code 2.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chainrule_data::download::{LIMITS, Limits, download};
use chainrule_data::mnist::{FILES, read_cache};
use chainrule_tests_macros::test;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{code, command, starts_processes, text};
use crate::support::mnist;

/// A test that takes longer fails instead of hanging. All tested limits are much shorter.
const WATCH_DOG: Duration = Duration::from_secs(150);

/// An upper bound on the bytes in the system's buffers. A server can send that much before it
/// notices that the client has gone.
const IN_BUFFERS: u64 = 64 << 20;

/// A server on loopback with one thread per connection. It stops on drop.
struct Server {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// A connection: the requested path and the stream for the answer. Written bytes are counted.
struct Client {
    path: String,
    stream: TcpStream,
    sent: Arc<AtomicU64>,
}

impl Server {
    /// Starts a server that answers requests.
    fn new(response: impl Fn(&mut Client) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::raw(move |stream, sent| {
            let mut client = Client { path: String::new(), stream, sent };
            client.read_request();
            // The client may have closed the connection.
            let _ = response(&mut client);
        })
    }

    /// Starts a server that handles raw connections.
    fn raw(treat: impl Fn(TcpStream, Arc<AtomicU64>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_over, sent, treat) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(treat));
        let thread = thread::spawn({
            let (is_over, sent) = (Arc::clone(&is_over), Arc::clone(&sent));
            move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (treat, sent) = (Arc::clone(&treat), Arc::clone(&sent));
                    thread::spawn(move || treat(stream.unwrap(), sent));
                }
            }
        });
        Self { address, is_over, sent, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Client {
    fn read_request(&mut self) {
        let (mut request, mut byte) = (Vec::new(), [0]);
        while !request.ends_with(b"\r\n\r\n") && self.stream.read(&mut byte).is_ok_and(|read| read == 1) {
            request.push(byte[0]);
        }
        let request = String::from_utf8_lossy(&request);
        self.path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())
    }

    /// Sends a correct answer.
    fn ok(&mut self, body: &[u8]) -> io::Result<()> {
        self.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
        self.write_all(body)
    }

    /// Sends the head of an answer that ends only when the connection closes.
    fn begin(&mut self) -> io::Result<()> {
        self.say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    }

    /// Sends the same bytes until the client disconnects.
    fn repeat(&mut self, bytes: &[u8]) -> io::Result<()> {
        let many = bytes.repeat(1 + 65_536 / bytes.len());
        loop {
            self.write_all(&many)?;
        }
    }

    /// Sends the bytes one by one, each well before the timeout of a single read.
    fn drip(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes.iter().cycle() {
            self.write_all(&[byte])?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Sends nothing until the client disconnects.
    fn wait(&mut self) {
        let _ = self.stream.read(&mut [0]);
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.sent.fetch_add(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Returns MNIST's four files, gzipped as on a server. Skips the test if there are none.
fn mnist_gzipped() -> &'static [Vec<u8>; 4] {
    static FILES_GZIPPED: OnceLock<[Vec<u8>; 4]> = OnceLock::new();
    FILES_GZIPPED.get_or_init(|| {
        let data = mnist();
        let folder = tempfile::tempdir().unwrap();
        let paths = FILES.map(|file| folder.path().join(file.name));
        data.train.write(&paths[0], &paths[1]).unwrap();
        data.validation.write(&paths[2], &paths[3]).unwrap();
        paths.map(|path| gzip(&std::fs::read(path).unwrap()))
    })
}

/// Returns the file of a path.
fn requested<'a>(files: &'a [Vec<u8>; 4], path: &str) -> &'a [u8] {
    let at = FILES.iter().position(|file| path == format!("/{}.gz", file.name));
    &files[at.unwrap_or_else(|| panic!("nobody should ask for {path}"))]
}

/// Returns everything below a folder: folders, and files with their bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut actual = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            actual.extend(contents(&path));
            actual.insert(path, None);
        } else {
            actual.insert(path.clone(), Some(std::fs::read(path).unwrap()));
        }
    }
    actual
}

/// Returns the result of a function, or fails the test if the function hangs.
fn within_the_watch_dog<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(f()));
    receiver.recv_timeout(WATCH_DOG).expect("it ends")
}

/// Returns a folder with a cache from an incomplete download: two of four files, one of them
/// damaged, and a temporary file.
fn place_with_remains() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("cache/burn-dataset/mnist");
    for (name, content) in [
        ("train/train-labels-idx1-ubyte", &b"damaged"[..]),
        ("train/.train-images-idx3-ubyte.k2V9xA", b"half of it"),
        ("test/t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x07"),
    ] {
        let path = cache.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    (place, cache)
}

/// Expects the library's download to fail with one line that contains `expected` and to leave every
/// byte of the cache unchanged.
fn library_refuses(url: &str, limits: Limits, expected: &str) {
    let (_place, cache) = place_with_remains();
    let before = contents(&cache);
    let (url, folder) = (url.to_owned(), cache.clone());
    let message = within_the_watch_dog(move || download(&url, &folder, limits)).unwrap_err().to_string();
    assert!(message.starts_with("no MNIST: ") && message.contains(expected), "{message:?} does not say {expected:?}");
    assert!(message.contains("or name a folder with them") && !message.contains(char::is_control), "{message:?}");
    assert_eq!(contents(&cache), before, "the cache is as it was");
}

/// Expects the same of the program. With `--data auto` it uses the embedded digits, with `--data
/// mnist` it ends with exit code 2.
fn program_refuses(url: &str, seconds: Option<&str>, expected: &str) {
    let (place, cache) = place_with_remains();
    program_refuses_in(place.path(), &cache, url, seconds, expected);
}

fn program_refuses_in(place: &Path, cache: &Path, url: &str, seconds: Option<&str>, expected: &str) {
    let before = contents(cache);
    let train = |data: &str| {
        let fast = ["data.train_images=300", "data.validation_images=100", "descent.epochs=1"];
        let settings = fast.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> = ["train", "--json", "--data", data].into_iter().chain(settings).collect();
        let mut command = command(place, &arguments);
        command.env("CHAINRULE_MNIST_URL", url).envs(seconds.map(|seconds| ("CHAINRULE_MNIST_SECONDS", seconds)));
        let output = within_the_watch_dog(move || command.output()).unwrap();
        (code(&output), text(&output.stdout), text(&output.stderr))
    };
    std::fs::create_dir_all(place.join("configs")).unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/softmax.toml");
    std::fs::copy(config, place.join("configs/softmax.toml")).unwrap();

    let (code, out, error) = train("mnist");
    let last = error.lines().last().unwrap_or_default();
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(last.starts_with("error: ") && last.contains(expected), "{error:?} does not end with {expected:?}");
    assert!(!place.join("runs").exists(), "no run was begun");

    let (code, out, error) = train("auto");
    assert_eq!(code, Some(0), "{error}");
    let warning = error.lines().find(|line| line.ends_with("; using the embedded digits"));
    assert!(warning.is_some_and(|line| line.contains(expected)), "{error:?} does not say {expected:?}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["data"]["source"], "embedded digits");
    assert_eq!(contents(cache), before, "the cache is as it was");
}

/// Expects library and program to refuse this server. Returns the bytes that it sent.
fn refused(expected: &str, response: impl Fn(&mut Client) -> io::Result<()> + Send + Sync + 'static) -> u64 {
    let server = Server::new(response);
    library_refuses(&server.url(), LIMITS, expected);
    let sent = server.sent.load(Ordering::SeqCst);
    program_refuses(&server.url(), None, expected);
    sent
}

/// Expects the same of a server that only a time limit stops: `limits` for the library, one second
/// in total for the program.
fn refused_in_time(
    limits: Limits,
    expected: &str,
    response: impl Fn(&mut Client) -> io::Result<()> + Send + Sync + 'static,
) {
    let server = Server::new(response);
    library_refuses(&server.url(), limits, expected);
    program_refuses(&server.url(), Some("1"), "took longer than 1 s; CHAINRULE_MNIST_SECONDS");
}

const LITTLE_IN_ALL: Limits = Limits { connect: LONG, response: LONG, total: Duration::from_secs(1) };
const LITTLE_FOR_AN_ANSWER: Limits = Limits { connect: LONG, response: Duration::from_secs(1), total: LONG };
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_wrong_checksum_is_refused() {
    refused("train-images-idx3-ubyte.gz: SHA-256 is ", |client| client.ok(&gzip(b"not MNIST")));
}

#[test]
fn a_wrong_checksum_leaves_no_files() {
    let files = mnist_gzipped();
    refused("t10k-labels-idx1-ubyte.gz: SHA-256 is ", |client| {
        let is_last = client.path.contains("t10k-labels");
        let other = gzip(b"not MNIST");
        client.ok(if is_last { &other } else { requested(files, &client.path) })
    });
}

#[test]
fn a_truncated_file_is_refused() {
    let body = gzip(&(0..=255).cycle().take(10_000).collect::<Vec<u8>>());
    refused("the download ended after ", move |client| {
        client.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()))?;
        client.write_all(&body[..body.len() / 2])
    });
    // The gzip is cut off, although the length is correct.
    refused("the download ended after ", |client| client.ok(&gzip(&[7; 1000])[..20]));
    refused("the download ended after 0 bytes", |client| client.ok(&[]));
}

#[test]
fn a_truncated_chunked_file_is_refused() {
    let body = gzip(b"not MNIST");
    for (after, expected) in [
        // Cut off between two chunks or in a chunk, and an invalid chunk length.
        ("", "the download ended after "),
        ("ffff\r\nand no more", "the download ended after "),
        ("fffffffffffffffff\r\n", "chunk"),
        ("ffffffffffffffff\r\n", "the download ended after "),
        ("-5\r\n", "chunk"),
        ("five!\r\n", "chunk"),
        // Too little data to inflate anything.
        ("b\r\nand no more\r\n0\r\n\r\n", "the download ended after 0 bytes: corrupt deflate stream"),
    ] {
        let begun = body[..10].to_vec();
        refused(expected, move |client| {
            client.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n")?;
            client.write_all(&begun)?;
            client.say(&format!("\r\n{after}"))
        });
    }
}

#[test]
fn an_endless_file_is_abandoned_at_mnists_length() {
    // Zeros, which compress to a thousandth.
    let sent = refused("longer than MNIST's file, which has 47040016 bytes", |client| {
        client.begin()?;
        io::copy(&mut io::repeat(0), &mut GzEncoder::new(client, Compression::fast())).map(|_| ())
    });
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
    // Data that is not compressed.
    let sent = refused("longer than MNIST's file, which has 47040016 bytes", |client| {
        client.begin()?;
        io::copy(&mut io::repeat(7), &mut GzEncoder::new(client, Compression::none())).map(|_| ())
    });
    assert!(sent < 47_040_016 + IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn an_endless_gzip_is_abandoned_at_twice_the_length() {
    let sent = refused("the download exceeds 94080032 bytes", |client| {
        client.begin()?;
        client.write_all(&gzip(&[])[..10])?;
        // An empty stored block.
        client.repeat(&[0, 0, 0, 0xff, 0xff])
    });
    assert!(sent < 94_080_032 + IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn a_gzip_with_an_endless_name_is_refused() {
    let sent = refused("gzip", |client| {
        client.begin()?;
        client.write_all(&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3])?;
        client.repeat(b"name")
    });
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn a_web_page_is_recognised() {
    let page = "<!DOCTYPE html><html><body>Please log in</body></html>";
    refused("the response is not a gzip file; perhaps this network answered with a page of its own", move |client| {
        client
            .say(&format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{page}", page.len()))
    });
    let sent = refused("the response is not a gzip file", |client| {
        client.begin()?;
        client.repeat(page.as_bytes())
    });
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn a_slow_file_hits_the_total_timeout() {
    refused_in_time(LITTLE_IN_ALL, "took longer than 1 s", |client| {
        client.begin()?;
        client.write_all(&gzip(&[])[..10])?;
        client.drip(&[0, 0, 0, 0xff, 0xff])
    });
}

#[test]
fn a_stalled_file_hits_the_total_timeout() {
    refused_in_time(LITTLE_IN_ALL, "took longer than 1 s", |client| {
        client.begin()?;
        client.write_all(&gzip(&[])[..10])?;
        client.wait();
        Ok(())
    });
}

#[test]
fn the_total_timeout_covers_four_files() {
    let files = mnist_gzipped();
    // Each part arrives in time but late, and the last one too late.
    let late = Duration::from_millis(600);
    let limits = Limits { total: 4 * late, ..LIMITS };
    let server = Server::new(move |client| {
        thread::sleep(late);
        client.ok(requested(files, &client.path))
    });
    library_refuses(&server.url(), limits, "took longer than 2.4 s");
}

#[test]
fn a_missing_response_hits_the_response_timeout() {
    refused_in_time(LITTLE_FOR_AN_ANSWER, "no answer within 1 s", |client| {
        client.wait();
        Ok(())
    });
}

#[test]
fn slow_headers_hit_the_response_timeout() {
    refused_in_time(LITTLE_FOR_AN_ANSWER, "no answer within 1 s", |client| {
        client.say("HTTP/1.1 200 OK\r\n")?;
        client.drip(b"A: b\r\n")
    });
}

#[test]
fn endless_continue_responses_end() {
    let server = Server::new(|client| client.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"));
    library_refuses(&server.url(), LITTLE_FOR_AN_ANSWER, "");
}

#[test]
fn a_closed_connection_is_reported() {
    refused("the server closed the connection without a response", |_| Ok(()));
    // Closes before it reads the request, so the system may reset the connection.
    let expected = "train-images-idx3-ubyte.gz: ";
    let server = Server::raw(|stream, _| drop(stream));
    library_refuses(&server.url(), LIMITS, expected);
    program_refuses(&server.url(), None, expected);
}

#[test]
fn an_unreachable_server_is_reported() {
    // A port that was just free, so nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    library_refuses(&format!("http://{address}"), LIMITS, "Connection refused");
    program_refuses(&format!("http://{address}"), None, "Connection refused");
    for (url, expected) in
        [("http://no.such.host.invalid", "host"), ("no url", "uri"), ("file:///etc", "http"), ("", "uri")]
    {
        library_refuses(url, LIMITS, expected);
    }
}

#[test]
fn endless_redirects_are_refused() {
    refused("more than 5 redirects", |client| {
        let location = client.path.clone();
        client.say(&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
    });
    let sent = refused("more than 5 redirects", |client| {
        let location = format!("{}x", client.path);
        client.say(&format!("HTTP/1.1 308 Permanent Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
    });
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn redirects_to_other_schemes_are_refused() {
    for location in
        ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "javascript:x", "http://", "//", "\x07\x1b[2J", ""]
    {
        refused("train-images-idx3-ubyte.gz: ", move |client| {
            client.say(&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
        });
    }
    refused("location", |client| client.say("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn a_redirect_to_another_host_is_followed() {
    let other = Server::new(|client| client.say("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"));
    // The same machine under another name.
    let there = format!("http://localhost:{}", other.address.port());
    refused("the server returned 410, Gone", move |client| {
        let path = client.path.clone();
        client.say(&format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {there}{path}\r\nContent-Length: 0\r\n\r\n"))
    });
    assert!(other.sent.load(Ordering::SeqCst) > 0, "the other was asked");
}

#[test]
fn an_error_status_is_reported() {
    for (status, expected) in [
        ("404 Not Found", "the server returned 404, Not Found"),
        ("503 Service Unavailable", "the server returned 503, Service Unavailable"),
        ("401 \x1b[31mred", "train-images-idx3-ubyte.gz: "),
        ("599 ", "the server returned 599"),
        ("304 Not Modified", "train-images-idx3-ubyte.gz: "),
        ("204 No Content", "the download ended after 0 bytes"),
        ("99999 Much", "not valid HTTP"),
        ("-1 Little", "not valid HTTP"),
    ] {
        refused(expected, move |client| client.say(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")));
    }
}

#[test]
fn an_error_status_with_an_endless_page_is_reported() {
    let sent = refused("the server returned 503, Service Unavailable", |client| {
        client.say("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")?;
        client.repeat(b"sorry ")
    });
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn a_response_that_is_not_http_is_refused() {
    for response in
        ["SSH-2.0-OpenSSH_9.2\r\n", "\0\x01\x02\x7f", "HTTP/1.1\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "<html></html>"]
    {
        refused("train-images-idx3-ubyte.gz: the response is not valid HTTP: ", move |client| client.say(response));
    }
    let sent = refused("train-images-idx3-ubyte.gz: ", |client| client.repeat(b"\x16\x03\x01 not for you "));
    assert!(sent < IN_BUFFERS, "{sent} bytes went out");
}

#[test]
fn endless_headers_are_refused() {
    for (line, expected) in [("A: b\r\n", "header"), ("one long line", "header")] {
        let sent = refused(expected, move |client| {
            client.say("HTTP/1.1 200 OK\r\nA: ")?;
            client.repeat(line.as_bytes())
        });
        assert!(sent < IN_BUFFERS, "{sent} bytes went out");
    }
}

#[test]
fn a_wrong_content_length_is_refused() {
    let body = gzip(b"not MNIST");
    for (length, expected) in [
        ("-1", "content-length"),
        ("many", "content-length"),
        ("99999999999999999999", "content-length"),
        ("18446744073709551615", "the download ended after "),
        ("9223372036854775808", "the download ended after "),
        ("15", "the download ended after "),
        ("15\r\nContent-Length: 16", "content-length"),
    ] {
        let body = body.clone();
        refused(expected, move |client| {
            client.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
            client.write_all(&body[..body.len() - 1])
        });
    }
}

#[test]
fn a_self_signed_certificate_is_refused() {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use ureq::tls::{Certificate, RootCerts, TlsConfig};

    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let server = Server::raw(move |stream, sent| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        if stream.read(&mut [0; 4096]).is_ok() {
            sent.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let url = format!("https://localhost:{}", server.address.port());
    library_refuses(&url, LIMITS, "no secure connection: invalid peer certificate: UnknownIssuer");
    program_refuses(&url, None, "no secure connection: invalid peer certificate: UnknownIssuer");
    assert_eq!(server.sent.load(Ordering::SeqCst), 0, "nothing was asked of it");

    // With a trusted certificate the same server works, so nothing else was wrong with it.
    let roots = RootCerts::from(vec![Certificate::from_der(certified.cert.der()).to_owned()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    assert_eq!(agent.get(&url).call().unwrap().status(), 204);
}

#[test]
fn https_without_tls_is_refused() {
    let server = Server::raw(|mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    library_refuses(&format!("https://{}", server.address), LIMITS, "no secure connection: ");
    program_refuses(&format!("https://{}", server.address), None, "no secure connection: ");
}

#[test]
fn an_invalid_timeout_is_refused() {
    for seconds in ["0", "-1", "soon", "1.5", ""] {
        program_refuses("http://127.0.0.1:9", Some(seconds), "CHAINRULE_MNIST_SECONDS = ");
    }
}

#[test]
fn a_damaged_cache_is_kept_if_the_download_fails() {
    let (place, cache) = place_with_remains();
    std::fs::write(cache.join("train/train-images-idx3-ubyte"), b"damaged").unwrap();
    let server = Server::new(|client| client.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
    program_refuses_in(place.path(), &cache, &server.url(), None, "404");
}

#[test]
fn an_unwritable_cache_is_reported() {
    let files = mnist_gzipped();
    let server = Server::new(|client| client.ok(requested(files, &client.path)));
    // A file in place of the folder stops every user, even root.
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join("burn-dataset"), b"a file").unwrap();
    program_refuses_in(place.path(), &cache, &server.url(), None, "cannot write ");
}

#[test]
fn mnist_is_cached() {
    let (data, files) = (mnist(), mnist_gzipped());
    let server = Server::new(|client| client.ok(requested(files, &client.path)));
    let (_place, cache) = place_with_remains();
    download(&server.url(), &cache, LIMITS).unwrap();
    let [train, validation] = read_cache(&cache).unwrap();
    assert_eq!((&train, &validation), (&*data.train, &*data.validation));
    assert_eq!(std::fs::read(cache.join("train/.train-images-idx3-ubyte.k2V9xA")).unwrap(), b"half of it");

    // A changed cached file is not accepted as MNIST.
    let labels = cache.join("test").join(FILES[3].name);
    let mut bytes = std::fs::read(&labels).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&labels, bytes).unwrap();
    let message = read_cache(&cache).unwrap_err().to_string();
    assert!(message.contains("t10k-labels") && message.contains("SHA-256"), "{message}");
}

#[test]
fn concurrent_downloads_both_succeed() {
    // The threads below start processes.
    starts_processes();
    let files = mnist_gzipped();
    let server = Server::new(|client| client.ok(requested(files, &client.path)));
    let place = tempfile::tempdir().unwrap();
    let url = server.url();
    let fetch = || {
        let mut command = command(place.path(), &["data", "--fetch", "--json"]);
        command.env("CHAINRULE_MNIST_URL", &url).output().unwrap()
    };
    let outputs = thread::scope(|scope| [(); 4].map(|()| scope.spawn(fetch)).map(|thread| thread.join().unwrap()));
    for output in &outputs {
        assert_eq!(code(output), Some(0), "{}", text(&output.stderr));
        let about: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(about["files"].as_array().unwrap().iter().all(|file| file["is_mnist"] == true), "{about}");
    }
    let cache = place.path().join("cache/burn-dataset/mnist");
    let left: Vec<PathBuf> = contents(&cache).into_iter().filter_map(|(path, file)| file.map(|_| path)).collect();
    let mut expected = FILES.map(|file| cache.join(file.split).join(file.name));
    expected.sort();
    assert_eq!(left, expected);
}
