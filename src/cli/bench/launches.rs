//! The kernel launches of a device, as observed by its runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::cubecl::logging::{LaunchObservation, LaunchObserver, ProfileDuration, TimingRequest};
use serde::Serialize;

use super::shape::Shape;
use crate::kernels::launch::traffic;

/// Statistics of one kernel in a training step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct KernelStats {
    /// The model.
    pub shape: Shape,
    /// The name of the kernel.
    pub kernel: String,
    /// Launches per step.
    pub launches: usize,
    /// Time per step on the device, by its own clock.
    pub seconds: f64,
    /// Bytes that any implementation has to move: every input read once, every output written once. `None`
    /// for kernels that are not part of minift.
    pub bytes_needed: Option<u64>,
    /// Bytes that it loads and stores, partly served by caches.
    pub bytes_moved: Option<u64>,
}

/// Counts launches and, if `timed`, keeps the device's timestamps.
#[derive(Default)]
struct Launches {
    timed: bool,
    /// The launches of each kernel and its timestamps that have not been read yet.
    kernels: Mutex<HashMap<&'static str, (usize, Vec<ProfileDuration>)>>,
}

impl Launches {
    fn change(
        &self,
        kernel: &'static str,
        change: impl FnOnce(&mut (usize, Vec<ProfileDuration>)),
    ) {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        change(kernels.entry(kernel).or_default());
    }
}

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        self.change(kernel, |(launches, _)| *launches += 1);
    }

    fn timing(&self) -> TimingRequest {
        if self.timed {
            TimingRequest::Deferred
        } else {
            TimingRequest::None
        }
    }

    fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
        self.change(kernel, |(_, profiles)| profiles.push(profile));
    }
}

/// Counts the kernel launches of `work`.
pub(super) async fn count<T>(work: impl Future<Output = T>) -> (T, usize) {
    let launches = Arc::new(Launches::default());
    let observation = LaunchObservation::new(launches.clone());
    let result = work.await;
    drop(observation);
    let kernels = launches.kernels.lock();
    let kernels = kernels.unwrap_or_else(PoisonError::into_inner);
    (result, kernels.values().map(|(launches, _)| launches).sum())
}

/// Profiles the kernels launched by `work`, slowest first.
pub(super) async fn profile<T>(
    shape: Shape,
    work: impl Future<Output = T>,
) -> (T, Vec<KernelStats>) {
    let launches = Arc::new(Launches {
        timed: true,
        ..Launches::default()
    });
    let observation = LaunchObservation::new(launches.clone());
    traffic::begin();
    let result = work.await;
    let traffic = traffic::end();
    drop(observation);
    let kernels = {
        let mut kernels = launches
            .kernels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kernels)
    };
    let mut stats: Vec<KernelStats> = Vec::new();
    for (name, (launches, profiles)) in kernels {
        let mut seconds = 0.0;
        for profile in profiles {
            if let Some(ticks) = profile.resolve().await {
                seconds += ticks.duration().as_secs_f64();
            }
        }
        let kernel = short(name);
        match stats.iter_mut().find(|found| found.kernel == kernel) {
            Some(found) => {
                found.launches += launches;
                found.seconds += seconds;
            }
            None => {
                let traffic = traffic.get(kernel.as_str());
                stats.push(KernelStats {
                    shape,
                    kernel,
                    launches,
                    seconds,
                    bytes_needed: traffic.map(|traffic| traffic.needed as u64),
                    bytes_moved: traffic.map(|traffic| traffic.moved as u64),
                });
            }
        }
    }
    stats.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    (result, stats)
}

/// Strips modules and type parameters from the name of a kernel.
pub(super) fn short(name: &str) -> String {
    let outer = name.split('<').next().unwrap_or(name);
    let mut parts = outer.rsplit("::");
    match (parts.next(), parts.next()) {
        // cubecl puts each kernel into a module of the same name.
        (Some(last), Some(module)) if last.eq_ignore_ascii_case(&module.replace('_', "")) => {
            module.to_string()
        }
        (Some(last), _) => last.to_string(),
        (None, _) => name.to_string(),
    }
}
