//! A self-signed certificate, as bytes: the least that clients accept.

/// 1.2.840.10045.4.3.2, ecdsa-with-SHA256.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 1.2.840.10045.2.1, ecPublicKey.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7, prime256v1.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 2.5.4.3, commonName.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8: u8 = 0x0c;
const TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// A field with that number in a structure's context.
const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// A value with its tag and length.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let significant: Vec<u8> =
                bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

fn several(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &parts.concat())
}

fn bits(content: &[u8]) -> Vec<u8> {
    // No bit of the last byte is unused.
    value(BITS, &[&[0], content].concat())
}

fn name(host: &str) -> Vec<u8> {
    let attribute = several(SEQUENCE, &[value(OBJECT, COMMON_NAME), value(UTF8, host.as_bytes())]);
    several(SEQUENCE, &[value(SET, &attribute)])
}

/// What is signed: a certificate for a host with this public key, an uncompressed point of P-256.
pub(crate) fn body(host: &str, public_key: &[u8]) -> Vec<u8> {
    let algorithm = value(SEQUENCE, &value(OBJECT, ECDSA_SHA256));
    let validity =
        several(SEQUENCE, &[value(TIME, b"240101000000Z"), value(TIME, b"491231235959Z")]);
    let key_kind = several(SEQUENCE, &[value(OBJECT, EC_PUBLIC_KEY), value(OBJECT, P256)]);
    // dNSName, the local names, and iPAddress.
    let names = several(
        SEQUENCE,
        &[value(0x82, host.as_bytes()), value(0x82, b"localhost"), value(0x87, &[127, 0, 0, 1])],
    );
    let extension = several(SEQUENCE, &[value(OBJECT, ALTERNATIVE_NAME), value(OCTETS, &names)]);
    several(
        SEQUENCE,
        &[
            value(context(0), &value(INTEGER, &[2])),
            value(INTEGER, &[1]),
            algorithm,
            name(host),
            validity,
            name(host),
            several(SEQUENCE, &[key_kind, bits(public_key)]),
            value(context(3), &value(SEQUENCE, &extension)),
        ],
    )
}

/// The certificate with its signature.
pub(crate) fn signed(body: &[u8], signature: &[u8]) -> Vec<u8> {
    let algorithm = value(SEQUENCE, &value(OBJECT, ECDSA_SHA256));
    several(SEQUENCE, &[body.to_vec(), algorithm, bits(signature)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        assert_eq!(value(4, &[7]), [4, 1, 7]);
        assert_eq!(value(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(value(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(value(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}
