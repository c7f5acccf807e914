//! The real files, read by this project and by burn-dataset.

use chainrule_data::mnist::FILES;
use chainrule_tests_macros::test;

use crate::support::mnist;

#[test]
fn the_real_files_have_mnists_checksums() {
    let data = mnist();
    let actual = [data.train.file_checksums(), data.validation.file_checksums()].concat();
    assert_eq!(actual, FILES.map(|file| file.sha256));
}

#[test]
fn the_report_takes_4005_and_2042_rows_of_2_and_3() {
    let data = mnist();
    let ([train, validation], _) = data.select(Some(20_000), Some(10_000), Some(&[2, 3])).unwrap();
    assert_eq!((train.len(), validation.len()), (4005, 2042));
}

/// burn-dataset reads only from the cache folder. So the comparison runs in a separate process with
/// its own cache folder.
#[cfg(feature = "burn-mnist")]
#[test]
fn our_reader_matches_burn_dataset() {
    use burn_dataset::{Dataset, vision::MnistDataset};
    use chainrule_data::mnist::read_cache;

    let data = mnist();
    if std::env::var_os("CHAINRULE_TEST_INNER").is_none() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("burn-dataset/mnist");
        for (images, files) in [&data.train, &data.validation].into_iter().zip(FILES.chunks(2)) {
            let split = folder.join(files[0].split);
            std::fs::create_dir_all(&split).unwrap();
            images.write(&split.join(files[0].name), &split.join(files[1].name)).unwrap();
        }
        assert!(read_cache(&folder).is_ok(), "our reader takes burn-dataset's layout");
        let output = crate::command::process(std::env::current_exe().unwrap())
            .args(["--exact", "mnist::our_reader_matches_burn_dataset"])
            .env("CHAINRULE_TEST_INNER", "1")
            .env("XDG_CACHE_HOME", cache.path())
            // Its output would be mistaken for that of this process.
            .output()
            .unwrap();
        let stdout = crate::command::text(&output.stdout);
        // A skipped test would also exit with success.
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
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
