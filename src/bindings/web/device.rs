//! Devices for JavaScript.

use std::path::Path;

use serde::Serialize;
use tsify::{Ts, Tsify};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::{Thrown, not_as_declared, thrown};
use crate::device::{self, DeviceChoice, GpuKind, Limits};
use crate::doctor::{Check, examine};

/// A description of a device.
#[derive(Clone, Debug, Serialize, Tsify)]
#[tsify(missing_as_null)]
pub struct DeviceInfo {
    #[tsify(type = "\"gpu\" | \"cpu\"")]
    kind: &'static str,
    name: String,
    /// Whether the GPU is emulated on the CPU: correct, but slow.
    software: bool,
    /// Why this device was selected.
    reason: String,
    /// Limits of the GPU; null for the CPU.
    limits: Option<Limits>,
}

/// A device to compute on.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Device(pub(super) device::Device);

impl Device {
    /// Returns the library's device.
    pub fn inner(&self) -> &device::Device {
        &self.0
    }
}

#[wasm_bindgen]
impl Device {
    /// Opens a device; `auto` selects a hardware GPU if available, else the CPU.
    #[wasm_bindgen(js_name = open)]
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "\"auto\" | \"gpu\" | \"cpu\"")] choice: String,
    ) -> Thrown<Self> {
        let choice: DeviceChoice = choice.parse().map_err(thrown)?;
        device::Device::open(choice).await.map(Self).map_err(thrown)
    }

    /// Returns a description.
    pub fn info(&self) -> Thrown<Ts<DeviceInfo>> {
        let adapter = self.0.adapter();
        let info = DeviceInfo {
            kind: if adapter.is_some() { "gpu" } else { "cpu" },
            name: self.0.name(),
            software: adapter.is_some_and(|adapter| adapter.kind == GpuKind::Software),
            reason: self.0.reason().to_string(),
            limits: adapter.map(|adapter| adapter.limits),
        };
        info.into_ts().map_err(not_as_declared)
    }

    /// Compares every kernel with the CPU kernel and, if given, with the reference values in the
    /// bytes of a file. `onCheck` receives each result as it arrives.
    pub async fn examine(
        &self,
        vectors: Option<Vec<u8>>,
        #[wasm_bindgen(js_name = onCheck, unchecked_param_type = "(check: Check) => void")]
        on_check: JsValue,
    ) -> Thrown<Vec<Ts<Check>>> {
        let on_check: js_sys::Function = on_check.dyn_into()?;
        let vectors = vectors
            .as_deref()
            .map(|bytes| (Path::new("reference values"), bytes));
        let checks = examine(&self.0, vectors, |check| {
            if let Ok(check) = check.into_ts() {
                // Exceptions of the listener are ignored.
                let _ = on_check.call1(&JsValue::NULL, &check.js_value());
            }
        })
        .await
        .map_err(thrown)?;
        checks
            .iter()
            .map(|check| check.into_ts().map_err(not_as_declared))
            .collect()
    }
}
