//! Asynchronous readback of tensors: requested at once and awaited later, so that the GPU stays busy.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::{fmt, future};

use burn::backend::flex::FlexTensor;
#[cfg(feature = "fusion")]
use burn::backend::fusion::{Fusion, FusionBackend};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::backend::{Autodiff, Backend, Dispatch, Flex, autodiff, backend_extension};
#[cfg(not(target_arch = "wasm32"))]
use burn::cubecl::future::block_on;
use burn::cubecl::server::CopyDescriptor;
use burn::tensor::{DType, Tensor};

#[cfg(not(target_arch = "wasm32"))]
use super::slices;
use crate::error::{Error, Result};

/// A pending readback of float32 values. It returns the values at the time of the request, regardless of
/// work submitted later.
pub(crate) struct Readback(Option<Values>);

type Values = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>;

impl Readback {
    /// Requests the values of a tensor.
    pub(crate) fn begin<const D: usize>(tensor: Tensor<D>) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        slices::finish(&tensor.device());
        Dispatch::begin_readback(tensor.into_dispatch())
    }

    /// Polls `values` once, which submits the request.
    fn new(values: impl Future<Output = Result<Vec<f32>>> + Send + 'static) -> Self {
        let mut values: Values = Box::pin(values);
        let polled = values
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        Self(Some(match polled {
            Poll::Ready(values) => Box::pin(future::ready(values)),
            Poll::Pending => values,
        }))
    }
}

impl Future for Readback {
    type Output = Result<Vec<f32>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let values = self.0.as_mut().expect("not polled after completion");
        let polled = values.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Readback {
    /// Waits for the values: the runtime lends a staging buffer to each readback, and if one ends before
    /// the values have arrived, the next readback with the same buffer fails.
    fn drop(&mut self) {
        let Some(values) = self.0.take() else {
            return;
        };
        #[cfg(not(target_arch = "wasm32"))]
        if !std::thread::panicking() {
            let _ = block_on(values);
            return;
        }
        // Neither a browser nor a panicking thread can wait: leak the staging buffer instead.
        std::mem::forget(values);
    }
}

/// The readback of a backend.
#[backend_extension(Cube, Flex, Autodiff)]
pub(crate) trait ReadbackBackend: Backend {
    /// Requests the values of a float32 tensor.
    fn begin_readback(tensor: FloatTensor<Self>) -> Readback;
}

impl ReadbackBackend for CubeBackend {
    /// burn's own readback submits the request only when awaited.
    fn begin_readback(tensor: CubeTensor) -> Readback {
        assert_eq!(
            tensor.dtype,
            DType::F32,
            "only float32 tensors are read back"
        );
        let tensor = into_contiguous(tensor);
        let whole = CopyDescriptor::new(
            tensor.handle.clone().binding(),
            tensor.meta.shape().clone(),
            tensor.meta.strides().clone(),
            size_of::<f32>(),
        );
        Readback::new(async move {
            let bytes = tensor.client.read_one_tensor_async(whole).await;
            let bytes = bytes.map_err(|error| fault(&error))?;
            Ok(bytemuck::pod_collect_to_vec(&bytes))
        })
    }
}

impl ReadbackBackend for Flex {
    fn begin_readback(tensor: FlexTensor) -> Readback {
        Readback::new(async {
            let data = Self::float_into_data(tensor).await;
            let values = data.map_err(|error| fault(&error))?.try_to_vec();
            values.map_err(|error| fault(&error))
        })
    }
}

#[cfg(feature = "fusion")]
impl<B: FusionBackend + ReadbackBackend> ReadbackBackend for Fusion<B> {
    fn begin_readback(tensor: FloatTensor<Self>) -> Readback {
        let client = tensor.client.clone();
        B::begin_readback(client.resolve_tensor_float::<B>(tensor))
    }
}

impl<B: ReadbackBackend, C: autodiff::checkpoint::strategy::CheckpointStrategy> ReadbackBackend
    for Autodiff<B, C>
{
    fn begin_readback(tensor: FloatTensor<Self>) -> Readback {
        B::begin_readback(tensor.into_primitive())
    }
}

fn fault(error: &dyn fmt::Display) -> Error {
    let error = error.to_string();
    // The runtime appends a backtrace, or a note that there is none.
    let reason = error.split("\nBacktrace:").next().unwrap_or_default();
    Error::Device {
        message: format!("the device failed while reading back results: {reason}"),
    }
}
