//! The real files, the cache and the download.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

use chainrule_data::mnist::{FILES, download, read_cache};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::mnist;

#[test]
fn the_real_files_have_mnists_checksums() {
    let Some(data) = mnist() else { return };
    let found = [data.train.file_checksums(), data.validation.file_checksums()].concat();
    assert_eq!(found, FILES.map(|file| file.sha256));
}

#[test]
fn the_report_takes_4005_and_2042_rows_of_2_and_3() {
    let Some(data) = mnist() else { return };
    let ([train, validation], _) = data.split(Some(20_000), Some(10_000), Some(&[2, 3])).unwrap();
    assert_eq!((train.len(), validation.len()), (4005, 2042));
}

/// burn-dataset's reader only looks into the cache folder, so the comparison runs in a process of its own, with a cache
/// folder of its own.
#[cfg(feature = "burn-mnist")]
#[test]
fn our_reader_and_burn_datasets_own_agree_on_every_image() {
    use burn_dataset::{Dataset, vision::MnistDataset};

    let Some(data) = mnist() else { return };
    if std::env::var_os("CHAINRULE_TEST_INNER").is_none() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("burn-dataset/mnist");
        for (images, files) in [&data.train, &data.validation].into_iter().zip(FILES.chunks(2)) {
            let split = folder.join(files[0].split);
            std::fs::create_dir_all(&split).unwrap();
            images.write(&split.join(files[0].name), &split.join(files[1].name)).unwrap();
        }
        assert!(read_cache(&folder).is_ok(), "our reader takes burn-dataset's layout");
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mnist::our_reader_and_burn_datasets_own_agree_on_every_image"])
            .env("CHAINRULE_TEST_INNER", "1")
            .env("XDG_CACHE_HOME", cache.path())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    for (ours, theirs) in [(&data.train, MnistDataset::train()), (&data.validation, MnistDataset::test())] {
        assert_eq!(ours.labels().len(), theirs.len());
        for (row, item) in theirs.iter().map(Result::unwrap).enumerate() {
            assert_eq!(item.label, ours.labels()[row], "label of row {row}");
            let agree = item.image.as_flattened().iter().zip(ours.pixels(row)).all(|(a, b)| *a == f32::from(*b));
            assert!(agree, "image of row {row}");
        }
    }
}

/// Answers every request with `answer`, until it is dropped.
struct Server {
    url: String,
    _thread: JoinHandle<()>,
}

fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let _ = stream.write_all(&answer(path));
        }
    });
    Server { url, _thread: thread }
}

fn ok(body: &[u8], claimed_length: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {claimed_length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn download_fails(answer: impl Fn(&str) -> Vec<u8> + Send + 'static, expected: &str) {
    let server = serve(answer);
    let cache = tempfile::tempdir().unwrap();
    let message = download(&server.url, cache.path()).unwrap_err().to_string();
    assert!(message.contains(expected) && !message.contains('\n'), "{message:?} does not say {expected:?}");
    assert!(is_empty(cache.path()), "nothing is left in the cache");
}

#[test]
fn a_download_that_is_not_mnist_leaves_nothing_behind() {
    download_fails(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(), "404");
    download_fails(|_| ok(&gzip(b"not MNIST"), gzip(b"not MNIST").len()), "SHA-256 is ");
    let broken = gzip(&[0; 1000]);
    download_fails(move |_| ok(&broken[..20], 20), "broke off");
    download_fails(|_| ok(b"plain text", 10), "broke off after 0 bytes");
    download_fails(|_| ok(&gzip(&vec![0; 100_000_000]), gzip(&vec![0; 100_000_000]).len()), "SHA-256 is ");
}

#[test]
fn a_download_without_a_server_fails_at_once() {
    // A port that was just free: nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let message = download(&format!("http://{address}"), cache.path()).unwrap_err().to_string();
    assert!(message.contains("no MNIST: ") && message.contains("--data DIR"), "{message}");
    assert!(is_empty(cache.path()));
}

#[test]
fn a_download_of_mnist_is_read_from_the_cache_afterwards() {
    let Some(data) = mnist() else { return };
    let folder = tempfile::tempdir().unwrap();
    let paths = FILES.map(|file| folder.path().join(file.name));
    data.train.write(&paths[0], &paths[1]).unwrap();
    data.validation.write(&paths[2], &paths[3]).unwrap();
    let source = folder.path().to_owned();
    let server = serve(move |path| {
        let content = std::fs::read(source.join(path.trim_matches('/').trim_end_matches(".gz"))).unwrap();
        let body = gzip(&content);
        ok(&body, body.len())
    });
    let cache = tempfile::tempdir().unwrap();
    download(&server.url, cache.path()).unwrap();
    let [train, validation] = read_cache(cache.path()).unwrap();
    assert_eq!((&train, &validation), (&*data.train, &*data.validation));

    // A cached file that was changed is not taken for MNIST.
    let labels = cache.path().join("test").join(FILES[3].name);
    let mut bytes = std::fs::read(&labels).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&labels, bytes).unwrap();
    let message = read_cache(cache.path()).unwrap_err().to_string();
    assert!(message.contains("t10k-labels") && message.contains("SHA-256"), "{message}");
}
