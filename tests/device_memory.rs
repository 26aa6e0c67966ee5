//! Out of memory on the device: the run ends with a typed error and a valid last checkpoint.
//!
//! In a file of its own, since the memory limit applies to the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::process::Command;

use common::application::Application;
use common::short_run;
use minift::Error;
use minift::device::Device;
use minift::train::{Cancel, Checkpoints, Ending, Event, drive};
use pollster::block_on;

/// Limits the address space of the process to `more` bytes beyond its current size; `None` lifts the limit.
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
fn out_of_memory_ends_the_run_and_another_device_resumes() {
    let setup = Application::new().open_as_required();
    let device = setup.device.clone();
    let size = device.limits().max_buffer_size.min(1 << 30);
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints {
        every: 3,
        ..Checkpoints::new(folder.path().join("checkpoint"))
    };
    let mut full = short_run(&Device::from_wgpu(setup).unwrap(), 24);
    let ended = block_on(drive(
        &mut full,
        Some(&checkpoints),
        &Cancel::default(),
        |event| {
            if matches!(event, Event::Step { step: 4, .. }) {
                // Less than the following allocation.
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
    assert!(message.contains("out of memory"), "{message}");
    drop(full);

    let mut other = short_run(&Device::cpu(), 24);
    checkpoints.restore(&mut other).unwrap();
    assert_eq!(other.steps_done(), 3);
    let ended = block_on(drive(&mut other, None, &Cancel::default(), |_| {}));
    assert!(matches!(ended, Ok(Ending::Finished(_))), "{ended:?}");
}
