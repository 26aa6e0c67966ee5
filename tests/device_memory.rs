//! Memory that runs out on the device: the run ends with a typed error and a good last checkpoint.
//!
//! Alone in its file, since the limit that makes memory run out is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::sync::Arc;

use burn::tensor::wgpu::WgpuSetup;
use minift::Error;
use minift::data::Samples;
use minift::demo;
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{Cancel, Checkpoints, Ending, Event, Run, RunData, TrainSettings, drive};
use pollster::block_on;

/// A device as an application has one.
fn opened() -> WgpuSetup {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
    let adapter = adapter.expect("the tests need a GPU adapter, a software one at least");
    let (device, queue) = block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: Device::required_features(&adapter),
        required_limits: Device::required_limits(&adapter, wgpu::Limits::default()),
        ..wgpu::DeviceDescriptor::default()
    }))
    .unwrap();
    let backend = adapter.get_info().backend;
    WgpuSetup {
        instance,
        adapter,
        device,
        queue,
        backend,
    }
}

fn run(device: &Device) -> Run {
    let model = CausalLm::embedded(device).unwrap();
    let samples = |texts: &[String]| {
        let read = Samples::tokenize(texts, model.tokenizer(), 24, "test");
        read.unwrap().samples
    };
    let (tickets, tales) = (demo::tickets().unwrap(), demo::tales().unwrap());
    let data = RunData {
        train: samples(&tickets[..16]),
        domain: samples(&tickets[500..502]),
        general: samples(&tales[..2]),
        ..RunData::default()
    };
    let settings = TrainSettings {
        epochs: 2,
        batch_size: 4,
        ..TrainSettings::default()
    };
    Run::new(model, Arc::new(data), settings).unwrap()
}

/// Lets the process have no more memory than it has and `more` bytes, or as much as it likes.
fn limit(more: Option<u64>) {
    let limit = match more {
        None => "unlimited".to_string(),
        Some(more) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
            let kibibytes = size.unwrap().trim().strip_suffix("kB").unwrap().trim();
            (kibibytes.parse::<u64>().unwrap() * 1024 + more).to_string()
        }
    };
    let process = std::process::id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &process, &format!("--as={limit}:")])
        .status();
    assert!(set.expect("util-linux has prlimit").success());
}

#[test]
fn memory_that_runs_out_ends_the_run_and_another_device_goes_on() {
    let setup = opened();
    let device = setup.device.clone();
    let size = device.limits().max_buffer_size.min(1 << 30);
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints {
        every: 3,
        ..Checkpoints::new(folder.path().join("checkpoint"))
    };
    let mut full = run(&Device::from_wgpu(setup).unwrap());
    let ended = block_on(drive(
        &mut full,
        Some(&checkpoints),
        &Cancel::default(),
        |event| {
            if matches!(event, Event::Step { step: 4, .. }) {
                // Less than the application now asks its device for.
                limit(Some(size / 2));
                drop(device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size,
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                }));
                limit(None);
            }
        },
    ));
    let Err(Error::Device { message }) = ended else {
        panic!("{ended:?}");
    };
    assert!(message.contains("its memory is full"), "{message}");
    drop(full);

    let mut other = run(&Device::cpu());
    checkpoints.restore(&mut other).unwrap();
    assert_eq!(other.steps_done(), 3);
    let ended = block_on(drive(&mut other, None, &Cancel::default(), |_| {}));
    assert!(matches!(ended, Ok(Ending::Finished(_))), "{ended:?}");
}
