//! `minift devices`: lists the devices of this machine.

use serde_json::json;

use super::Ended;
use super::output::{Output, thousands};
use crate::device::{Device, DeviceChoice, adapters};
use crate::error::Result;

pub(super) async fn run(output: &Output) -> Result<Ended> {
    let mebibytes = |bytes: u64| thousands((bytes >> 20) as f64);
    let chosen = Device::open(DeviceChoice::Auto).await?;
    for adapter in adapters().await {
        output.object(&adapter);
        output.text(format!(
            "gpu:{}  {} ({}, {})\n       driver {}\n       buffers up to {} MiB, bindings up to {} MiB, \
             {} invocations and {} KiB per workgroup",
            adapter.index,
            adapter.name,
            adapter.backend,
            adapter.kind,
            if adapter.driver.is_empty() { "unknown" } else { &adapter.driver },
            mebibytes(adapter.limits.max_buffer_bytes),
            mebibytes(adapter.limits.max_binding_bytes),
            adapter.limits.max_invocations,
            adapter.limits.workgroup_bytes >> 10,
        ));
    }
    let cpu = Device::cpu();
    output.object(&json!({ "name": cpu.name(), "kind": "cpu" }));
    output.text(format!("cpu    {}", cpu.name()));
    output.text(format!(
        "\nauto selects {}: {}",
        chosen.name(),
        chosen.reason()
    ));
    Ok(Ended::Success)
}
