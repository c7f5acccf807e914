//! Folders of the user's own images: pictures by class, and IDX files with other sizes and classes
//! than MNIST's.

use std::io::Cursor;
use std::path::Path;

use chainrule_data::idx::{self, IdxImages};
use chainrule_tests_macros::test;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::command::{ask, call, code, folder, is_refused, text};
use crate::support::cpu;

fn bytes_of(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Draws a synthetic photograph. A sky is light above and dark below. A road is dark at the left
/// and light at the right. They are in colour and of different sizes.
fn photograph(class: &str, number: u32) -> Vec<u8> {
    let (width, height) = (40 + number % 7, 30 + number % 5);
    let noise = |x: u32, y: u32| ((x * 31 + y * 17 + number * 13) % 60) as u8;
    let level = |x: u32, y: u32| {
        let part = if class == "sky" { 150 - 150 * y / height } else { 150 * x / width };
        part as u8 + noise(x, y)
    };
    let image = RgbImage::from_fn(width, height, |x, y| Rgb([level(x, y), level(x, y) / 2 + 40, 90]));
    if number.is_multiple_of(3) {
        bytes_of(&image.into(), ImageFormat::Jpeg)
    } else {
        bytes_of(&image.into(), ImageFormat::Png)
    }
}

fn photographs(folder: &Path, below: &str, numbers: std::ops::Range<u32>) {
    for class in ["sky", "road"] {
        for number in numbers.clone() {
            let ending = if number.is_multiple_of(3) { "jpg" } else { "png" };
            write(&folder.join(below).join(class).join(format!("{number:03}.{ending}")), &photograph(class, number));
        }
    }
}

fn train(folder: &Path, more: &[&str]) -> Value {
    let settings =
        ["--set", "descent.batch_size=8", "--backend", cpu(), "--json", "--quiet", "--out", "run", "--force"];
    let output = call(folder, &[&["train", "configs/softmax.toml"], &settings[..], more].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn pictures_are_predicted_as_they_were_trained() {
    let folder = folder();
    photographs(folder.path(), "photos", 0..30);
    write(&folder.path().join("photos/sky/notes.txt"), b"no picture");
    for (more, features) in
        [(&["--data", "photos"][..], 784), (&["--data", "photos", "--set", "data.image_size=[12, 16]"], 192)]
    {
        let summary = train(folder.path(), more);
        let data = &summary["data"];
        assert_eq!((&data["train"], &data["validation"], &data["kind"]), (&json!(48), &json!(12), &json!("pictures")));
        assert_eq!(data["classes"], json!(["road", "sky"]));
        assert_eq!(summary["gradient"], "fused");
        assert!(summary["final"]["validation_accuracy"].as_f64().unwrap() > 0.9, "{summary}");
        let [height, width] = [0, 1].map(|i| data["image_size"][i].as_u64().unwrap());
        assert_eq!(height * width, features);

        let result = ask(folder.path(), &["evaluate", "run"]);
        let expected = summary["final"]["validation_loss"].as_f64().unwrap();
        assert!((result["loss"].as_f64().unwrap() / expected - 1.0).abs() < 1e-5, "{result}");
        assert_eq!((&result["rows"], &result["data"]["is_the_runs_own"]), (&json!(12), &json!(true)));
        // The folder is named, so all of it is evaluated. The answers of predict give the same
        // count.
        let whole = ask(folder.path(), &["evaluate", "run", "--data", "photos"]);
        let right: usize = ["road", "sky"]
            .iter()
            .map(|class| {
                let answer = ask(folder.path(), &["predict", "run", &format!("photos/{class}")]);
                let predictions = answer["predictions"].as_array().unwrap();
                assert_eq!(predictions.len(), 30);
                predictions.iter().filter(|predicted| predicted["class"] == *class).count()
            })
            .sum();
        assert_eq!((&whole["rows"], &whole["right"]), (&json!(60), &json!(right)));
        assert_eq!((&whole["data"]["split"], &whole["data"]["is_the_runs_own"]), (&json!("all"), &json!(true)));
    }
    let shown = ask(folder.path(), &["inspect", "run", "--image", "photos/sky/001.png", "--class", "road"]);
    assert_eq!((&shown["image"]["predicted"], &shown["image"]["evidence"]["class"]), (&json!("sky"), &json!("road")));
    let listed = ask(folder.path(), &["data", "--data", "photos"]);
    assert_eq!((&listed["files"][0]["name"], &listed["files"][0]["count"]), (&json!("road"), &json!(30)));
    // After export and import the model still takes a whole picture.
    for format in ["safetensors", "npz", "json"] {
        ask(folder.path(), &["export", "run", "--format", format]);
        let imported = ask(folder.path(), &["import", &format!("run.{format}"), "--out", "again", "--force"]);
        assert_eq!(imported["data"]["kind"], "pictures");
        let [run, again] = ["run", "again"].map(|model| ask(folder.path(), &["predict", model, "photos/sky/001.png"]));
        let [run, again] = [run, again].map(|answer| answer["predictions"][0].clone());
        assert_eq!(run["treatment"], again["treatment"]);
        let [run, again] = [run, again].map(|answer| answer["probabilities"][0].as_f64().unwrap());
        // npz stores a softmax of two classes as the equivalent logistic model.
        assert!((run - again).abs() < 1e-6, "{format}: {run} {again}");
    }
}

#[test]
fn the_validation_folder_has_four_possible_names() {
    let folder = folder();
    photographs(folder.path(), "photos/train", 0..20);
    for (name, count) in [("test", 2), ("val", 3), ("valid", 5), ("validation", 4)] {
        photographs(folder.path(), &format!("photos/{name}"), 20..20 + count);
        let summary = train(folder.path(), &["--data", "photos"]);
        assert_eq!(
            (&summary["data"]["train"], &summary["data"]["validation"]),
            (&json!(40), &json!(2 * count)),
            "{name}"
        );
        let actual = ask(folder.path(), &["evaluate", "run", "--data", "photos"]);
        let about = &actual["data"];
        assert_eq!((&about["split"], &about["is_the_runs_own"]), (&json!("validation"), &json!(true)));
    }
}

#[test]
fn a_given_split_is_kept_and_checksummed() {
    let folder = folder();
    photographs(folder.path(), "photos/train", 0..20);
    photographs(folder.path(), "photos/test", 20..26);
    let summary = train(folder.path(), &["--data", "photos", "--set", "data.standardize=true"]);
    assert_eq!((&summary["data"]["train"], &summary["data"]["validation"]), (&json!(40), &json!(12)));
    assert_eq!(summary["gradient"], "closed-form");
    assert_eq!(ask(folder.path(), &["evaluate", "run", "--data", "photos"])["rows"], json!(12));
    let manifest = std::fs::read(folder.path().join("run/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let names: Vec<&Value> = manifest["data_files"].as_array().unwrap().iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["train/road", "train/sky", "test/road", "test/sky"]);
    write(&folder.path().join("photos/test/sky/021.jpg"), &photograph("sky", 22));
    assert_eq!(ask(folder.path(), &["evaluate", "run"])["data"]["is_the_runs_own"], json!(false));
    let two = ["--set", "data.classes=[\"sky\", \"road\"]"];
    assert_eq!(
        train(folder.path(), &[&["--data", "photos"], &two[..]].concat())["data"]["classes"],
        json!(["sky", "road"])
    );
}

#[test]
fn broken_pictures_and_impossible_splits_are_named() {
    let folder = folder();
    let arguments = ["train", "configs/softmax.toml", "--data", "photos"];
    photographs(folder.path(), "photos", 0..4);
    write(&folder.path().join("photos/sky/broken.png"), &photograph("sky", 1)[..200]);
    is_refused(folder.path(), &arguments, &["photos/sky/broken.png: damaged PNG"]);
    write(&folder.path().join("photos/sky/broken.png"), b"not at all");
    is_refused(folder.path(), &arguments, &["photos/sky/broken.png: neither a PNG nor a JPEG"]);
    std::fs::remove_file(folder.path().join("photos/sky/broken.png")).unwrap();
    write(&folder.path().join("photos/tree/1.png"), &photograph("sky", 1));
    is_refused(folder.path(), &arguments, &["photos/tree: the only picture of its class"]);
    is_refused(folder.path(), &[&arguments[..], &["--set", "data.image_size=[0, 28]"]].concat(), &["data.image_size"]);
    std::fs::create_dir(folder.path().join("nothing")).unwrap();
    is_refused(
        folder.path(),
        &["data", "--data", "nothing"],
        &["IDX files", "train.csv", "one folder of pictures per class"],
    );
    photographs(folder.path(), "two/train", 0..4);
    photographs(folder.path(), "two/test", 0..4);
    write(&folder.path().join("two/test/tree/1.png"), &photograph("sky", 1));
    is_refused(folder.path(), &["train", "--data", "two"], &["two/test/tree: no picture in two/train has this class"]);
}

/// Returns images of 9 x 13 pixels in five classes, each bright in its own rows.
fn synthetic_images(count: usize) -> (IdxImages, Vec<u8>) {
    let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 5) as u8).collect();
    let pixel = |i: usize, j: usize| {
        let is_own = j / 13 % 5 == usize::from(labels[i]);
        if is_own { 200 + (i * j % 50) as u8 } else { (i * 13 + j * 5) as u8 % 90 }
    };
    let pixels = (0..count).flat_map(|i| (0..9 * 13).map(move |j| (i, j))).map(|(i, j)| pixel(i, j)).collect();
    (IdxImages { height: 9, width: 13, pixels }, labels)
}

#[test]
fn idx_files_of_any_size_and_classes_work() {
    let folder = folder();
    let data = folder.path().join("shirts");
    std::fs::create_dir(&data).unwrap();
    for (name, count) in [("train", 300), ("t10k", 100)] {
        let (images, labels) = synthetic_images(count);
        idx::write_images(&data.join(format!("{name}-images-idx3-ubyte")), &images).unwrap();
        idx::write_labels(&data.join(format!("{name}-labels-idx1-ubyte")), &labels).unwrap();
    }
    let all = ["--data", "shirts", "--set", "data.train_images=300", "--set", "data.validation_images=100"];
    for more in [&[][..], &["--precision", "f64", "--gradient", "autodiff"], &["--set", "data.standardize=true"]] {
        let summary = train(folder.path(), &[&all[..], more].concat());
        assert_eq!(
            (&summary["data"]["image_size"], &summary["data"]["classes"]),
            (&json!([9, 13]), &json!([0, 1, 2, 3, 4]))
        );
        assert_eq!(summary["final"]["validation_accuracy"], json!(1.0));
        let actual = ask(folder.path(), &["evaluate", "run"]);
        let expected = summary["final"]["validation_loss"].as_f64().unwrap();
        assert!((actual["loss"].as_f64().unwrap() / expected - 1.0).abs() < 1e-4, "{actual} {expected}");
        let answer = ask(folder.path(), &["predict", "run", "shirts/t10k-images-idx3-ubyte"]);
        let classes: Vec<&Value> = answer["predictions"].as_array().unwrap().iter().map(|p| &p["class"]).collect();
        assert!(
            classes.len() == 100
                && classes.iter().zip(synthetic_images(100).1).all(|(actual, label)| **actual == json!(label))
        );
        let shown = ask(folder.path(), &["inspect", "run", "--image", "shirts/t10k-images-idx3-ubyte", "--index", "3"]);
        let evidence: Vec<f64> = serde_json::from_value(shown["image"]["evidence"]["pixels"].clone()).unwrap();
        let logit = evidence.iter().sum::<f64>() + shown["image"]["evidence"]["bias"].as_f64().unwrap();
        assert!(evidence.len() == 117 && (logit - shown["image"]["evidence"]["logit"].as_f64().unwrap()).abs() < 1e-9);
    }
}

/// Writes splits and classes of pictures, and beside them files that are not used: other formats,
/// other places, other files. Returns the expected list of unused files.
fn with_more_than_is_used(folder: &Path) -> Value {
    let path = folder.join("photos");
    photographs(&path, "train", 0..10);
    photographs(&path, "test", 10..12);
    photographs(&path, "dev", 12..14);
    let picture = GrayImage::from_pixel(9, 9, Luma([7]));
    for number in 0..5 {
        write(
            &path.join(format!("train/bird/{number}.bmp")),
            &bytes_of(&picture.clone().into(), ImageFormat::Png)[1..],
        );
    }
    write(&path.join("train/cat/2019/1.png"), &photograph("sky", 1));
    write(&path.join("train/sky/notes.txt"), b"no picture");
    write(&path.join("train/sky/\u{1b}[31m.webp"), b"RIFF");
    write(&path.join(".DS_Store"), b"no word of it");
    std::fs::create_dir(path.join("empty")).unwrap();
    let (none, other) = ("no PNG or JPEG in it", "neither PNG nor JPEG");
    let unused = [
        ("dev/", "another folder is used for this part, or no part has this name"),
        ("empty/", none),
        ("train/bird/", none),
        ("train/cat/", "its pictures are in subfolders"),
        ("train/sky/\u{1b}[31m.webp", other),
        ("train/sky/notes.txt", other),
    ];
    unused.iter().map(|(path, reason)| json!({ "path": path, "reason": reason })).collect()
}

#[test]
fn unused_files_are_in_the_summary() {
    let folder = folder();
    let expected = with_more_than_is_used(folder.path());
    assert_eq!(train(folder.path(), &["--data", "photos"])["data"]["unused"], expected);
    assert_eq!(ask(folder.path(), &["data", "--data", "photos"])["unused"], expected);
}

#[test]
fn every_command_reports_unused_files() {
    let folder = folder();
    with_more_than_is_used(folder.path());
    let note = "not used: dev/, empty/; train/bird/, train/cat/; train/sky/\\u{1b}[31m.webp, train/sky/notes.txt (only PNG and JPEG files in a class folder are used)\n";
    let call = |arguments: &[&str]| call(folder.path(), arguments);
    let settings = ["--backend", cpu(), "--set", "descent.batch_size=8", "--out", "run", "--force"];
    let output = call(&[&["train", "--data", "photos"], &settings[..]].concat());
    assert!(text(&output.stderr).contains(&format!("note: {note}")), "{}", text(&output.stderr));
    assert!(text(&call(&["data", "--data", "photos"]).stdout).contains(note));
    assert!(text(&call(&["evaluate", "run"]).stderr).contains(&format!("note: {note}")));
}

#[test]
fn long_lists_of_unused_files_are_shortened() {
    let folder = folder();
    with_more_than_is_used(folder.path());
    let path = folder.path().join("photos");
    for class in 0..40 {
        for number in 0..40 {
            write(&path.join(format!("train/sky{class}/{number}.gif")), b"GIF89a");
        }
        write(&path.join(format!("train/sky{class}/{}.png", "long".repeat(50))), &photograph("sky", 1));
        write(&path.join(format!("test/sky{class}/1.png")), &photograph("sky", 1));
    }
    let about = ask(folder.path(), &["data", "--data", "photos"]);
    let unused: Vec<&str> =
        about["unused"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    // JSON lists a thousand names and counts the rest.
    assert_eq!((unused.len(), &about["unused_left_out"]), (1000, &json!(606)));
    assert!(unused.contains(&"train/sky0/10.gif") && unused.contains(&"train/cat/"), "{unused:?}");
    let unused_note = text(&call(folder.path(), &["data", "--data", "photos"]).stdout);
    let unused_note = unused_note.lines().find(|line| line.starts_with("not used: ")).unwrap();
    assert!(
        unused_note.contains("train/sky0/0.gif, train/sky0/1.gif, train/sky0/10.gif and 37 more in that folder; "),
        "{unused_note}"
    );
    assert!(unused_note.contains("; more in 18 other folders; and 606 more (only PNG"), "{unused_note}");
    assert!(unused_note.len() < 2000, "{unused_note}");
}

#[test]
fn a_folder_without_classes_is_described() {
    let folder = folder();
    write(&folder.path().join("bmp/cat/1.bmp"), b"BM");
    is_refused(folder.path(), &["train", "--data", "bmp"], &["PNG or JPEG", "this folder has cat/"]);
}

#[test]
fn misnamed_splits_say_what_to_rename() {
    let folder = folder();
    for part in ["Train", "Valid"] {
        photographs(&folder.path().join("capitals"), part, 0..4);
    }
    is_refused(
        folder.path(),
        &["data", "--data", "capitals"],
        &["this folder has Train/, Valid/; rename Train to train and Valid to valid"],
    );
    write(&folder.path().join("long/training.csv"), b"a,b\n1,2\n");
    is_refused(folder.path(), &["train", "--data", "long"], &["; rename training.csv to train.csv"]);
}

#[test]
fn idx_files_are_found_among_others() {
    let folder = folder();
    let data = folder.path().join("shirts");
    for (name, count) in [("train", 300), ("t10k", 100)] {
        let (images, labels) = synthetic_images(count);
        std::fs::create_dir_all(&data).unwrap();
        idx::write_images(&data.join(format!("{name}-images-idx3-ubyte")), &images).unwrap();
        idx::write_labels(&data.join(format!("{name}-labels-idx1-ubyte")), &labels).unwrap();
    }
    let unused = || ask(folder.path(), &["data", "--data", "shirts"])["unused"].clone();
    assert_eq!(unused(), json!([]));
    write(&data.join("extra-images-idx3-ubyte"), b"");
    write(&data.join("train/train-images-idx3-ubyte"), b"");
    assert_eq!(
        unused(),
        json!([{ "path": "extra-images-idx3-ubyte", "reason": null }, { "path": "train/", "reason": null }])
    );
    // Images beyond the config's limit are reported, too.
    let stderr_of = |train_images: &str| {
        let all = ["train", "--data", "shirts", "--backend", cpu(), "--out", "run", "--force", "--set"];
        let settings = [train_images, "--set", "data.validation_images=100", "--set", "descent.epochs=1"];
        let output = call(folder.path(), &[&all[..], &settings].concat());
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let expected = "note: only the first 200 of 300 training images (data.train_images) are used\n";
    assert!(stderr_of("data.train_images=200").contains(expected));
    assert!(!stderr_of("data.train_images=300").contains("note: only"));
}

/// Names that are not UTF-8 can become equal when read as UTF-8.
#[cfg(target_os = "linux")]
#[test]
fn two_folders_of_one_name_are_refused() {
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    photographs(folder.path(), "photos", 0..8);
    for byte in [0xfe, 0xff] {
        let name = std::ffi::OsStr::from_bytes(&[b'x', byte]).to_owned();
        let class = folder.path().join("photos").join(name);
        write(&class.join("1.png"), &photograph("sky", 1));
        write(&class.join("2.png"), &photograph("sky", 2));
        if byte == 0xfe {
            assert_eq!(
                train(folder.path(), &["--data", "photos"])["data"]["classes"],
                json!(["road", "sky", "x\u{fffd}"])
            );
        }
    }
    is_refused(
        folder.path(),
        &["train", "--data", "photos"],
        &["photos: two class folders have the name \"x\u{fffd}\"", "rename one"],
    );
}
