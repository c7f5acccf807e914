//! Writes small valid files, made by code, where each fuzz target looks for its corpus.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for format in chainrule_fuzz::FORMATS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (format.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
