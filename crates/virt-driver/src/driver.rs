//! What a driver is: families it owns, events it publishes, features it has.

use crate::{
    Bindings, Checkpoints, Connection, DomainDevices, DomainGuest, DomainJobs, DomainStats,
    DomainTuning, Domains, EventSource, Host, Interfaces, Lxc, Migration, MonitorSource, Networks,
    NodeDevices, Nwfilters, Pools, Ports, Qemu, Secrets, Snapshots, Volumes, unsupported,
};
use virt_error::Result;

use crate::{Call, Object};

/// Gives the list of families, `method: Trait`, to a macro of the caller's.
#[macro_export]
macro_rules! with_families {
    ($macro:ident) => {
        $macro! {
            host: Host,
            domains: Domains,
            domain_tuning: DomainTuning,
            domain_stats: DomainStats,
            domain_devices: DomainDevices,
            domain_jobs: DomainJobs,
            domain_guest: DomainGuest,
            snapshots: Snapshots,
            checkpoints: Checkpoints,
            migration: Migration,
            networks: Networks,
            ports: Ports,
            pools: Pools,
            volumes: Volumes,
            interfaces: Interfaces,
            node_devices: NodeDevices,
            secrets: Secrets,
            nwfilters: Nwfilters,
            bindings: Bindings,
            qemu: Qemu,
            lxc: Lxc,
        }
    };
}

macro_rules! families {
    ($($name:ident: $family:ident),* $(,)?) => {
        /// A driver. For each family: `None` means that the family is absent.
        pub trait Driver: Send + Sync {
            /// The driver's own name as `virConnectGetType` gives it: `QEMU`, `TEST`.
            fn name(&self) -> &str;

            /// The events of the driver's objects.
            fn events(&self) -> Option<&dyn EventSource> {
                None
            }

            /// What the emulators below its guests say by themselves.
            fn monitors(&self) -> Option<&dyn MonitorSource> {
                None
            }

            /// Whether the driver has a feature (`virt_types::feature`).
            fn supports_feature(&self, _feature: i32) -> bool {
                false
            }

            /// Whether a call, named by its public function, is answered from memory alone: it waits
            /// for no hypervisor, no disk and no other call, and its answer is small. A daemon
            /// makes such a call on its loop, which costs a third of giving it to a worker.
            fn answers_at_once(&self, _function: &str) -> bool {
                false
            }

            /// Comes before every public call, once its caller has been found to be allowed it. A
            /// driver made for rehearsals lets it wait or fail here; it must not for any other reason.
            fn before_call(&self, _call: &Call<'_>, _object: Object<'_>) -> Result<()> {
                Ok(())
            }

            /// Whether the other side still answers (`virConnectIsAlive`).
            fn is_alive(&self) -> bool {
                true
            }

            /// The version of the library that serves the connection (`virConnectGetLibVersion`):
            /// of this one, or of a daemon's.
            fn lib_version(&self) -> Result<u64> {
                Ok(virt_types::LIB_VERSION)
            }

            $(
                fn $name(&self) -> Option<&dyn $family> {
                    None
                }
            )*
        }

        impl Connection {
            $(
                /// The family of the first driver that has it.
                pub fn $name(&self) -> Result<&dyn $family> {
                    match self.drivers().iter().find_map(|driver| driver.$name()) {
                        Some(family) => Ok(family),
                        None => unsupported(),
                    }
                }
            )*
        }
    };
}

with_families!(families);

/// The methods of [`Driver`] for the families that a driver has itself, `method: Trait`; to be put
/// in its `impl Driver`.
#[macro_export]
macro_rules! owns {
    ($($name:ident: $family:ident),* $(,)?) => {
        $(
            fn $name(&self) -> Option<&dyn $crate::$family> {
                Some(self)
            }
        )*
    };
}
