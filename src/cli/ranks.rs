//! `minift train` on several processes: started by mpirun, with the feature `mpi`.

use super::output::Output;
use super::train::TrainArguments;
use super::{Ended, cancel, train};
use crate::device::DeviceChoice;
use crate::device::ranks::Ranks;
use crate::error::Result;

#[cfg(not(feature = "mpi"))]
pub(super) async fn run(
    arguments: &TrainArguments,
    device: Option<DeviceChoice>,
    output: &Output,
) -> Result<Ended> {
    use crate::error::Error;

    let of_launcher = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    let mut sizes = of_launcher
        .iter()
        .filter_map(|name| std::env::var(name).ok());
    if let Some(size) = sizes.find(|size| size != "1") {
        let expected = "1: this program was built without the feature mpi";
        return Err(Error::setting("ranks", size, expected));
    }
    train::run(arguments, device, Ranks::default(), output, &cancel(true)).await
}

#[cfg(feature = "mpi")]
pub(super) async fn run(
    arguments: &TrainArguments,
    device: Option<DeviceChoice>,
    output: &Output,
) -> Result<Ended> {
    use super::flags;
    use super::output::counted;
    use crate::device::ranks::Job;
    use crate::error::Error;

    let Some(job) = Job::join()? else {
        return train::run(arguments, device, Ranks::default(), output, &cancel(true)).await;
    };
    let ranks = job.ranks();
    let threads = divide_threads(job.sharers);
    let speaks = ranks.rank() == 0;
    let silent = Output::silent();
    let output = if speaks { output } else { &silent };
    if !ranks.is_single() {
        let hosts = counted(job.host_count(), "host");
        let threads = counted(threads, "CPU thread");
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

/// Divides the threads of the CPU among the ranks that share its cores. Returns their number per rank.
#[cfg(feature = "mpi")]
fn divide_threads(sharers: usize) -> usize {
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
    rayon::current_num_threads()
}
