use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};

/// The seconds of a day.
const DAY: f64 = 86_400.0;

/// Returns the days since 1970-01-01 of an ISO 8601 date or time, such as `2026-11-29`,
/// `2026-11-29 12:30` or `2026-11-29T12:30:15.5+01:00`. A time without an offset counts as UTC. A
/// date may have slashes, as in `2026/11/29`. Returns `None` for other text.
pub(crate) fn days(text: &str) -> Option<f64> {
    let with_hyphens;
    let text = match text.as_bytes() {
        [_, _, _, _, b'/', _, _, b'/', ..] => {
            with_hyphens = text.replacen('/', "-", 2);
            &with_hyphens
        }
        _ => text,
    };
    // Years of four digits and months keep numbers such as 20261129 and 2026 out.
    let is_dated = text.len() >= 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if !is_dated || !text.is_ascii() {
        return None;
    }
    if let Some(timestamp) = text.parse::<Timestamp>().ok().filter(|_| text.len() > 10) {
        return Some((timestamp.as_second() as f64 + f64::from(timestamp.subsec_nanosecond()) / 1e9) / DAY);
    }
    let time = match text.len() {
        10 => text.parse::<Date>().ok()?.at(0, 0, 0, 0),
        _ => text.parse::<DateTime>().ok()?,
    };
    Some(time.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs_f64() / DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_dates_and_times_are_days() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(days(text), expected, "{text}");
        check("1970-01-01", Some(0.0));
        check("1969-12-31", Some(-1.0));
        check("2026-11-29", Some(20_786.0));
        check("1970-01-02T12:00:00", Some(1.5));
        check("1970-01-02 12:00", Some(1.5));
        check("1970-01-02T12:00:00Z", Some(1.5));
        check("1970-01-02T13:00:00+01:00", Some(1.5));
        check("1970-01-01T00:00:00.5", Some(0.5 / 86_400.0));
        check("1970/01/02", Some(1.0));
        check("1970/01/02 12:00", Some(1.5));
        check("9999-12-31", Some(2_932_896.0));
        check("0001-01-01", Some(-719_162.0));
        for other in ["", "2026", "20261129", "29.11.2026", "2026-13-01", "2026-02-30", "2026-11-29x", "1970-01-0é"] {
            check(other, None);
        }
    }
}
