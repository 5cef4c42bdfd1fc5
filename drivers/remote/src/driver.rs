//! A connection to a daemon as a driver.

use std::sync::Arc;

use virt_client::{Client, Reply};
use virt_driver::{Call, Driver, EventSource, MonitorSource, Stream};
use virt_error::{Code, Error, Origin, Result};
use virt_types::feature;
use virt_wire::{Codec, Reader, remote};

use crate::events::{RemoteEvents, Subscribers};
use crate::monitors::{Listeners, RemoteMonitors};
use crate::stream::RemoteStream;

/// What stands for a daemon's drivers on this side.
pub struct RemoteDriver {
    pub(crate) client: Arc<Client>,
    events: RemoteEvents,
    monitors: RemoteMonitors,
}

macro_rules! families {
    ($($name:ident: $family:ident),* $(,)?) => {
        impl Driver for RemoteDriver {
            fn name(&self) -> &str {
                "remote"
            }

            fn events(&self) -> Option<&dyn EventSource> {
                Some(&self.events)
            }

            fn monitors(&self) -> Option<&dyn MonitorSource> {
                Some(&self.monitors)
            }

            fn supports_feature(&self, number: i32) -> bool {
                number != feature::REMOTE && self.asks_feature(number).unwrap_or(false)
            }

            fn is_alive(&self) -> bool {
                self.client.is_alive()
            }

            fn lib_version(&self) -> Result<u64> {
                ask(&self.client, remote::CONNECT_GET_LIB_VERSION, &(), |r| r.u64())
            }

            virt_driver::owns! { $($name: $family),* }
        }
    };
}

virt_driver::with_families!(families);

impl RemoteDriver {
    pub(crate) fn new(
        client: Arc<Client>,
        subscribers: Arc<Subscribers>,
        listeners: Arc<Listeners>,
    ) -> Self {
        let events = RemoteEvents::new(&client, subscribers);
        Self { events, monitors: RemoteMonitors::new(&client, listeners), client }
    }

    fn asks_feature(&self, feature: i32) -> Result<bool> {
        let arguments = remote::ConnectSupportsFeatureArgs { feature };
        ask(&self.client, remote::CONNECT_SUPPORTS_FEATURE, &arguments, |r| r.flag())
    }

    pub(crate) fn call<A: Codec, R>(
        &self,
        call: &Call<'_>,
        program: u32,
        procedure: u32,
        arguments: &A,
        read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
    ) -> Result<R> {
        let fds = call.take_files();
        let reply = self.client.call(program, procedure, |w| arguments.encode(w), &fds)?;
        finish(call, reply, read)
    }

    pub(crate) fn call_stream<A: Codec, R>(
        &self,
        call: &Call<'_>,
        program: u32,
        procedure: u32,
        arguments: &A,
        read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
    ) -> Result<(R, Arc<dyn Stream>)> {
        let (reply, stream) =
            self.client.open_stream(program, procedure, |w| arguments.encode(w))?;
        let value = finish(call, reply, read)?;
        Ok((value, Arc::new(RemoteStream(stream))))
    }

    pub(crate) fn open_stream<A: Codec>(
        &self,
        call: &Call<'_>,
        program: u32,
        procedure: u32,
        arguments: &A,
    ) -> Result<Arc<dyn Stream>> {
        self.call_stream(call, program, procedure, arguments, |_| Ok(())).map(|((), stream)| stream)
    }
}

impl Drop for RemoteDriver {
    fn drop(&mut self) {
        if self.client.is_alive() {
            // Says goodbye; a daemon that is gone by now needs none.
            let _ = ask(&self.client, remote::CONNECT_CLOSE, &(), |_| Ok(()));
        }
    }
}

impl std::fmt::Debug for RemoteDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteDriver").field("events", &self.events).finish_non_exhaustive()
    }
}

/// A call of the remote program outside any public call: greeting, registration.
pub(crate) fn ask<A: Codec, R>(
    client: &Client,
    procedure: u32,
    arguments: &A,
    read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
) -> Result<R> {
    ask_program(client, remote::PROGRAM, procedure, arguments, read)
}

/// The same of another program.
pub(crate) fn ask_program<A: Codec, R>(
    client: &Client,
    program: u32,
    procedure: u32,
    arguments: &A,
    read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
) -> Result<R> {
    let reply = client.call(program, procedure, |w| arguments.encode(w), &[])?;
    decoded(&reply.payload, read)
}

fn decoded<R>(
    payload: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
) -> Result<R> {
    read(&mut Reader::new(payload))
        .map_err(|_| Error::new(Code::Rpc, Origin::Rpc, "Unable to decode message payload"))
}

fn finish<R>(
    call: &Call<'_>,
    reply: Reply,
    read: impl FnOnce(&mut Reader<'_>) -> virt_wire::Result<R>,
) -> Result<R> {
    for fd in reply.fds {
        call.reply_file(fd);
    }
    decoded(&reply.payload, read)
}
