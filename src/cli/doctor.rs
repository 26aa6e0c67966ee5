//! `minift doctor`: verifies a device; its output belongs into every bug report.

use super::Ended;
use super::args::DoctorArguments;
use super::output::Output;
use crate::device::{Device, DeviceChoice};
use crate::doctor::examine;
use crate::error::{Error, Result};
use crate::kernels::gemm::uses_amx;

pub(super) async fn run(
    arguments: &DoctorArguments,
    choice: DeviceChoice,
    output: &Output,
) -> Result<Ended> {
    let device = Device::open(choice).await?;
    output.text(format!(
        "minift {} on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    output.text(format!("device   {}: {}", device.name(), device.reason()));
    if let Some(adapter) = device.adapter() {
        let limits = adapter.limits;
        output.text(format!("driver   {}", adapter.driver));
        output.text(format!(
            "limits   buffer {} B, binding {} B, {} workgroups per dimension, {} invocations and {} B per workgroup",
            limits.max_buffer_bytes,
            limits.max_binding_bytes,
            limits.max_workgroups,
            limits.max_invocations,
            limits.workgroup_bytes
        ));
    } else if uses_amx() {
        output.text("matmul   by AMX");
    }
    output.text(format!(
        "\n{:<58} {:>10} {:>10}",
        "check", "error", "tolerance"
    ));
    let vectors = match &arguments.vectors {
        Some(path) => Some((
            path.as_path(),
            std::fs::read(path).map_err(Error::io("read", path))?,
        )),
        None => None,
    };
    let vectors = vectors
        .as_ref()
        .map(|(path, bytes)| (*path, bytes.as_slice()));
    let checks = examine(&device, vectors, |check| {
        output.object(check);
        output.text(format!(
            "{:<58} {:>10.1e} {:>10.1e}  {}",
            check.check,
            check.max_error,
            check.tolerance,
            if check.ok { "ok" } else { "FAILED" }
        ));
    })
    .await?;
    let failed = checks.iter().filter(|check| !check.ok).count();
    if failed == 0 {
        output.text(format!(
            "\nAll {} checks passed: this device computes correct results.",
            checks.len()
        ));
        return Ok(Ended::Success);
    }
    output.text(format!(
        "\n{failed} of {} checks failed: do not train on this device. Try another driver version or \
         --device cpu, and report this output.",
        checks.len()
    ));
    Ok(Ended::Failed)
}
