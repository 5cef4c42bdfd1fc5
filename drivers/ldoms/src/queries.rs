//! What the driver wants to know, asked of the manager only where it is not known already.

use std::sync::Arc;

use virt_driver::Call;
use virt_error::{Code, Error, Result};
use virt_types::{DomainRef, Uuid};

use crate::facts::Facts;
use crate::link::ORIGIN;
use crate::manager::{Manager, Waiting, refusal};
use crate::message::{Command, Content, Envelope, Item, Message};
use crate::world::{Detail, Gap, Service, Stamp};

pub(crate) fn no_domain(detail: String) -> Error {
    Error::new(Code::NoDomain, ORIGIN, detail)
}

impl Manager {
    /// All domains, the control domain first.
    pub(crate) fn all(&self, waiting: Waiting<'_>) -> Result<Vec<Arc<Facts>>> {
        let gap = self.world().gap();
        self.fill(waiting, gap)?;
        Ok(self.world().all())
    }

    /// The domain of that name, or `None`.
    pub(crate) fn named(&self, waiting: Waiting<'_>, name: &str) -> Result<Option<Arc<Facts>>> {
        let gap = self.world().gap_of(name);
        self.fill(waiting, gap)?;
        Ok(self.world().by_name(name))
    }

    pub(crate) fn with_uuid(
        &self,
        waiting: Waiting<'_>,
        uuid: &Uuid,
    ) -> Result<Option<Arc<Facts>>> {
        let known = self.world().by_uuid(uuid);
        if let Some(known) = known
            && let Some(facts) = self.named(waiting, &known.name)?
            && facts.uuid == *uuid
        {
            return Ok(Some(facts));
        }
        let all = self.all(waiting)?;
        Ok(all.into_iter().find(|facts| facts.uuid == *uuid))
    }

    /// The domain that a caller names.
    pub(crate) fn find(&self, call: &Call<'_>, dom: &DomainRef) -> Result<Arc<Facts>> {
        self.with_uuid(Some(call), &dom.uuid)?.ok_or_else(|| {
            no_domain(format!("no domain with matching uuid '{}' ({})", dom.uuid, dom.name))
        })
    }

    fn fill(&self, waiting: Waiting<'_>, gap: Gap) -> Result<()> {
        let asked = self.world().stamp();
        match gap {
            Gap::Nothing => {}
            Gap::All => {
                let answer = self.list(waiting, Command::new("list-domain"))?;
                checked(&answer, "list-domain", "")?;
                self.world().set_all(answer.contents(), asked);
            }
            Gap::These(names) => self.fill_some(waiting, &names, asked)?,
        }
        Ok(())
    }

    fn fill_some(&self, waiting: Waiting<'_>, names: &[String], asked: Stamp) -> Result<()> {
        let command = names.iter().fold(Command::new("list-domain"), |command, name| {
            command.about(Envelope::domain(name))
        });
        let answer = self.list(waiting, command)?;
        // A domain that is gone is a failure of its part, which is what it is asked for.
        let parts = answer.commands.iter().flat_map(|command| &command.data);
        let good = parts.filter(|data| data.outcome.as_ref().is_none_or(|outcome| outcome.success));
        let envelopes = good.filter_map(|data| data.envelope.as_ref());
        let contents: Vec<&Content> = envelopes.flat_map(|envelope| &envelope.contents).collect();
        if contents.is_empty()
            && let Err(reasons) = answer.verdict()
        {
            let error = refusal("list-domain", names.first().map_or("", String::as_str), &reasons);
            let gone = reasons.iter().all(|reason| reason.contains("exist"));
            if !gone && !error.is(Code::NoDomain) {
                return Err(error);
            }
        }
        self.world().set_some(names, &contents, asked);
        Ok(())
    }

    /// All that a domain has, or all that was asked for it.
    pub(crate) fn detail(&self, call: &Call<'_>, name: &str, kind: Detail) -> Result<Arc<Content>> {
        if let Some(known) = self.world().detail(name, kind) {
            return Ok(known);
        }
        let action = match kind {
            Detail::Constraints => "list-constraints",
            Detail::Bindings => "list-bindings",
        };
        let asked = self.world().stamp();
        let answer = self.list(Some(call), Command::new(action).about(Envelope::domain(name)))?;
        checked(&answer, action, name)?;
        let content = answer.contents().find(|content| content.id == name).cloned();
        let content = content.ok_or_else(|| {
            Error::internal(
                ORIGIN,
                format!("{action} of '{name}': the answer is about something else"),
            )
        })?;
        let content = Arc::new(content);
        self.world().set_detail(name, kind, Arc::clone(&content), asked);
        Ok(content)
    }

    /// The services of all domains, and the volumes of disk servers.
    pub(crate) fn services(&self, call: &Call<'_>) -> Result<Arc<Vec<Service>>> {
        if let Some(known) = self.world().services() {
            return Ok(known);
        }
        let asked = self.world().stamp();
        let answer = self.list(Some(call), Command::new("list-services"))?;
        checked(&answer, "list-services", "")?;
        let mut services = Vec::new();
        let parts = answer.commands.iter().flat_map(|command| &command.data);
        for envelope in parts.filter_map(|data| data.envelope.as_ref()) {
            let of = |domain: &str, item: &Item| Service {
                domain: domain.to_owned(),
                item: item.clone(),
            };
            for content in &envelope.contents {
                services.extend(content.items().map(|item| of(&content.id, item)));
            }
            services.extend(envelope.items().map(|item| of("", item)));
        }
        let services = Arc::new(services);
        self.world().set_services(Arc::clone(&services), asked);
        Ok(services)
    }

    /// The machine's strands, memory and crypto units, free or bound.
    pub(crate) fn devices(&self, call: &Call<'_>) -> Result<Arc<Vec<Item>>> {
        if let Some(known) = self.world().devices() {
            return Ok(known);
        }
        let asked = self.world().stamp();
        let answer = self.list(Some(call), Command::new("list-devices").option("-a"))?;
        checked(&answer, "list-devices", "")?;
        let devices: Arc<Vec<Item>> = Arc::new(answer.items().cloned().collect());
        self.world().set_devices(Arc::clone(&devices), asked);
        Ok(devices)
    }
}

/// Refuses an answer that says it failed, or that says nothing at all of how it went.
fn checked(answer: &Message, action: &str, name: &str) -> Result<()> {
    let empty = answer.contents().next().is_none() && answer.items().next().is_none();
    match answer.verdict() {
        Err(reasons) => Err(refusal(action, name, &reasons)),
        Ok(_) if empty && !answer.is_judged() => {
            Err(Error::internal(ORIGIN, format!("{action}: the manager gave an empty answer")))
        }
        Ok(_) => Ok(()),
    }
}
