//! An open connection: what stands below it, who uses it, and what they may do.

mod flags;
mod guard;
mod legacy;

pub use flags::check_flags_of;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virt_error::{Code, Error, Origin, Result};
use virt_types::{Name, feature};

use crate::access::check_read_only;
use crate::{
    AccessPolicy, Api, Call, CallContext, Caller, Driver, EventFilter, EventSink, MonitorFilter,
    MonitorSink, MonitorSource, Object, SubscriptionId,
};

/// A connection to one or more drivers. Cloning is cheap and gives the same connection.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    /// What travels with the call that this clone was made for.
    context: Option<Arc<CallContext>>,
}

/// A daemon has one for each of its clients, so it is kept small.
struct Shared {
    drivers: Box<[Arc<dyn Driver>]>,
    uri: Name,
    caller: Arc<Caller>,
    read_only: bool,
    policy: Option<Arc<dyn AccessPolicy>>,
    on_close: Mutex<OnClose>,
}

/// What is done when a connection's user hangs up, or its last clone has gone.
#[derive(Default)]
struct OnClose {
    /// Most connections leave nothing.
    acts: Option<Box<Acts>>,
    closed: bool,
}

#[derive(Default)]
struct Acts(Vec<Box<dyn FnOnce() + Send>>);

impl OnClose {
    fn take(&mut self) -> Vec<Box<dyn FnOnce() + Send>> {
        self.acts.take().map(|acts| acts.0).unwrap_or_default()
    }
}

impl Shared {
    fn on_close(&self) -> MutexGuard<'_, OnClose> {
        self.on_close.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let on_close = self.on_close.get_mut().unwrap_or_else(PoisonError::into_inner);
        on_close.take().into_iter().for_each(|act| act());
    }
}

impl Connection {
    /// A connection through `drivers`: for each family the first that has it serves it.
    pub fn new(drivers: Vec<Arc<dyn Driver>>, uri: impl Into<String>, read_only: bool) -> Self {
        let shared = Shared {
            drivers: drivers.into_boxed_slice(),
            uri: uri.into().into(),
            caller: Arc::default(),
            read_only,
            policy: None,
            on_close: Mutex::default(),
        };
        Self { shared: Arc::new(shared), context: None }
    }

    /// The same connection used by `caller`, under `policy`, the rules for them, where there is one.
    #[must_use]
    pub fn for_caller(
        &self,
        caller: impl Into<Arc<Caller>>,
        policy: Option<Arc<dyn AccessPolicy>>,
    ) -> Self {
        let shared = Shared {
            drivers: self.shared.drivers.clone(),
            uri: self.shared.uri.clone(),
            caller: caller.into(),
            read_only: self.shared.read_only,
            policy,
            on_close: Mutex::default(),
        };
        Self { shared: Arc::new(shared), context: None }
    }

    /// The same connection used on behalf of somebody else, who takes over what is to be done at
    /// its end.
    #[must_use]
    pub fn assume(&self, caller: Caller, policy: Option<Arc<dyn AccessPolicy>>) -> Self {
        let left = self.shared.on_close().acts.take();
        let assumed = self.for_caller(caller, policy);
        assumed.shared.on_close().acts = left;
        assumed
    }

    pub(crate) fn policy(&self) -> Option<&Arc<dyn AccessPolicy>> {
        self.shared.policy.as_ref()
    }

    /// A clone for one call, which carries the call's descriptors and cancellation.
    #[must_use]
    pub fn with_context(&self, context: Arc<CallContext>) -> Self {
        Self { shared: Arc::clone(&self.shared), context: Some(context) }
    }

    /// Leaves something to be done when the connection is closed. Short: it must not wait.
    pub fn on_close(&self, act: impl FnOnce() + Send + 'static) {
        let mut on_close = self.shared.on_close();
        if on_close.closed {
            drop(on_close);
            return act();
        }
        on_close.acts.get_or_insert_default().0.push(Box::new(act));
    }

    /// Does what is to be done when it is closed, though calls may still be at work on it: they end
    /// in their own time, and what they leave to be done is done at once.
    pub fn hang_up(&self) {
        let mut on_close = self.shared.on_close();
        on_close.closed = true;
        let acts = on_close.take();
        drop(on_close);
        acts.into_iter().for_each(|act| act());
    }

    pub fn drivers(&self) -> &[Arc<dyn Driver>] {
        &self.shared.drivers
    }

    /// Whether a call waits for nothing, whoever of the drivers answers it.
    pub fn answers_at_once(&self, function: &str) -> bool {
        // Under rules the object is looked up first, by a call of its own.
        let shared = &self.shared;
        shared.policy.is_none()
            && shared.drivers.iter().all(|driver| driver.answers_at_once(function))
    }

    /// The URI it was opened with.
    pub fn uri(&self) -> &str {
        &self.shared.uri
    }

    pub fn caller(&self) -> &Caller {
        &self.shared.caller
    }

    pub fn is_read_only(&self) -> bool {
        self.shared.read_only
    }

    pub(crate) fn context(&self) -> Option<&CallContext> {
        self.context.as_deref()
    }

    /// `virConnectIsAlive`.
    pub fn is_alive(&self) -> bool {
        self.shared.drivers.iter().all(|driver| driver.is_alive())
    }

    /// `virConnectGetLibVersion`: the version of the library behind the connection.
    pub fn connect_get_lib_version(&self) -> Result<u64> {
        match self.shared.drivers.first() {
            Some(driver) => driver.lib_version(),
            None => Ok(virt_types::LIB_VERSION),
        }
    }

    /// Whether a driver has a feature. Compat: every driver takes string parameters and has the
    /// arguments of `virNetworkUpdate` in the documented order.
    pub fn supports_feature(&self, number: i32) -> bool {
        matches!(number, feature::TYPED_PARAM_STRING | feature::NETWORK_UPDATE_HAS_CORRECT_ORDER)
            || self.shared.drivers.iter().any(|driver| driver.supports_feature(number))
    }

    /// Subscribes `sink` to events of the class in `filter`. The first driver with events serves it.
    pub fn subscribe(&self, filter: EventFilter, sink: EventSink) -> Result<SubscriptionId> {
        let source = self.shared.drivers.iter().find_map(|driver| driver.events());
        match source {
            Some(source) => {
                source.subscribe(filter, self.guarded("virConnectDomainEventRegisterAny", sink))
            }
            None => {
                Err(Error::unsupported()
                    .in_call("virConnectDomainEventRegisterAny", Origin::Domain))
            }
        }
    }

    pub fn unsubscribe(&self, id: SubscriptionId) -> Result<()> {
        match self.shared.drivers.iter().find_map(|driver| driver.events()) {
            Some(source) => source.unsubscribe(id),
            None => Err(Error::new(Code::InvalidArg, Origin::None, format!("no callback {id:?}"))),
        }
    }

    fn monitors(&self) -> Result<&dyn MonitorSource> {
        let source = self.shared.drivers.iter().find_map(|driver| driver.monitors());
        source.ok_or_else(|| {
            Error::unsupported().in_call("virConnectDomainQemuMonitorEventRegister", Origin::None)
        })
    }

    /// Subscribes `sink` to what emulators say by themselves.
    pub fn subscribe_monitor(
        &self,
        filter: MonitorFilter,
        sink: MonitorSink,
    ) -> Result<SubscriptionId> {
        let api = "virConnectDomainQemuMonitorEventRegister";
        self.monitors()?.subscribe(filter, self.guarded_monitor(api, sink))
    }

    pub fn unsubscribe_monitor(&self, id: SubscriptionId) -> Result<()> {
        self.monitors()?.unsubscribe(id)
    }

    /// Checks what the caller may do, makes the call, and names a refusal after it.
    pub(crate) fn run<T>(
        &self,
        api: &'static Api,
        object: Object<'_>,
        flags: u64,
        body: impl FnOnce(&Call<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.shared.read_only {
            check_read_only(api, flags)?;
        }
        flags::check(api, flags)?;
        let call = Call { connection: self, api };
        let checked = match &self.shared.policy {
            None => Ok(()),
            Some(policy) => self.check_policy(policy.as_ref(), &call, object, flags),
        };
        let before = |driver: &Arc<dyn Driver>| driver.before_call(&call, object);
        let ready = checked.and_then(|()| self.shared.drivers.iter().try_for_each(before));
        ready.and_then(|()| body(&call)).map_err(|error| error.in_call(api.name, api.origin))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("uri", &self.shared.uri).finish_non_exhaustive()
    }
}
