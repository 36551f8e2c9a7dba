//! What is asked of a booted image, and of the machine that it boots in: the flags that
//! `test` and `learn` share.

use std::time::Duration;

use clap::Args;
use regex::Regex;

use super::exit::{Exit, Failure};
use super::interrupt;
use super::machine::{AccelArg, Bootable, Firmware};
use super::ui::Ui;
use crate::check::{self, Expectation, Outcome, Request, Session, SessionError};
use crate::pipeline::Inspection;

/// What a request to stop takes beside the app's grace time: the power button's way to init,
/// and the way to power-off.
const STOP_ALLOWANCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Questions {
    /// An HTTP request and the status it must give; repeatable
    ///
    /// Without PORT it goes to the port that the image declares. Any complete
    /// answer is the answer; redirects are not followed.
    #[arg(long, value_name = "[PORT]/PATH=STATUS")]
    pub http: Vec<Request>,
    /// What the body of each HTTP answer must match
    #[arg(long, value_name = "REGEX", requires = "http")]
    pub http_body: Option<Regex>,
    /// A TCP port that must answer; repeatable
    ///
    /// It must send something, or hold the connection while init reports that
    /// the port listens: QEMU accepts connections that no guest ever sees.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub tcp: Vec<u16>,
    /// The code that the app must end with by itself
    #[arg(long, value_name = "CODE")]
    pub exit: Option<u8>,
    /// How to execute
    #[arg(long, value_enum, default_value_t = AccelArg::Auto)]
    pub accel: AccelArg,
    /// The machine's memory [default: what the image says it needs]
    #[arg(long, value_name = "MiB")]
    pub memory: Option<u32>,
    /// The longest that a boot may take to be ready and answer
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
}

impl Questions {
    /// What the image must do.
    ///
    /// # Errors
    /// When it is not clear which port a request goes to.
    pub fn expectations(&self, image: &Inspection) -> Result<Vec<Expectation>, Failure> {
        let ports = &image.config.ports;
        let mut expectations = Vec::new();
        for request in &self.http {
            let expectation = request.clone().resolve(ports, self.http_body.clone());
            expectations
                .push(expectation.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?);
        }
        expectations.extend(self.tcp.iter().copied().map(Expectation::Tcp));
        expectations.extend(self.exit.map(Expectation::Exit));
        Ok(expectations)
    }

    /// Boots the image, asks, and stops it.
    ///
    /// # Errors
    /// When the machine cannot be started, or the user wants to stop.
    pub fn ask(
        &self,
        expectations: &[Expectation],
        grace: Duration,
        bootable: &mut Bootable,
        firmware: Firmware,
        ui: &Ui,
    ) -> anyhow::Result<Outcome> {
        let memory = bootable.memory_mib(self.memory, firmware)?;
        let machine = bootable.machine(firmware)?;
        let progress = ui.progress(format!("{} boot", firmware.name()), None);
        let outcome = check::observe(Session {
            machine: machine.memory_mib(memory).accel(self.accel.into()),
            expectations,
            limit: Duration::from_secs(self.timeout),
            stop_limit: grace + STOP_ALLOWANCE,
            interrupted: &interrupt::requested,
        });
        drop(progress);
        outcome.map_err(|error| match error {
            SessionError::Interrupted => Failure::new(Exit::Interrupted, error.to_string()).into(),
            SessionError::Machine(error) => anyhow::Error::new(error),
        })
    }
}

/// Seconds between SIGTERM and SIGKILL in the image.
pub fn grace(image: &Inspection) -> Duration {
    Duration::from_secs(image.config.grace_seconds.into())
}
