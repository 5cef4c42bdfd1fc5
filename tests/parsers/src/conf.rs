//! Configuration files: what is written can be read again, and stays the same.

use virt_conf::Conf;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(conf) = Conf::parse(text) else { return };
    let written = conf.to_string();
    match Conf::parse(&written) {
        Ok(again) => assert_eq!(again.to_string(), written, "writing is not stable"),
        Err(error) => panic!("what was written is not read: {error}\n{written}"),
    }
}
