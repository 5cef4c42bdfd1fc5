//! One message as text: `2026-11-21 13:00:00.123+0000: 1234: error : place:7 : message`.

use crate::{Level, Place};

/// A message on its way to the outputs.
pub(crate) struct Record {
    pub(crate) level: Level,
    pub(crate) place: Place,
    pub(crate) message: String,
    /// Without the newline.
    pub(crate) text: String,
}

impl Record {
    pub(crate) fn new(level: Level, place: Place, message: String) -> Self {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let module = place.module.rsplit("::").next().unwrap_or_default();
        let word = level.word();
        let line = place.line;
        let now = timestamp(std::time::SystemTime::now());
        let text = format!("{now}: {thread}: {word} : {module}:{line} : {message}");
        Self { level, place, message, text }
    }
}

/// A moment in UTC as libvirt's logs write it, with milliseconds.
pub fn timestamp(moment: std::time::SystemTime) -> String {
    let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}+0000",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

/// The Gregorian date of a day since 1970-01-01, counted in years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn dates_are_gregorian() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00.000+0000"),
            (951_782_400, "2000-02-29 00:00:00.000+0000"),
            (951_868_799, "2000-02-29 23:59:59.000+0000"),
            (1_795_267_080, "2026-11-21 13:18:00.000+0000"),
            (4_107_542_400, "2100-03-01 00:00:00.000+0000"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
