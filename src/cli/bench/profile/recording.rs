//! What the profiled steps did: operations and phases of the host, and kernels of the device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::cubecl::logging::{
    LaunchObservation, LaunchObserver, ProfileDuration, TimingMethod, TimingRequest,
};

use super::super::launches::short;
use super::super::step::run;
use super::Clock;
use crate::error::Result;
use crate::kernels::profile::{self, Entry, Totals, Work};
use crate::model::Batch;
use crate::train::Trainer;

/// A recording of steps.
#[derive(Default)]
pub(super) struct Recording {
    host: HostTimes,
    device: Option<DeviceTimes>,
}

/// The time of the host, in steps without timestamps.
#[derive(Default)]
struct HostTimes {
    steps: u32,
    seconds: f64,
    entries: HashMap<Entry, Totals>,
}

/// The kernels of a device.
#[derive(Default)]
struct DeviceTimes {
    steps: u32,
    /// Launches and their time. Kernels outside of minift's operations are distinguished by name.
    kernels: HashMap<Launch, (usize, f64)>,
    /// Whether the device has no timestamps.
    by_host: bool,
}

/// A launch within an operation, or of a kernel of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Launch {
    pub entry: Entry,
    pub kernel: Option<String>,
}

/// The time of a launch.
enum Time {
    Unread(ProfileDuration),
    Read(Duration, TimingMethod),
}

/// Keeps the timestamps of launches, with the spans and names of their kernels.
#[derive(Default)]
struct Observer(Mutex<Vec<(Entry, &'static str, Time)>>);

impl Observer {
    fn push(&self, kernel: &'static str, time: Time) {
        let mut launches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        launches.push((profile::current(), kernel, time));
    }
}

impl LaunchObserver for Observer {
    fn launched(&self, _: &'static str) {}

    fn timing(&self) -> TimingRequest {
        TimingRequest::Deferred
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        self.push(kernel, Time::Unread(profile));
    }

    fn timed(&self, kernel: &'static str, duration: Duration, method: TimingMethod) {
        self.push(kernel, Time::Read(duration, method));
    }
}

impl Recording {
    /// Takes steps and records the host. Returns the time per step.
    pub(super) async fn host(
        &mut self,
        trainer: &mut Trainer,
        batch: &Batch,
        steps: u32,
    ) -> Result<Duration> {
        let began = Instant::now();
        profile::begin();
        let taken = run(trainer, batch, steps).await;
        let entries = profile::end();
        self.host.seconds += began.elapsed().as_secs_f64();
        self.host.steps += steps;
        for (entry, totals) in entries {
            *self.host.entries.entry(entry).or_default() += totals;
        }
        taken
    }

    /// Takes a step with timestamps around every kernel.
    pub(super) async fn device(&mut self, trainer: &mut Trainer, batch: &Batch) -> Result<()> {
        let observer = Arc::new(Observer::default());
        let observation = LaunchObservation::new(observer.clone());
        profile::begin();
        let taken = run(trainer, batch, 1).await;
        profile::end();
        drop(observation);
        taken?;
        let launches = {
            let mut launches = observer.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *launches)
        };
        let times = self.device.get_or_insert_default();
        times.steps += 1;
        for (entry, kernel, time) in launches {
            let (duration, method) = match time {
                Time::Read(duration, method) => (duration, method),
                Time::Unread(profile) => {
                    let method = profile.timing_method();
                    let ticks = profile.resolve().await;
                    let duration = ticks.map_or(Duration::ZERO, |ticks| ticks.duration());
                    (duration, method)
                }
            };
            times.by_host |= method == TimingMethod::System;
            let kernel = entry.operation.is_none().then(|| short(kernel));
            let (count, seconds) = times.kernels.entry(Launch { entry, kernel }).or_default();
            *count += 1;
            *seconds += duration.as_secs_f64();
        }
        Ok(())
    }

    /// Returns the time of a step, and what measured its operations.
    pub(super) fn seconds_and_clock(&self) -> (f64, Clock) {
        let of_step = self.host.seconds / f64::from(self.host.steps);
        match &self.device {
            None => (of_step, Clock::Host),
            Some(device) => {
                let busy: f64 = self.device_entries().map(|(_, _, seconds)| seconds).sum();
                let clock = match device.by_host {
                    true => Clock::HostPerKernel,
                    false => Clock::Device,
                };
                (of_step.max(busy), clock)
            }
        }
    }

    /// Returns whether a device computed.
    pub(super) fn is_of_device(&self) -> bool {
        self.device.is_some()
    }

    /// Returns calls, seconds and work per step of every entry of the host.
    pub(super) fn host_entries(&self) -> impl Iterator<Item = (Entry, f64, f64, Work)> {
        let per_step = 1.0 / f64::from(self.host.steps);
        self.host.entries.iter().map(move |(entry, totals)| {
            let work = Work {
                flops: totals.work.flops * per_step,
                bytes: totals.work.bytes * per_step,
            };
            let calls = totals.calls as f64 * per_step;
            (*entry, calls, totals.seconds * per_step, work)
        })
    }

    /// Returns launches and seconds per step of every kernel of the device.
    pub(super) fn device_entries(&self) -> impl Iterator<Item = (&Launch, f64, f64)> {
        self.device.iter().flat_map(|times| {
            let per_step = 1.0 / f64::from(times.steps);
            times.kernels.iter().map(move |(launch, (count, seconds))| {
                (launch, *count as f64 * per_step, seconds * per_step)
            })
        })
    }
}
