//! Dates as the shell prints them: in UTC, or in the zone of the person at it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, split into the fields a person reads. UTC.
pub(crate) struct Date {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

const DAY_SECONDS: i64 = 86_400;

impl Date {
    /// The date of a number of seconds since 1970 (the proleptic Gregorian calendar).
    pub(crate) fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        // Years begin in March here, so that the leap day is the last; an era is 400 years.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Now, since 1970.
pub(crate) fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn now_seconds() -> i64 {
    i64::try_from(now().as_secs()).unwrap_or(i64::MAX)
}

/// A moment in the zone of the person at the shell; UTC where that cannot be told.
fn local(seconds: i64) -> jiff::Zoned {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::system())
}

/// The stamp in the name of a file.
pub(crate) fn file_stamp() -> String {
    local(now_seconds()).strftime("%Y-%m-%d-%H:%M:%S").to_string()
}

/// The stamp of an event, with milliseconds. Compat: always in UTC.
pub(crate) fn event_stamp() -> String {
    let millisecond = now().subsec_millis();
    format!("{}.{millisecond:03}+0000", Date::of(now_seconds()))
}

/// A date with its zone, as lists of snapshots show it.
pub(crate) fn zoned(seconds: i64) -> String {
    local(seconds).strftime("%Y-%m-%d %H:%M:%S %z").to_string()
}

/// A date without its zone, as lists of leases show it.
pub(crate) fn unzoned(seconds: i64) -> String {
    local(seconds).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, "1970-01-01 00:00:00"),
            (627_319_920, "1989-11-17 15:32:00"),
            (1_000_000_000, "2001-09-09 01:46:40"),
            (951_782_400, "2000-02-29 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
        ] {
            assert_eq!(Date::of(seconds).to_string(), want);
        }
    }
}
