//! Short convolutions compared with tensor operations, forward and backward, and with values computed by hand.
#![allow(clippy::unwrap_used)]

use crate::common;
use crate::decoder_ops;

use burn::tensor::{Tensor, TensorData};
use common::{devices, values};
use minift::device::Device;
use minift::internals::Impl;
use minift::internals::short_conv::{ShortConv, short_conv};
use proptest::prelude::*;

/// Compares values and gradients with those of tensor operations, on both devices. `ends` are those of the
/// segments of each sample; empty for samples that are not packed.
fn check([batch, length, channels]: [usize; 3], taps: usize, silu: bool, ends: &[usize]) {
    let start = |position: usize| {
        let ends = ends.iter().filter(|&&end| end <= position);
        ends.max().map_or(0, |&end| end as u32)
    };
    let starts = || (0..batch * length).map(|row| start(row % length));
    let conv = ShortConv {
        silu,
        segment_starts: (!ends.is_empty()).then(|| starts().collect()),
    };
    let name = format!("{batch} × {length} × {channels}, {taps} taps, {silu}, {ends:?}");
    decoder_ops::check(
        &name,
        &[
            [batch, length, channels],
            [1, channels, taps],
            [1, 1, channels],
        ],
        |implementation, _, inputs| {
            let weight = inputs[1].clone().reshape([channels, taps]) * 3.0;
            let bias = inputs[2].clone().reshape([1, channels]);
            short_conv(
                implementation,
                inputs[0].clone(),
                weight,
                Some(bias),
                conv.clone(),
            )
        },
    );
}

#[test]
fn many_rows_and_channels() {
    // Several partial sums of the weights' gradient, and several workgroups.
    check([3, 70, 33], 4, false, &[]);
    check([3, 70, 33], 3, true, &[1, 5, 64, 69]);
    check([1, 2, 700], 4, true, &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_shape(
        batch in 1_usize..4,
        length in 1_usize..12,
        channels in 1_usize..20,
        taps in 1_usize..6,
        silu: bool,
        ends in prop::collection::vec(1_usize..12, 0..4),
    ) {
        check([batch, length, channels], taps, silu, &ends);
    }

    /// Packed texts have the values that each has alone.
    #[test]
    fn segments_do_not_depend_on_each_other(
        lengths in prop::collection::vec(1_usize..6, 1..5),
        taps in 1_usize..5,
        silu: bool,
    ) {
        const CHANNELS: usize = 3;
        let length: usize = lengths.iter().sum();
        let numbers = |count: usize, step: usize| -> Vec<f32> {
            (0..count).map(|i| (i * step % 31) as f32 / 15.0 - 1.0).collect()
        };
        let starts = lengths.iter().scan(0, |next, &length| {
            let start = *next;
            *next += length;
            Some((start, length))
        });
        let starts: Vec<(usize, usize)> = starts.collect();
        let of_rows = starts.iter().flat_map(|&(start, length)| vec![start as u32; length]);
        let x = numbers(length * CHANNELS, 7);
        for device in devices() {
            let convolved = |x: &[f32], segment_starts| {
                let x = TensorData::new(x.to_vec(), [1, x.len() / CHANNELS, CHANNELS]);
                let weight = TensorData::new(numbers(CHANNELS * taps, 11), [CHANNELS, taps]);
                values(short_conv(
                    Impl::Fused,
                    Tensor::from_data(x, device.tensors()),
                    Tensor::from_data(weight, device.tensors()),
                    None,
                    ShortConv { silu, segment_starts },
                ))
            };
            let packed = convolved(&x, Some(of_rows.clone().collect()));
            let alone = starts.iter().flat_map(|&(start, length)| {
                convolved(&x[start * CHANNELS..(start + length) * CHANNELS], None)
            });
            prop_assert_eq!(packed, alone.collect::<Vec<f32>>());
        }
    }
}

#[test]
fn the_last_tap_is_that_of_the_position_itself() {
    for device in devices() {
        for implementation in [Impl::Fused, Impl::Composed] {
            let on_device = |device: &Device| {
                let device = device.tensors();
                let x = Tensor::<3>::from_data([[[1.0, 1.0], [2.0, 0.0], [3.0, 0.0]]], device);
                let weight = Tensor::<2>::from_data([[1.0, 10.0, 100.0], [2.0, 3.0, 4.0]], device);
                let bias = Tensor::<2>::from_data([[0.5, 0.0]], device);
                short_conv(implementation, x, weight, Some(bias), ShortConv::default())
            };
            let expected = [100.5, 4.0, 210.5, 3.0, 321.5, 2.0];
            assert_eq!(values(on_device(&device)), expected);
        }
    }
}
