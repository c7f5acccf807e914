//! The list of file readers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use chainrule_core::{DataKind, TextOptions};
use chainrule_data::idx::images_header;
use chainrule_data::picture::PictureError;
use chainrule_data::readers::{IMAGES, Input, PICTURES, READERS, Reader, TABLES, names, of, sniff, table_extensions};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{
    Counts, DataError, PictureMode, RecipeOptions, RecipeSource, Request, TableRequest, Tables, find, input_files,
    unused_message,
};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Returns the start of a file for each reader, by name.
fn fixtures() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR and so on".to_vec()),
        ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF and so on".to_vec()),
        ("IDX", [&images_header(1, 2, 3)[..], &[7; 6]].concat()),
        (
            "ARFF",
            b"% flowers\n@relation flowers\n@attribute length numeric\n@attribute species {rose, tulip}\n@data\n1,rose\n2,tulip\n"
                .to_vec(),
        ),
        ("svmlight", b"# flowers\n1 1:1 7:0.5\n2 1:2 # a tulip\n".to_vec()),
        ("CSV", b"length,species\n1,rose\n2,tulip\n".to_vec()),
        #[cfg(feature = "parquet")]
        ("Parquet", include_bytes!("fixtures/columnar/flowers.parquet").to_vec()),
        #[cfg(feature = "parquet")]
        ("Arrow", include_bytes!("fixtures/columnar/flowers.arrow").to_vec()),
    ]
}

/// Returns the feature column and the label column of a table's fixture.
fn columns_of(reader: &dyn Reader) -> [&'static str; 2] {
    if reader.name() == "svmlight" { ["features", "label"] } else { ["length", "species"] }
}

fn fixture(reader: &dyn Reader) -> Vec<u8> {
    let actual = fixtures().into_iter().find(|(name, _)| *name == reader.name());
    actual.unwrap_or_else(|| panic!("{} has no fixture here", reader.name())).1
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_reader_recognises_only_its_files() {
    assert_eq!(fixtures().len(), READERS.len());
    for reader in READERS {
        let content = fixture(*reader);
        for other in READERS {
            assert_eq!(other.sniff(&content), other.name() == reader.name(), "{} of {}", other.name(), reader.name());
        }
        for content in [content.clone(), gzipped(&content)] {
            let input = Input::new(&content[..]);
            assert_eq!(sniff(input.beginning()).map(Reader::name), Some(reader.name()));
        }
    }
}

#[test]
fn readers_have_different_names_and_extensions() {
    let extensions: Vec<&str> = READERS.iter().flat_map(|reader| reader.extensions()).copied().collect();
    let names: Vec<&str> = READERS.iter().map(|reader| reader.name()).collect();
    for mut words in [names, extensions] {
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
    }
    for reader in READERS {
        let [name, one, about] = [reader.name(), reader.one(), reader.about()];
        assert!(one.contains(name) && (one.starts_with("a ") || one.starts_with("an ")), "{one}");
        assert!(!reader.extensions().is_empty() && !about.is_empty() && !about.contains('\n'), "{name}");
        let is_plain = |extension: &&str| !extension.starts_with('.') && **extension == extension.to_lowercase();
        assert!(reader.extensions().iter().all(is_plain), "{name}");
    }
}

/// Asserts that an error names all readers of these kinds.
fn assert_names_all(sentence: &str, kinds: &[DataKind]) {
    for reader in of(kinds) {
        assert!(sentence.contains(reader.name()), "{sentence:?} does not name {}", reader.name());
    }
    assert!(!sentence.contains('\n'), "{sentence:?}");
}

#[test]
fn messages_list_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("text"), "a picture, really").unwrap();
    fs::write(at("small"), [&images_header(1, 2, 2)[..], &[0; 4]].concat()).unwrap();

    let of_images = |file: &Path| input_files::read(file, [28, 28], PictureMode::AsDrawn).err().unwrap().to_string();
    assert_names_all(&of_images(&at("text")), IMAGES);
    assert_names_all(&of_images(&at("small")), PICTURES);
    assert_names_all(&input_files::files(&at("empty"), &mut |_| {}).unwrap_err().to_string(), IMAGES);
    assert_names_all(&PictureError::Format.to_string(), PICTURES);

    let json = &b"[{\"length\": 1}]"[..];
    assert_names_all(&TableSummary::read(json).unwrap_err().to_string(), TABLES);
    for reader in of(IMAGES) {
        let message = TableSummary::read(&fixture(reader)[..]).unwrap_err().to_string();
        assert!(message.contains(reader.name()) && message.contains("; name the folder"), "{message}");
        assert_names_all(&message, TABLES);
    }

    let actual = |path: &Path| {
        let counts = Counts { train: 1, validation: 1 };
        find(&Request::Folder(path.to_owned()), counts, &mut |_| {}).unwrap_err().to_string()
    };
    assert_names_all(&actual(&at("no-such-file-at-all")), TABLES);
    let missing = actual(&at("empty"));
    assert_names_all(&missing, PICTURES);
    assert!(missing.contains("train.csv"), "{missing}");
    let unused = chainrule_core::UnusedFiles {
        files: vec![chainrule_core::UnusedFile { path: "notes.txt".to_owned(), reason: None }],
        left_out: 0,
    };
    assert_names_all(&unused_message(&unused, true).unwrap(), PICTURES);
    assert_eq!((names(PICTURES, "or"), names(IMAGES, "and")), ("PNG or JPEG".into(), "PNG, JPEG and IDX".into()));
}

fn any() -> TableRequest {
    TableRequest {
        label: None,
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions::default()),
        classes: None,
        holdout: None,
        resident_bytes: 1 << 20,
        scratch: None,
    }
}

#[test]
fn a_folder_may_have_tables_of_every_extension() {
    for extension in table_extensions() {
        let folder = tempfile::tempdir().unwrap();
        let is_table = || Request::Folder(folder.path().to_owned()).is_table();
        assert!(!is_table());
        let reader =
            of(TABLES).find(|reader| reader.extensions().iter().any(|known| extension.contains(known))).unwrap();
        let ([feature, label], content) = (columns_of(reader), fixture(reader));
        let request = TableRequest { label: Some(label.to_owned()), ..any() };
        // The first bytes decide, not the ending. Other compressions are in compressed.rs.
        let content = if extension.ends_with(".gz") { gzipped(&content) } else { content };
        fs::write(folder.path().join(format!("train{extension}")), &content).unwrap();
        assert!(is_table(), "{extension}");
        let lacks = Tables::read(folder.path(), &request).unwrap_err();
        assert!(matches!(&lacks, DataError::NoTable { names, .. } if names.contains("val.csv")), "{lacks}");
        fs::write(folder.path().join(format!("val{extension}")), &content).unwrap();
        let tables = Tables::read(folder.path(), &request).unwrap();
        let columns = tables.recipe.column_names();
        assert_eq!((columns, tables.classes.len()), (vec![feature.to_owned()], 2), "{extension}");
    }
}

#[test]
fn one_byte_reads_are_supported() {
    struct Slow<'a>(&'a [u8]);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let one = 1.min(buffer.len());
            std::io::Read::read(&mut self.0, &mut buffer[..one])
        }
    }
    for reader in of(TABLES) {
        let ([feature, label], content) = (columns_of(reader), fixture(reader));
        let features = [feature.to_owned()];
        let columns = Columns { features: Some(&features), label: Some(label), ..Columns::default() };
        let whole = Table::read(&content[..], columns, 1 << 20).unwrap();
        for content in [content.clone(), gzipped(&content)] {
            let mut slow = Table::read(Slow(&content), columns, 1 << 20).unwrap();
            slow.files[0].read_as.facts.retain(|fact| fact.what != "compression");
            assert_eq!(format!("{slow:?}"), format!("{whole:?}"));
        }
    }
}

#[test]
fn a_damaged_gzip_fails_at_the_damage() {
    let text = fixture(of(TABLES).next().unwrap());
    // An error after the first 8192 bytes, and one within them.
    for times in [2000, 20] {
        let content = gzipped(&text.repeat(times));
        let mut input = Input::new(&content[..content.len() - 5]);
        assert_eq!(input.beginning().len(), (text.len() * times).min(8192));
        let mut read = Vec::new();
        let problem = std::io::Read::read_to_end(&mut input, &mut read).unwrap_err().to_string();
        assert_eq!(read.len(), text.len() * times);
        assert!(problem.starts_with(&format!("damaged gzip after {} bytes: ", read.len())), "{problem}");
    }
}
