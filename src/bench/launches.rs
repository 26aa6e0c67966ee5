//! The kernels that a device is given to run, as its runtime sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::cubecl::logging::{LaunchObservation, LaunchObserver, ProfileDuration, TimingRequest};
use serde::Serialize;

use super::shape::Shape;
use crate::shader::traffic;

/// A kernel's share of a training step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelFigures {
    /// The model whose step it was.
    pub shape: Shape,
    /// The kernel's name.
    pub kernel: String,
    /// Launches in a step.
    pub launches: usize,
    /// Time on the device in a step, by its own clock.
    pub seconds: f64,
    /// Bytes that any kernel has to move for what it does: each element in once, out once. None for
    /// kernels that are not minift's own.
    pub bytes_needed: Option<u64>,
    /// Bytes that it asks memory for, of which caches may have some.
    pub bytes_moved: Option<u64>,
}

/// Counts launches, and keeps the device's own measurements of them where it is asked to.
#[derive(Default)]
struct Launches {
    timed: bool,
    /// Of each kernel, how often it was launched and the measurements that have not been read yet.
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

/// Launches that `work` leads to.
pub(super) async fn count<T>(work: impl Future<Output = T>) -> (T, usize) {
    let launches = Arc::new(Launches::default());
    let observation = LaunchObservation::new(launches.clone());
    let result = work.await;
    drop(observation);
    let kernels = launches.kernels.lock();
    let kernels = kernels.unwrap_or_else(PoisonError::into_inner);
    (result, kernels.values().map(|(launches, _)| launches).sum())
}

/// The kernels that `work` launches with their time on the device, what takes longest first.
pub(super) async fn profile<T>(
    shape: Shape,
    work: impl Future<Output = T>,
) -> (T, Vec<KernelFigures>) {
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
    let mut figures: Vec<KernelFigures> = Vec::new();
    for (name, (launches, profiles)) in kernels {
        let mut seconds = 0.0;
        for profile in profiles {
            if let Some(ticks) = profile.resolve().await {
                seconds += ticks.duration().as_secs_f64();
            }
        }
        let kernel = short(name);
        match figures.iter_mut().find(|found| found.kernel == kernel) {
            Some(found) => {
                found.launches += launches;
                found.seconds += seconds;
            }
            None => {
                let traffic = traffic.get(kernel.as_str());
                figures.push(KernelFigures {
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
    figures.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    (result, figures)
}

/// A kernel's name without the modules and types that it was made for.
fn short(name: &str) -> String {
    let outer = name.split('<').next().unwrap_or(name);
    let mut parts = outer.rsplit("::");
    match (parts.next(), parts.next()) {
        // cubecl calls each kernel's type by the same name, in a module of the kernel's own.
        (Some(last), Some(module)) if last.eq_ignore_ascii_case(&module.replace('_', "")) => {
            module.to_string()
        }
        (Some(last), _) => last.to_string(),
        (None, _) => name.to_string(),
    }
}
