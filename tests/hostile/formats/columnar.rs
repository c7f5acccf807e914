//! Parquet and Arrow files. Builds without the feature `parquet` of `chainrule-data` refuse them.

pub fn seeds() -> Vec<Vec<u8>> {
    let files: [&[u8]; 6] = [
        include_bytes!("../../../crates/data/tests/fixtures/columnar/types.parquet"),
        include_bytes!("../../../crates/data/tests/fixtures/columnar/pages.parquet"),
        include_bytes!("../../../crates/data/tests/fixtures/columnar/snappy.parquet"),
        include_bytes!("../../../crates/data/tests/fixtures/columnar/types.arrow"),
        include_bytes!("../../../crates/data/tests/fixtures/columnar/zstd.arrows"),
        include_bytes!("../../../crates/data/tests/fixtures/columnar/table.feather"),
    ];
    files.map(<[u8]>::to_vec).into()
}

pub fn check(bytes: &[u8]) {
    super::table::check(bytes);
}
