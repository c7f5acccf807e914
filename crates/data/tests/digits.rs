//! The digits drawn by code.

use chainrule_data::{Counts, digits, sha256};

fn all_pixels(images: &chainrule_data::Images) -> Vec<u8> {
    (0..images.labels().len()).flat_map(|row| images.pixels(row).to_vec()).collect()
}

fn draw(seed: u64, train: usize, validation: usize) -> [chainrule_data::Images; 2] {
    digits::draw_both(seed, Counts { train, validation })
}

/// Fixed bytes: they must be the same on every platform, with every compiler and every version of a
/// dependency.
#[test]
fn a_seed_determines_the_digits() {
    let [train, validation] = draw(0, 1000, 200);
    assert_eq!(
        [train.file_checksums(), validation.file_checksums()].concat(),
        [
            "d5aeb326e72df26408db593f22f6120f10daae8945c2d0865d400ae46ea4a897",
            "4a52b6011290cb0ec655c3b000bad8857f8d3ac4eddf4d3da61772988347ab94",
            "ee201290c8b0fa28756a50db4333da083005716189e4a7ef265b496bff5cf5b1",
            "8ee665fe65b05de7e26cb7d4848dbf2e6effeeac712b0dee14ed9892e1ddc4a7",
        ]
    );
}

#[test]
fn more_digits_extend_fewer() {
    let [fewer, _] = draw(3, 20, 1);
    let [many, _] = draw(3, 50, 9);
    assert_eq!(fewer.labels(), &many.labels()[..20]);
    assert_eq!(all_pixels(&fewer), all_pixels(&many)[..20 * 784]);
}

#[test]
fn seeds_and_splits_differ() {
    let [train, validation] = draw(0, 50, 50);
    let [other, _] = draw(1, 50, 50);
    let checksum = |images: &chainrule_data::Images| sha256([images.pixels(0), images.pixels(1)]);
    assert_ne!(checksum(&train), checksum(&validation));
    assert_ne!(checksum(&train), checksum(&other));
}

#[test]
fn the_digits_have_mnists_statistics() {
    let [train, _] = draw(0, 2000, 1);
    let mut counts = [0; 10];
    for &label in train.labels() {
        counts[usize::from(label)] += 1;
    }
    assert!(counts.iter().all(|count| (140..=260).contains(count)), "{counts:?} of 2000");
    let pixels = all_pixels(&train);
    let background = pixels.iter().filter(|&&pixel| pixel == 0).count() as f64 / pixels.len() as f64;
    assert!((0.7..0.9).contains(&background), "{background} of the pixels are background; 0.81 of MNIST's are");
}
