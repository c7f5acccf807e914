use chainrule_data::table::{Columns, Table};
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let start = std::time::Instant::now();
    let before = peak();
    let columns = Columns { label: Some("y"), ..Columns::default() };
    let table = Table::read(std::fs::File::open(path).unwrap(), columns, u64::MAX).unwrap();
    println!(
        "{} rows {:.3} s, peak {:.1} MB above {:.1}",
        table.len(),
        start.elapsed().as_secs_f64(),
        (peak() - before) as f64 / 1e3,
        before as f64 / 1e3
    );
}
fn peak() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").trim().parse().unwrap()
}
