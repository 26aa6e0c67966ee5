//! Devices that an application has opened: used if they can be, and given up with a typed error and a good
//! last checkpoint when they fail in the middle.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::tensor::wgpu::WgpuSetup;
use minift::Error;
use minift::data::Samples;
use minift::demo;
use minift::device::Device;
use minift::model::CausalLm;
use minift::train::{Cancel, Checkpoints, Ending, Event, Run, RunData, TrainSettings, drive};
use pollster::block_on;

/// What an application has: an adapter, and a device that is opened for it.
struct Application {
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
}

impl Application {
    fn new() -> Self {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let adapter = block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
        let adapter = adapter.expect("the tests need a GPU adapter, a software one at least");
        Self { instance, adapter }
    }

    fn open(&self, required_features: wgpu::Features, required_limits: wgpu::Limits) -> WgpuSetup {
        let descriptor = wgpu::DeviceDescriptor {
            required_features,
            required_limits,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = block_on(self.adapter.request_device(&descriptor)).unwrap();
        WgpuSetup {
            instance: self.instance.clone(),
            adapter: self.adapter.clone(),
            device,
            queue,
            backend: self.adapter.get_info().backend,
        }
    }

    fn open_as_required(&self) -> WgpuSetup {
        let limits = Device::required_limits(&self.adapter, wgpu::Limits::default());
        self.open(Device::required_features(&self.adapter), limits)
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

#[test]
fn a_device_that_is_lost_ends_the_run_and_another_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints {
        every: 3,
        ..Checkpoints::new(folder.path().join("checkpoint"))
    };
    let setup = Application::new().open_as_required();
    let handle = setup.device.clone();
    let mut lost = run(&Device::from_wgpu(setup).unwrap());
    let ended = block_on(drive(
        &mut lost,
        Some(&checkpoints),
        &Cancel::default(),
        |event| {
            if matches!(event, Event::Step { step: 4, .. }) {
                handle.destroy();
            }
        },
    ));
    assert!(matches!(ended, Err(Error::Device { .. })), "{ended:?}");
    assert!(!ended.unwrap_err().to_string().contains("Backtrace"));
    assert_eq!(lost.steps_done(), 4);
    // Whatever else is asked of it is an error, too.
    assert!(matches!(block_on(lost.next()), Err(Error::Device { .. })));
    assert!(block_on(lost.checkpoint()).is_err());
    drop(lost);

    let cpu = Device::cpu();
    let mut other = run(&cpu);
    checkpoints.restore(&mut other).unwrap();
    assert_eq!(other.steps_done(), 3);
    let ended = block_on(drive(&mut other, None, &Cancel::default(), |_| {}));
    let Ok(Ending::Finished(outcome)) = ended else {
        panic!("{ended:?}");
    };
    let mut undisturbed = run(&cpu);
    while block_on(undisturbed.next()).unwrap().is_some() {}
    let expected = undisturbed.outcome().unwrap();
    let (found, expected) = (outcome.after.domain, expected.after.domain);
    assert!((found / expected - 1.0).abs() < 1e-3, "{found} {expected}");
}

#[test]
fn a_device_that_was_opened_with_less_is_refused() {
    let application = Application::new();
    let setup = application.open(wgpu::Features::empty(), wgpu::Limits::default());
    let refused = Device::from_wgpu(setup).unwrap_err().to_string();
    let most = application
        .adapter
        .limits()
        .max_compute_invocations_per_workgroup;
    for part in [
        "SUBGROUP",
        "Device::required_features",
        "Device::required_limits",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    let limit = format!("max_compute_invocations_per_workgroup {most} (it has 256)");
    assert!(refused.contains(&limit), "{refused}");
}

/// The device of an application is used by one run after another, and by two at once.
#[test]
fn runs_share_the_device_of_an_application() {
    let device = Device::from_wgpu(Application::new().open_as_required()).unwrap();
    let losses = || {
        let device = device.clone();
        std::thread::spawn(move || {
            let mut run = run(&device);
            while block_on(run.next()).unwrap().is_some() {}
            run.losses().to_vec()
        })
    };
    let alone = losses().join().unwrap();
    assert!(alone.len() == 8 && alone[7] < alone[0], "{alone:?}");
    let both = [losses(), losses()];
    for other in both {
        assert_eq!(other.join().unwrap(), alone);
    }
}
