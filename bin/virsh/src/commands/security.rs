//! Secrets, network filters and their bindings.

use virt_cli::{Args, Cell};
use virt_error::{Code, Error, Origin};
use virt_types::{NwfilterBindingRef, api};

use crate::credentials;
use crate::document::{check_path, print_document};
use crate::failure::{Done, During as _, Failure, fail};
use crate::files::read_document;
use crate::lookup::{nwfilter, secret};
use crate::options::flags_of;
use crate::report::record;
use crate::shell::{Shell, extra, sayln};

/// What a secret is for, by number.
const USAGES: &[&str] = &["none", "volume", "ceph", "iscsi", "tls", "vtpm"];

const SECRET_FLAGS: &[(&str, u32)] = &[
    ("ephemeral", api::CONNECT_LIST_SECRETS_EPHEMERAL),
    ("no-ephemeral", api::CONNECT_LIST_SECRETS_NO_EPHEMERAL),
    ("private", api::CONNECT_LIST_SECRETS_PRIVATE),
    ("no-private", api::CONNECT_LIST_SECRETS_NO_PRIVATE),
];

/// Compat: where the list is refused, the refusal shown is that of the older way to list.
fn no_old_list(api: &str, failed: &str) -> Done {
    Err(Failure::from(Error::new(Code::NoSupport, Origin::None, api)).during(failed))
}

pub(crate) fn cmd_secret_list(shell: &mut Shell, args: &Args) -> Done {
    let flags = flags_of(args, SECRET_FLAGS);
    let connection = shell.connection()?;
    let mut secrets = match connection.connect_list_all_secrets(flags) {
        Ok(secrets) => secrets,
        Err(error) if error.is(Code::NoSupport) && flags != 0 => {
            return fail("Filtering is not supported by this libvirt");
        }
        Err(error) if error.is(Code::NoSupport) => {
            return no_old_list("virConnectNumOfSecrets", "Failed to count secrets");
        }
        Err(error) => return Err(error).during(|| "Failed to list node secrets"),
    };
    secrets.sort_by_key(|secret| secret.uuid);
    let mut list = shell.listing(&[("UUID", "uuid"), ("Usage", "usage")]);
    for secret in &secrets {
        let usage = match secret.usage_type {
            api::SECRET_USAGE_TYPE_NONE => Cell::none("Unused"),
            kind => {
                let kind = super::info::word(USAGES, kind, "unknown");
                let value = [("type", kind.into()), ("id", secret.usage_id.as_str().into())];
                Cell::new(format!("{kind} {}", secret.usage_id), record(value))
            }
        };
        list.row([Cell::word(secret.uuid), usage]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_secret_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = secret(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.secret_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_secret_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::SECRET_DEFINE_VALIDATE)]);
    let xml = read_document(file)?;
    let defined = shell.connection()?.secret_define_xml(&xml, flags);
    let defined = defined.during(|| format!("Failed to set attributes from {file}"))?;
    extra!(shell, "Secret {} created", defined.uuid);
    Ok(())
}

pub(crate) fn cmd_secret_undefine(shell: &mut Shell, args: &Args) -> Done {
    let found = secret(shell, args)?;
    let undefined = shell.connection()?.secret_undefine(&found);
    undefined.during(|| format!("Failed to delete secret {}", found.uuid))?;
    extra!(shell, "Secret {} deleted", found.uuid);
    Ok(())
}

pub(crate) fn cmd_secret_get_value(shell: &mut Shell, args: &Args) -> Done {
    let found = secret(shell, args)?;
    let value = shell.connection()?.secret_get_value(&found, 0)?;
    match args.flag("plain") {
        _ if shell.reports() => shell.fact("base64", base64(&value)),
        true => shell.write_bytes(&value),
        false => {
            let text = base64(&value);
            shell.write_bytes(text.as_bytes());
        }
    }
    Ok(())
}

/// Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4_u32 {
            let value = usize::try_from(bits >> (18 - 6 * digit) & 63).unwrap_or(0);
            let shown = digit as usize <= chunk.len();
            out.push(if shown { char::from(DIGITS[value]) } else { '=' });
        }
    }
    out
}

pub(crate) fn cmd_nwfilter_list(shell: &mut Shell, _args: &Args) -> Done {
    let connection = shell.connection()?;
    let mut filters = match connection.connect_list_all_nwfilters(0) {
        Ok(filters) => filters,
        Err(error) if error.is(Code::NoSupport) => {
            return no_old_list("virConnectNumOfNWFilters", "Failed to count network filters");
        }
        Err(error) => return Err(error).during(|| "Failed to list network filters"),
    };
    filters.sort_by_cached_key(|filter| filter.name.to_ascii_lowercase());
    let mut list = shell.listing(&[("UUID", "uuid"), ("Name", "name")]);
    for filter in &filters {
        list.row([Cell::word(filter.uuid), Cell::word(&filter.name)]);
    }
    shell.print_listing(list);
    Ok(())
}

pub(crate) fn cmd_nwfilter_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = nwfilter(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.nwfilter_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_nwfilter_define(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let xml = read_document(file)?;
    let connection = shell.connection()?;
    let defined = match args.flag("validate") {
        true => connection.nwfilter_define_xml_flags(&xml, api::NWFILTER_DEFINE_VALIDATE),
        false => connection.nwfilter_define_xml(&xml),
    };
    let defined = defined.during(|| format!("Failed to define network filter from {file}"))?;
    extra!(shell, "Network filter {} defined from {}", defined.name, file);
    Ok(())
}

pub(crate) fn cmd_nwfilter_undefine(shell: &mut Shell, args: &Args) -> Done {
    let found = nwfilter(shell, args)?;
    let undefined = shell.connection()?.nwfilter_undefine(&found);
    undefined.during(|| format!("Failed to undefine network filter {}", found.name))?;
    extra!(shell, "Network filter {} undefined", found.name);
    Ok(())
}

pub(crate) fn cmd_nwfilter_binding_list(shell: &mut Shell, _args: &Args) -> Done {
    let bindings = shell.connection()?.connect_list_all_nwfilter_bindings(0);
    let mut bindings = bindings.during(|| "Failed to list network filter bindings")?;
    bindings.sort_by_cached_key(|binding| binding.portdev.to_ascii_lowercase());
    let mut list = shell.listing(&[("Port Dev", "port_dev"), ("Filter", "filter")]);
    for binding in &bindings {
        list.row([Cell::word(&binding.portdev), Cell::word(&binding.filtername)]);
    }
    shell.print_listing(list);
    Ok(())
}

fn binding(shell: &mut Shell, args: &Args) -> Result<NwfilterBindingRef, Failure> {
    let name = args.needed("binding")?;
    let found = shell.connection()?.nwfilter_binding_lookup_by_port_dev(name);
    found.during(|| format!("failed to get nwfilter binding '{name}'"))
}

pub(crate) fn cmd_nwfilter_binding_dumpxml(shell: &mut Shell, args: &Args) -> Done {
    let found = binding(shell, args)?;
    check_path(args)?;
    let text = shell.connection()?.nwfilter_binding_get_xml_desc(&found, 0)?;
    print_document(shell, args, &text)
}

pub(crate) fn cmd_nwfilter_binding_create(shell: &mut Shell, args: &Args) -> Done {
    let file = args.needed("file")?;
    let flags = flags_of(args, &[("validate", api::NWFILTER_BINDING_CREATE_VALIDATE)]);
    let xml = read_document(file)?;
    let created = shell.connection()?.nwfilter_binding_create_xml(&xml, flags);
    let created = created.during(|| format!("Failed to create network filter from {file}"))?;
    extra!(shell, "Network filter binding on {} created from {}", created.portdev, file);
    Ok(())
}

pub(crate) fn cmd_nwfilter_binding_delete(shell: &mut Shell, args: &Args) -> Done {
    let found = binding(shell, args)?;
    let deleted = shell.connection()?.nwfilter_binding_delete(&found);
    let name = found.portdev;
    deleted.during(|| format!("Failed to delete network filter binding {name}"))?;
    extra!(shell, "Network filter binding on {} deleted", name);
    Ok(())
}

/// Reads the value of a secret from where the options say it is.
pub(crate) fn cmd_secret_set_value(shell: &mut Shell, args: &Args) -> Done {
    args.exclusive("file", "base64")?;
    args.exclusive("interactive", "file")?;
    args.exclusive("interactive", "base64")?;
    args.exclusive("interactive", "plain")?;
    args.exclusive("plain", "base64")?;
    let found = secret(shell, args)?;
    let plain = args.flag("plain");
    let value = match (args.text("file")?, args.text("base64")?) {
        _ if args.flag("interactive") => {
            shell.flush();
            let typed = credentials::hidden_line("Enter new value for secret");
            typed.ok_or_else(|| Failure::new("Failed to read secret"))?.into_bytes()
        }
        (Some(file), _) => {
            let text = read_document(file)?;
            match plain {
                true => text.into_bytes(),
                false => {
                    from_base64(text.trim()).ok_or_else(|| Failure::new("Invalid base64 data"))?
                }
            }
        }
        (None, Some(text)) => {
            shell.error("Passing secret value as command-line argument is insecure!");
            from_base64(text).ok_or_else(|| Failure::new("Invalid base64 data"))?
        }
        (None, None) => return fail("Input secret value is missing"),
    };
    let set = shell.connection()?.secret_set_value(&found, &value, 0);
    set.during(|| "Failed to set secret value")?;
    sayln!(shell, "Secret value set");
    Ok(())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{base64, from_base64};

    #[test]
    fn base64_both_ways() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(from_base64("Zg="), None);
        assert_eq!(from_base64("Z!=="), None);
    }
}
