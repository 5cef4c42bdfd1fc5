//! `sched-credit`: what the scheduler gives a domain, shown or set.

use virt_driver::Connection;
use virt_types::{DomainRef, TypedParam, TypedValue, api};

use crate::Failure;
use crate::domains::{all, connect, find};
use crate::options::Options;

fn shown(connection: &Connection, dom: &DomainRef) -> Result<(), Failure> {
    let params = connection.domain_get_scheduler_parameters(dom)?;
    let of = |name: &str| {
        let found = params.iter().find(|param| param.field == name).map(|param| &param.value);
        match found {
            Some(TypedValue::Uint(number)) => number.to_string(),
            _ => String::new(),
        }
    };
    println!("{:<33} {:>4} {:>6} {:>4}", dom.name.as_str(), dom.id, of("weight"), of("cap"));
    Ok(())
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let connection = connect(options)?;
    let weight = options.number("-w", "--weight")?;
    let cap = options.number("-c", "--cap")?;
    let named = options.value("-d", "--domain")?.map(|word| find(&connection, word)).transpose()?;
    let given = [(api::DOMAIN_SCHEDULER_WEIGHT, weight), (api::DOMAIN_SCHEDULER_CAP, cap)];
    let params: Vec<TypedParam> =
        given.into_iter().filter_map(|(name, value)| Some(TypedParam::new(name, value?))).collect();
    match (named, params.is_empty()) {
        (None, false) => Err(Failure::Usage("which domain? name one with -d".to_owned())),
        (Some(dom), false) => Ok(connection.domain_set_scheduler_parameters(&dom, &params)?),
        (Some(dom), true) => {
            head();
            shown(&connection, &dom)
        }
        (None, true) => {
            head();
            all(&connection, true)?.iter().try_for_each(|seen| shown(&connection, &seen.dom))
        }
    }
}

fn head() {
    println!("{:<33} {:>4} {:>6} {:>4}", "Name", "ID", "Weight", "Cap");
}
