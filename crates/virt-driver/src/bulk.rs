//! What `virConnectGetAllDomainStats` asks for, which is the same for every driver.

use virt_error::{Code, Error, Origin, Result};
use virt_types::api::*;

use crate::check_flags;

/// The flags that choose domains. Compat: each has the number of its like in a list's flags.
const FILTERS: u32 = 0xff;

/// The kinds of figures and the filters of a list that a call asks for. `served` are the kinds that a
/// driver has; all of them are meant where none is named.
pub fn stats_asked(
    kinds: u32,
    flags: u32,
    served: u32,
    function: &str,
    origin: Origin,
) -> Result<(u32, u32)> {
    let known = FILTERS
        | CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        | CONNECT_GET_ALL_DOMAINS_STATS_BACKING
        | CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS;
    check_flags(flags, known, function).map_err(|error| error.or_from(origin))?;
    let unknown = kinds & !served;
    if flags & CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS != 0 && unknown != 0 {
        let detail = format!("Stats types bits 0x{unknown:x} are not supported by this daemon");
        return Err(Error::new(Code::ArgumentUnsupported, origin, detail));
    }
    let kinds = if kinds == 0 { served } else { kinds & served };
    Ok((kinds, flags & FILTERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_are_not_there_are_refused_only_where_they_must_be_there() {
        let asked = |kinds, flags| stats_asked(kinds, flags, 0b11, "f", Origin::Test);
        let running = (CONNECT_GET_ALL_DOMAINS_STATS_RUNNING, CONNECT_LIST_DOMAINS_RUNNING);
        assert_eq!(asked(0, running.0), Ok((0b11, running.1)));
        assert_eq!(asked(0b101, 0), Ok((1, 0)));
        let enforced = asked(0b101, CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS);
        let message = "Stats types bits 0x4 are not supported by this daemon";
        assert!(enforced.is_err_and(|error| error.message().contains(message)));
        assert!(asked(0, 1 << 20).is_err());
    }
}
