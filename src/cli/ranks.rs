//! `minift train` on several processes: started by mpirun, with the feature `mpi`.

use super::output::Output;
use super::train::TrainArguments;
use super::{Ended, cancel, train};
use crate::device::DeviceChoice;
#[cfg(feature = "mpi")]
pub(super) use crate::device::ranks::Job;
use crate::device::ranks::Ranks;
use crate::error::Result;

/// There is none without MPI.
#[cfg(not(feature = "mpi"))]
pub(super) enum Job {}

/// Joins the other processes if mpirun has started this one. The ranks of a machine divide its threads.
#[cfg(not(feature = "mpi"))]
pub(super) fn join() -> Result<Option<Job>> {
    use crate::error::Error;

    let of_launcher = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    let mut sizes = of_launcher
        .iter()
        .filter_map(|name| std::env::var(name).ok());
    if let Some(size) = sizes.find(|size| size != "1") {
        let expected = "1: this program was built without the feature mpi";
        return Err(Error::setting("ranks", size, expected));
    }
    Ok(None)
}

/// Joins the other processes if mpirun has started this one. The ranks of a machine divide its threads.
#[cfg(feature = "mpi")]
pub(super) fn join() -> Result<Option<Job>> {
    let job = Job::join()?;
    if let Some(job) = &job {
        divide_threads(job.sharers);
    }
    Ok(job)
}

#[cfg(not(feature = "mpi"))]
pub(super) async fn run(
    arguments: &TrainArguments,
    device: Option<DeviceChoice>,
    _: Option<Job>,
    output: &Output,
) -> Result<Ended> {
    train::run(arguments, device, Ranks::default(), output, &cancel(true)).await
}

#[cfg(feature = "mpi")]
pub(super) async fn run(
    arguments: &TrainArguments,
    device: Option<DeviceChoice>,
    job: Option<Job>,
    output: &Output,
) -> Result<Ended> {
    use super::flags;
    use super::output::counted;
    use crate::error::Error;

    let Some(job) = job else {
        return train::run(arguments, device, Ranks::default(), output, &cancel(true)).await;
    };
    let ranks = job.ranks();
    let speaks = ranks.rank() == 0;
    let silent = Output::silent();
    let output = if speaks { output } else { &silent };
    if !ranks.is_single() {
        let hosts = counted(job.host_count(), "host");
        let threads = counted(rayon::current_num_threads(), "CPU thread");
        output.text(format!(
            "Ranks    {} on {hosts}, {threads} each",
            ranks.count()
        ));
    }
    let ended = train::run(arguments, device, ranks, output, &cancel(speaks)).await;
    let ended = ended.and_then(|ended| job.finish().map(|()| ended));
    if let Err(error) = &ended {
        if matches!(error, Error::NonFiniteLoss { .. }) && !speaks {
            // Every rank has it, and rank 0 is still writing a checkpoint.
            let _ = job.finish();
        }
        let message = flags::message(error, "train");
        let tells = job.fail(&message);
        if tells && speaks {
            output.error(&message);
        } else if tells {
            // Rank 0 is lost.
            Output::new(false).error(&message);
        }
        job.abort(tells);
    }
    ended
}

/// Divides the threads of the CPU among the ranks that share its cores.
#[cfg(feature = "mpi")]
fn divide_threads(sharers: usize) {
    let given = std::env::var_os("RAYON_NUM_THREADS").is_some();
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if given {
        0
    } else {
        (available / sharers).max(1)
    };
    // An error means that the pool exists, which nothing has used before.
    let built = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global();
    debug_assert!(built.is_ok());
}
