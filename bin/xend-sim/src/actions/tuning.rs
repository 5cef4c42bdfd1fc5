//! How much a domain has: memory, processors, time.

use crate::form::Form;
use crate::sxp::word;
use crate::xend::Xend;

use super::{Done, find};

pub(super) fn act(xend: &Xend, key: &str, op: &str, form: &Form) -> Option<Done> {
    let credit = xend.profile().has_credit();
    Some(match op {
        "set_vcpus" => set_vcpus(xend, key, form),
        "mem_target_set" => set_memory(xend, key, form),
        "maxmem_set" => set_max_memory(xend, key, form),
        "pincpu" => pin(xend, key, form),
        "vcpuinfo" => {
            let world = xend.world();
            let domain = find(&world, key).and_then(|at| world.domains.get(at));
            Ok(domain.map(|domain| xend.describe_vcpus(domain)))
        }
        "domain_sched_credit_get" if credit => credit_get(xend, key),
        "domain_sched_credit_set" if credit => credit_set(xend, key, form),
        _ => return None,
    })
}

fn positive(form: &Form, name: &str) -> Result<u64, String> {
    let number = form.number(name)?;
    u64::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| format!("invalid {name}"))
}

fn set_vcpus(xend: &Xend, key: &str, form: &Form) -> Done {
    let vcpus = positive(form, "vcpus")?;
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    match &mut domain.run {
        Some(run) => {
            let most = domain.config.number("vcpus");
            if vcpus > most {
                return Err(format!("Cannot set vcpus to {vcpus}: at most {most}"));
            }
            run.vcpus = u32::try_from(vcpus).unwrap_or(1);
            for cpu in 0..most {
                let word = if cpu < vcpus { "online" } else { "offline" };
                xend.tree.write(&format!("/local/domain/{}/cpu/{cpu}/availability", run.id), word);
            }
            let avail =
                u64::MAX.checked_shr(u32::try_from(64 - vcpus.min(63)).unwrap_or(0)).unwrap_or(1);
            xend.edit(domain, |config| config.body.set("vcpu_avail", avail))?;
        }
        None => xend.edit(domain, |config| config.body.set("vcpus", vcpus))?,
    }
    Ok(None)
}

fn set_memory(xend: &Xend, key: &str, form: &Form) -> Done {
    let target = positive(form, "target")?;
    let mut world = xend.world();
    let free = xend.free_mib(&world);
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if let Some(run) = &mut domain.run {
        if target > domain.config.number("maxmem") {
            return Err(
                "memory_dynamic_max must be less than or equal to memory_static_max".to_owned()
            );
        }
        if target > run.target_mib + free {
            return Err(format!("I need {} KiB, but there is less free", target * 1024));
        }
        run.target_mib = target;
        xend.tree.write(&format!("/local/domain/{}/memory/target", run.id), target * 1024);
    }
    xend.edit(domain, |config| config.body.set("memory", target))?;
    Ok(None)
}

fn set_max_memory(xend: &Xend, key: &str, form: &Form) -> Done {
    let memory = positive(form, "memory")?;
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    xend.edit(domain, |config| config.body.set("maxmem", memory))?;
    Ok(None)
}

fn pin(xend: &Xend, key: &str, form: &Form) -> Done {
    let vcpu = usize::try_from(form.number("vcpu")?).map_err(|error| error.to_string())?;
    let text = form.need("cpumap")?;
    let cpus: Result<Vec<u32>, _> = text.split(',').map(|cpu| cpu.trim().parse::<u32>()).collect();
    let cpus = cpus.map_err(|_| format!("Invalid cpumap: {text}"))?;
    if cpus.iter().any(|cpu| *cpu >= xend.settings.cpus) {
        return Err(format!("Cannot pin vcpu: {vcpu} to cpu: {text} - (22, 'Invalid argument')"));
    }
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    let run = domain.run.as_mut().ok_or("Domain is not started")?;
    *run.pins.get_mut(vcpu).ok_or_else(|| format!("Cannot pin vcpu: {vcpu}"))? = cpus;
    Ok(None)
}

/// The answer is a text that holds a dictionary as Python prints it.
fn credit_get(xend: &Xend, key: &str) -> Done {
    let world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get(at).ok_or("gone")?;
    let kept = |name| domain.config.body.number(name);
    let (weight, cap) = match &domain.run {
        Some(run) => (run.weight, run.cap),
        None => (kept("cpu_weight").unwrap_or(256), kept("cpu_cap").unwrap_or(0)),
    };
    Ok(Some(word(format!("{{'cap': {cap}, 'weight': {weight}}}"))))
}

fn credit_set(xend: &Xend, key: &str, form: &Form) -> Done {
    let (weight, cap) = (form.number("weight")?, form.number("cap")?);
    let most = i64::from(xend.settings.cpus) * 100;
    if !(1..=65_535).contains(&weight) {
        return Err("weight is out of range".to_owned());
    }
    if !(0..=most).contains(&cap) {
        return Err("cap is out of range".to_owned());
    }
    let mut world = xend.world();
    let at = find(&world, key).ok_or("gone")?;
    let domain = world.domains.get_mut(at).ok_or("gone")?;
    if let Some(run) = &mut domain.run {
        run.weight = weight.unsigned_abs();
        run.cap = cap.unsigned_abs();
    }
    xend.edit(domain, |config| {
        config.body.set("cpu_weight", weight);
        config.body.set("cpu_cap", cap);
    })?;
    Ok(None)
}
