//! Devices opened by an application: sharing, rejection, and failure in the middle of a run with a typed
//! error and a valid last checkpoint.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::application::Application;
use common::short_run;
use minift::Error;
use minift::device::Device;
use minift::train::{Cancel, Checkpoints, Ending, Event, Run, drive};
use pollster::block_on;

fn run(device: &Device) -> Run {
    short_run(device, 24)
}

#[test]
fn a_run_on_a_lost_device_fails_and_resumes_on_another_device() {
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
    // Later calls fail, too.
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
fn a_device_without_the_required_features_is_rejected() {
    let application = Application::new();
    let setup = application.open(wgpu::Features::empty(), wgpu::Limits::default());
    let error = Device::from_wgpu(setup).unwrap_err().to_string();
    let supported = application
        .adapter
        .limits()
        .max_compute_invocations_per_workgroup;
    for part in [
        "SUBGROUP",
        "Device::required_features",
        "Device::required_limits",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let limit = format!("max_compute_invocations_per_workgroup {supported} (it has 256)");
    assert!(error.contains(&limit), "{error}");
}

/// Runs share the device of an application, one after another and concurrently.
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

/// Time that a launch, which is never split, may exceed a slice by on a software adapter.
const LONGEST_LAUNCH: Duration = Duration::from_millis(10);

/// Frames of an application wait for at most one time slice of a training.
#[test]
fn time_slices_let_frames_through_and_do_not_change_results() {
    let setup = Application::new().open_as_required();
    let (device, queue) = (setup.device.clone(), setup.queue.clone());
    // The application submits empty frames and waits for each, during the whole run.
    let frames_while = |minift: &Device| {
        let minift = minift.clone();
        let training = std::thread::spawn(move || {
            let mut run = short_run(&minift, 128);
            while block_on(run.next()).unwrap().is_some() {}
            run.losses().to_vec()
        });
        let mut waits = Vec::new();
        while !training.is_finished() {
            let frame = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let drawn = queue.submit([frame.finish()]);
            let wait = wgpu::PollType::Wait {
                submission_index: Some(drawn),
                timeout: None,
            };
            let began = Instant::now();
            device.poll(wait).unwrap();
            waits.push(began.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        waits.sort_unstable();
        let wait = waits[waits.len() * 9 / 10];
        let (frames, longest) = (waits.len(), waits.last());
        println!(
            "{frames} frames, nine in ten waited for {wait:?} at most, the longest {longest:?}"
        );
        (training.join().unwrap(), wait)
    };
    let minift = Device::from_wgpu(setup).unwrap();
    assert_eq!(minift.time_slice(), None);
    // The first run compiles the kernels.
    frames_while(&minift);
    let (losses, wait) = frames_while(&minift);
    let slice = Duration::from_millis(2);
    let sliced = minift.clone().with_time_slice(slice);
    assert_eq!(sliced.time_slice(), Some(slice));
    let (losses_in_slices, wait_for_slices) = frames_while(&sliced);
    assert_eq!(losses_in_slices, losses);
    assert!(
        wait_for_slices <= slice + LONGEST_LAUNCH,
        "frames waited for {wait_for_slices:?}, without slices for {wait:?}"
    );
    // Dropping the device ends it.
    drop(sliced);
    let (_, wait_again) = frames_while(&minift);
    assert!(
        wait_again > wait_for_slices && wait > wait_for_slices,
        "frames waited for {wait:?} and {wait_again:?}, with slices for {wait_for_slices:?}"
    );
    assert_eq!(Device::cpu().with_time_slice(slice).time_slice(), None);
}

#[test]
fn an_uncaptured_device_error_ends_the_run() {
    let setup = Application::new().open_as_required();
    let device = setup.device.clone();
    let mut failing = run(&Device::from_wgpu(setup).unwrap());
    let too_large = device.limits().max_buffer_size + 4;
    let ended = loop {
        match block_on(failing.next()) {
            Ok(Some(Event::Step { step: 2, .. })) => {
                drop(device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: too_large,
                    usage: wgpu::BufferUsages::STORAGE,
                    mapped_at_creation: false,
                }));
            }
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    let Err(Error::Device { message }) = ended else {
        panic!("{ended:?}");
    };
    assert!(message.contains("size"), "{message}");
    assert_eq!(failing.steps_done(), 2);
}
