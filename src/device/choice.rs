//! Which device to use, as requested by the user.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The requested device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A hardware GPU if available, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The best GPU adapter: hardware before software.
    Gpu,
    /// The adapter with this index in [`adapters`](super::adapters), hardware or software.
    GpuIndex(usize),
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            "gpu:local-rank" => local_rank().map(Self::GpuIndex).ok_or_else(|| {
                let expected =
                    "a process started by mpirun or srun, which number those of a machine";
                Error::setting("device", text, expected)
            }),
            _ => text
                .strip_prefix("gpu:")
                .and_then(|index| index.parse().ok())
                .map(Self::GpuIndex)
                .ok_or_else(|| {
                    let expected =
                        "auto, cpu, gpu or gpu:N with N the index of an adapter or local-rank";
                    Error::setting("device", text, expected)
                }),
        }
    }
}

/// Returns the number of this process among those that a launcher started on this machine: OpenMPI, MPICH and Intel,
/// MVAPICH, Slurm.
fn local_rank() -> Option<usize> {
    let variables = [
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "MPI_LOCALRANKID",
        "MV2_COMM_WORLD_LOCAL_RANK",
        "SLURM_LOCALID",
    ];
    variables
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::GpuIndex(index) => write!(f, "gpu:{index}"),
        }
    }
}
