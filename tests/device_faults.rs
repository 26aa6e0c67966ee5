//! Devices that an application has opened: used if they can be, and given up with a typed error and a good
//! last checkpoint when they fail in the middle.
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

/// An application's frames wait for no more than a slice of a training's work.
#[test]
fn work_in_slices_lets_frames_in_between_and_changes_no_result() {
    let setup = Application::new().open_as_required();
    let (device, queue) = (setup.device.clone(), setup.queue.clone());
    // Whoever draws: frames without anything in them, each waited for, for as long as a run goes on.
    let frames_while = |minift: &Device| {
        let minift = minift.clone();
        let training = std::thread::spawn(move || {
            let mut run = short_run(&minift, 128);
            while block_on(run.next()).unwrap().is_some() {}
            run.losses().to_vec()
        });
        let (mut frames, mut longest) = (0, Duration::ZERO);
        while !training.is_finished() {
            let frame = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let drawn = queue.submit([frame.finish()]);
            let wait = wgpu::PollType::Wait {
                submission_index: Some(drawn),
                timeout: None,
            };
            let began = Instant::now();
            device.poll(wait).unwrap();
            longest = longest.max(began.elapsed());
            frames += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("{frames} frames, the longest waited for {longest:?}");
        (training.join().unwrap(), frames)
    };
    let minift = Device::from_wgpu(setup).unwrap();
    assert_eq!(minift.time_slice(), None);
    // Kernels are compiled in the first run.
    frames_while(&minift);
    let (losses, frames) = frames_while(&minift);
    let slice = Duration::from_millis(2);
    let sliced = minift.clone().with_time_slice(slice);
    assert_eq!(sliced.time_slice(), Some(slice));
    let (losses_in_slices, frames_between_slices) = frames_while(&sliced);
    assert_eq!(losses_in_slices, losses);
    assert!(
        frames_between_slices > 2 * frames,
        "{frames_between_slices} {frames}"
    );
    // It is over with the device that it was asked of.
    drop(sliced);
    let (_, frames_again) = frames_while(&minift);
    assert!(
        frames_between_slices > 2 * frames_again,
        "{frames_between_slices} {frames_again}"
    );
    assert_eq!(Device::cpu().with_time_slice(slice).time_slice(), None);
}

#[test]
fn what_the_device_reports_to_nobody_ends_the_run() {
    let setup = Application::new().open_as_required();
    let device = setup.device.clone();
    let mut refused = run(&Device::from_wgpu(setup).unwrap());
    let too_large = device.limits().max_buffer_size + 4;
    let ended = loop {
        match block_on(refused.next()) {
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
    assert_eq!(refused.steps_done(), 2);
}
