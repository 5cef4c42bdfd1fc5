//! A domain's way to another manager: what is told meanwhile, and who decides how it ends.

use std::thread::sleep;

use crate::actions::{Migration, migration_ends, migration_failed, migration_goes_on};
use crate::manager::Manager;
use crate::peer::Peer;

impl Manager {
    /// Sends a domain away; when this fails it is where it was.
    ///
    /// A target that no peer is named for swallows the domain.
    pub(crate) fn migrate(&self, migration: &Migration) -> Result<(), String> {
        self.send_away(migration).map_err(|why| {
            let mut machine = self.machine();
            let notice = migration_failed(&mut machine, &migration.name);
            self.save(&mut machine);
            drop(machine);
            self.publish(&[notice]);
            format!("{why}\nDomain Migration of LDom {} failed", migration.name)
        })
    }

    fn send_away(&self, migration: &Migration) -> Result<(), String> {
        let peers = &self.settings.peers;
        let address = peers.iter().find(|(name, _)| *name == migration.host);
        // Before anything is told, the other side must have taken the domain.
        let mut peer = match address {
            Some((_, address)) => {
                Some(Peer::log_in(*address, &migration.username, &migration.password)?)
            }
            None => None,
        };
        if let Some(peer) = &mut peer {
            peer.define(&migration.object)?;
        }
        let mut told = migration.notices.iter().try_for_each(|notice| {
            sleep(migration.pause);
            if !migration_goes_on(&self.machine(), &migration.name) {
                return cancelled();
            }
            self.publish(std::slice::from_ref(notice));
            Ok(())
        });
        if told.is_ok() && !migration_ends(&mut self.machine(), &migration.name) {
            told = cancelled();
        }
        let name = migration.object.domain.as_deref().unwrap_or(&migration.name);
        match (told, &mut peer) {
            (Ok(()), Some(peer)) if migration.is_active => peer.start(name),
            (Err(why), Some(peer)) => {
                // What is left there is the other side's to see.
                let _ = peer.forget(name);
                Err(why)
            }
            (told, _) => told,
        }
    }
}

fn cancelled() -> Result<(), String> {
    Err("The migration was cancelled".to_owned())
}
