//! The guest's clock and its timers.

use crate::schema::text::YesNo;

words! {
    pub enum Offset {
        Utc = "utc",
        Localtime = "localtime",
        Variable = "variable",
        Timezone = "timezone",
        Absolute = "absolute",
    }
}

words! {
    pub enum Basis {
        Utc = "utc",
        Localtime = "localtime",
    }
}

element! {
    pub struct Clock {
        offset: Offset = clock_offset("offset"),
        /// `reset`, or seconds.
        adjustment: Option<String> = attr("adjustment"),
        basis: Option<Basis> = attr("basis"),
        timezone: Option<String> = attr("timezone"),
        start: Option<u64> = attr("start"),
        timers: Vec<Timer> = list("timer"),
    }
}

words! {
    pub enum TimerName {
        Platform = "platform",
        Pit = "pit",
        Rtc = "rtc",
        Hpet = "hpet",
        Tsc = "tsc",
        Kvmclock = "kvmclock",
        Hypervclock = "hypervclock",
        Armvtimer = "armvtimer",
    }
}

words! {
    pub enum TickPolicy {
        Delay = "delay",
        Catchup = "catchup",
        Merge = "merge",
        Discard = "discard",
    }
}

words! {
    pub enum Track {
        Boot = "boot",
        Guest = "guest",
        Wall = "wall",
        Realtime = "realtime",
    }
}

words! {
    pub enum TimerMode {
        Auto = "auto",
        Native = "native",
        Emulate = "emulate",
        Paravirt = "paravirt",
        Smpsafe = "smpsafe",
    }
}

element! {
    pub struct Timer {
        name: TimerName = attr_req("name"),
        present: Option<YesNo> = attr("present"),
        tickpolicy: Option<TickPolicy> = attr("tickpolicy"),
        track: Option<Track> = attr("track"),
        frequency_hz: Option<u64> = attr("frequency"),
        mode: Option<TimerMode> = attr("mode"),
        catchup: Option<Catchup> = child("catchup"),
    }
}

element! {
    pub struct Catchup {
        threshold: Option<u32> = attr("threshold"),
        slew: Option<u32> = attr("slew"),
        limit: Option<u32> = attr("limit"),
    }
}
