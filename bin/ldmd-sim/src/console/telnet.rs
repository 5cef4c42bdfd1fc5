//! Telnet, as far as the console concentrator speaks it.

/// Interpret as command.
const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SUBNEGOTIATION: u8 = 250;
const BREAK: u8 = 243;
const SUBNEGOTIATION_END: u8 = 240;

/// What is sent first: no line mode, go on and echo here, and none of what terminals offer.
pub(crate) const GREETING: [u8; 30] = [
    IAC, DONT, 34, IAC, WILL, 3, IAC, WILL, 1, IAC, DONT, 24, IAC, DONT, 32, IAC, DONT, 5, IAC,
    DONT, 33, IAC, DONT, 6, IAC, DONT, 36, IAC, DONT, 31,
];

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Byte(u8),
    Break,
    /// To be sent back.
    Reply([u8; 3]),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Plain,
    Command,
    Option(u8),
    Inside,
    InsideCommand,
    /// A line end may have a second byte.
    AfterReturn,
}

/// Takes the commands out of what comes.
#[derive(Debug, Default)]
pub(crate) struct Telnet {
    state: State,
}

impl Telnet {
    pub(crate) fn take(&mut self, byte: u8) -> Option<Said> {
        let before = std::mem::take(&mut self.state);
        match (before, byte) {
            (State::Plain | State::AfterReturn, IAC) => self.state = State::Command,
            (State::AfterReturn, b'\n' | 0) => {}
            (State::Plain | State::AfterReturn, b'\r') => {
                self.state = State::AfterReturn;
                return Some(Said::Byte(b'\r'));
            }
            (State::Plain | State::AfterReturn, byte) => return Some(Said::Byte(byte)),
            (State::Command, IAC) => return Some(Said::Byte(IAC)),
            (State::Command, BREAK) => return Some(Said::Break),
            (State::Command, SUBNEGOTIATION) => self.state = State::Inside,
            (State::Command, WILL | WONT | DO | DONT) => self.state = State::Option(byte),
            (State::Command, _) => {}
            (State::Option(DO | DONT), option) => return Some(Said::Reply([IAC, WILL, option])),
            (State::Option(_), _) => {}
            (State::Inside, IAC) => self.state = State::InsideCommand,
            (State::InsideCommand, SUBNEGOTIATION_END) => {}
            (State::Inside | State::InsideCommand, _) => self.state = State::Inside,
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_out_and_answered() {
        let mut telnet = Telnet::default();
        let bytes = [
            b'a',
            IAC,
            DO,
            1,
            IAC,
            WONT,
            34,
            IAC,
            IAC,
            b'\r',
            0,
            b'\r',
            b'\n',
            IAC,
            BREAK,
            IAC,
            SUBNEGOTIATION,
            31,
            0,
            80,
            IAC,
            SUBNEGOTIATION_END,
            b'z',
        ];
        let said: Vec<Said> = bytes.iter().filter_map(|byte| telnet.take(*byte)).collect();
        assert_eq!(
            said,
            [
                Said::Byte(b'a'),
                Said::Reply([IAC, WILL, 1]),
                Said::Byte(IAC),
                Said::Byte(b'\r'),
                Said::Byte(b'\r'),
                Said::Break,
                Said::Byte(b'z'),
            ]
        );
    }
}
