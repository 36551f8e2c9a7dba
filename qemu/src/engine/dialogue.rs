//! What is said on QEMU's control connection: the handshake, replies, events
//! ("QEMU QMP Reference Manual").

use std::io::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Channel, Engine, Started};
use crate::event::{Event, Stop};
use crate::qmp::{self, Message};
use crate::vm::Control;
use crate::{Error, forward};

/// The identifiers of the handshake's commands; [`Control`]'s begin above.
const CAPABILITIES: u64 = 1;
const USERNET: u64 = 2;
const CONTINUE: u64 = 3;
const STATUS: u64 = 4;
pub(crate) const FIRST_FREE_ID: u64 = 16;

impl Engine {
    /// Acts on a message of QEMU's: the handshake, replies, events.
    pub(super) fn message(&mut self, line: &[u8]) {
        let message = match qmp::parse(line) {
            Ok(message) => message,
            Err(reason) => return self.fail(Error::Qmp(reason)),
        };
        match message {
            Message::Greeting => self.command("qmp_capabilities", Value::Null, CAPABILITIES),
            Message::Return {
                id: Some(CAPABILITIES),
                ..
            } => {
                // ports that QEMU chose itself have to be asked for
                if self.forwards.iter().any(|forward| forward.host == 0) {
                    let arguments = json!({ "command-line": "info usernet" });
                    self.command("human-monitor-command", arguments, USERNET);
                } else {
                    self.command("cont", Value::Null, CONTINUE);
                }
            }
            Message::Return {
                id: Some(USERNET),
                value,
            } => match forward::fill_in(&mut self.forwards, value.as_str().unwrap_or_default()) {
                Ok(()) => self.command("cont", Value::Null, CONTINUE),
                Err(error) => self.fail(error),
            },
            Message::Return {
                id: Some(CONTINUE), ..
            } => self.announce(),
            Message::Return {
                id: Some(STATUS),
                value,
            } => self.halted(&value),
            Message::Return {
                id: Some(id),
                value,
            } => self.reply(id, Ok(value)),
            Message::Error {
                id: Some(id),
                description,
            } if id >= FIRST_FREE_ID => {
                self.reply(id, Err(description));
            }
            Message::Error { description, .. } => self.fail(Error::Qmp(description)),
            Message::Event { name, data } => self.event(&name, &data),
            Message::Return { id: None, .. } => {}
        }
    }

    /// What QEMU tells unasked ("QEMU QMP Reference Manual", run-state).
    fn event(&mut self, name: &str, data: &Value) {
        match name {
            "SHUTDOWN" => {
                let stop = match data.get("reason").and_then(Value::as_str) {
                    Some("guest-shutdown") => Stop::PoweredOff,
                    Some("guest-reset") => Stop::Reset,
                    Some("guest-panic") => Stop::Panicked,
                    Some("host-error") => Stop::Failed("an error of the host".to_owned()),
                    _ => Stop::Host,
                };
                self.stop.get_or_insert(stop);
            }
            "GUEST_PANICKED" => {
                self.panicked = true;
                self.send(Event::Panicked);
            }
            // nobody here pauses a machine: it is an end, or something is broken
            "STOP" => self.command("query-status", Value::Null, STATUS),
            _ => {}
        }
    }

    /// A machine that stands still for a fault of QEMU or of the host will not go on.
    fn halted(&mut self, status: &Value) {
        let status = status
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if matches!(status, "internal-error" | "io-error") {
            self.stop = Some(Stop::Failed(self.messages.after(status)));
            self.kill();
        }
    }

    fn command(&mut self, name: &str, arguments: Value, id: u64) {
        let line = qmp::command(name, arguments, id);
        let socket = self
            .streams
            .iter_mut()
            .find(|stream| stream.channel == Channel::Qmp);
        // if it cannot be written to, QEMU is at its end, and that is noticed elsewhere
        if let Some(stream) = socket {
            let _ = stream.socket.write_all(&line);
        }
    }

    fn reply(&mut self, id: u64, result: Result<Value, String>) {
        if let Some(control) = &self.control {
            control.deliver(id, result);
        }
    }

    /// Tells that the machine runs.
    fn announce(&mut self) {
        let socket = self
            .streams
            .iter()
            .find(|stream| stream.channel == Channel::Qmp);
        let clone = socket.map(|stream| stream.socket.try_clone());
        let (Some(started), Some(Ok(socket))) = (self.started.take(), clone) else {
            return self.fail(Error::Qmp("it closed".to_owned()));
        };
        let control = Control::new(self.child.id(), Arc::clone(&self.pidfd), socket);
        self.control = Some(control.clone());
        let forwards = std::mem::take(&mut self.forwards);
        let _ = started.send(Ok(Started { control, forwards }));
    }
}
