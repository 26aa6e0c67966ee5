//! Where the time of a training step goes: the operations and phases that a thread enters, recorded on request.
//!
//! Kernels open a [`Span`] of their operation, the training step one of each phase. The time of a span is that
//! between its beginning and its end, without that of the spans within it; the rest of a phase is burn's own
//! operations and autodiff. GPUs compute later: there, [`current`] returns the span that a launch belongs to.
//!
//! While nothing is recorded, a span is one read of a thread-local variable.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use web_time::Instant;

use crate::quantization::WeightType;

/// An operation with kernels of minift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Products of matrices.
    Product(Product),
    /// Causal attention and its gradients.
    Attention,
    /// RMS norms and their gradients.
    Norm,
    /// Rotary embeddings.
    Rotary,
    /// Gated linear units and their gradients.
    Gate,
    /// Short convolutions and their gradients.
    ShortConv,
    /// Gated delta rules and their gradients.
    DeltaRule,
    /// Soft caps of logits and their gradients.
    SoftCap,
    /// The loss of logits, and its gradient.
    Loss,
    /// Gradient norm and AdamW.
    Optimizer,
    /// Packed values unpacked, and the other way round.
    Conversion,
}

/// The sizes of `batches` products of matrices \[rows, inner\] and \[inner, columns\].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Product {
    pub batches: usize,
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
    /// The type of the second matrix.
    pub second: WeightType,
    /// Whether the product is added to a matrix.
    pub adds: bool,
}

/// A part of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The teacher's hidden states.
    Teacher,
    /// The student's forward pass, up to its hidden states.
    Forward,
    /// Logits, loss, and their gradients.
    Loss,
    /// The backward pass.
    Backward,
    /// Gradient norm and update.
    Optimizer,
    /// Reading the statistics of the step.
    Readback,
}

/// What a recording distinguishes: phases, and the operations in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// `None` outside of all phases.
    pub phase: Option<Phase>,
    /// `None` for the rest of a phase.
    pub operation: Option<Operation>,
}

impl Entry {
    fn with(self, operation: Operation) -> Self {
        Self {
            operation: Some(operation),
            ..self
        }
    }
}

/// What an operation has to do, whatever the implementation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    /// Floating-point operations; 0 for operations that memory limits.
    pub flops: f64,
    /// Bytes: every input read once, every output written once.
    pub bytes: f64,
}

impl Work {
    /// The work of an operation that reads and writes this number of float32 values.
    pub(crate) fn moving(values: usize) -> Self {
        Self {
            flops: 0.0,
            bytes: (values * size_of::<f32>()) as f64,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.flops += other.flops;
        self.bytes += other.bytes;
    }
}

impl Product {
    fn work(self) -> Work {
        let values =
            self.rows * self.inner + self.rows * self.columns * (1 + usize::from(self.adds));
        let second =
            (self.inner * self.columns / self.second.block() * self.second.block_bytes()) as f64;
        let batches = self.batches as f64;
        let multiplications = self.rows as f64 * self.inner as f64 * self.columns as f64;
        Work {
            flops: 2.0 * batches * multiplications,
            bytes: batches * (Work::moving(values).bytes + second),
        }
    }
}

impl Operation {
    /// Returns the operation of a kernel by its path in `shaders/`; `None` for products, whose sizes are known
    /// where they are launched.
    fn of_kernel(path: &str) -> Option<Self> {
        match path.split('/').next()? {
            "adamw" => Some(Self::Optimizer),
            "attention" => Some(Self::Attention),
            "delta_rule" => Some(Self::DeltaRule),
            "distillation" => Some(Self::Loss),
            "half" | "packed" => Some(Self::Conversion),
            "rms_norm" => Some(Self::Norm),
            "rotary" => Some(Self::Rotary),
            "short_conv" => Some(Self::ShortConv),
            "silu_gate" => Some(Self::Gate),
            "soft_cap" => Some(Self::SoftCap),
            _ => None,
        }
    }
}

/// The sums of an [`Entry`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    /// Number of spans.
    pub calls: usize,
    /// Time of the thread in them, without spans within them.
    pub seconds: f64,
    /// Their work.
    pub work: Work,
}

#[cfg(feature = "cli")]
impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.seconds += other.seconds;
        self.work += other.work;
    }
}

thread_local! {
    /// Whether this thread records.
    static RECORDS: Cell<bool> = const { Cell::new(false) };
    static RECORDER: RefCell<Recorder> = RefCell::default();
}

#[derive(Default)]
struct Recorder {
    open: Vec<Open>,
    totals: HashMap<Entry, Totals>,
}

/// A span that has not ended.
struct Open {
    entry: Entry,
    work: Work,
    began: Instant,
    /// Time of the spans within it.
    within: Duration,
}

impl Recorder {
    fn open(&mut self, entry: Entry, work: Work) {
        self.open.push(Open {
            entry,
            work,
            began: Instant::now(),
            within: Duration::ZERO,
        });
    }

    fn close(&mut self) {
        let Some(span) = self.open.pop() else {
            return;
        };
        let took = span.began.elapsed();
        if let Some(around) = self.open.last_mut() {
            around.within += took;
        }
        let totals = self.totals.entry(span.entry).or_default();
        totals.calls += 1;
        totals.seconds += took.saturating_sub(span.within).as_secs_f64();
        totals.work += span.work;
    }

    fn current(&self) -> Entry {
        self.open
            .last()
            .map_or_else(Entry::default, |open| open.entry)
    }
}

/// An open span, which ends when it is dropped.
#[must_use = "a span ends when it is dropped"]
pub(crate) struct Span(bool);

impl Span {
    /// Begins a span with the entry and work that `begin` returns for the entry around it, if the thread records.
    fn begin(begin: impl FnOnce(Entry) -> Option<(Entry, Work)>) -> Self {
        if !RECORDS.get() {
            return Self(false);
        }
        RECORDER.with_borrow_mut(|recorder| {
            let begun = begin(recorder.current());
            Self(
                begun
                    .map(|(entry, work)| recorder.open(entry, work))
                    .is_some(),
            )
        })
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.0 && RECORDS.get() {
            RECORDER.with_borrow_mut(Recorder::close);
        }
    }
}

/// Begins a phase.
pub(crate) fn phase(phase: Phase) -> Span {
    let entry = Entry {
        phase: Some(phase),
        operation: None,
    };
    Span::begin(|_| Some((entry, Work::default())))
}

/// Begins an operation. `work` is called only while the thread records.
pub(crate) fn operation(operation: Operation, work: impl FnOnce() -> Work) -> Span {
    Span::begin(|around| Some((around.with(operation), work())))
}

/// Begins products of matrices.
pub(crate) fn product(product: impl FnOnce() -> Product) -> Span {
    Span::begin(|around| {
        let product = product();
        Some((around.with(Operation::Product(product)), product.work()))
    })
}

/// Begins the operation of a kernel, unless one has begun already. `bytes` are those that it has to move.
pub(crate) fn launch(kernel: &'static str, bytes: impl FnOnce() -> f64) -> Span {
    Span::begin(|around| match around.operation {
        Some(_) => None,
        None => {
            let entry = around.with(Operation::of_kernel(kernel)?);
            let (flops, bytes) = (0.0, bytes());
            Some((entry, Work { flops, bytes }))
        }
    })
}

/// Returns the innermost open span of this thread.
#[cfg(feature = "cli")]
pub(crate) fn current() -> Entry {
    RECORDER.with_borrow(Recorder::current)
}

/// Starts recording this thread.
#[cfg(feature = "cli")]
pub(crate) fn begin() {
    RECORDER.with_borrow_mut(|recorder| {
        *recorder = Recorder::default();
        recorder.open(Entry::default(), Work::default());
    });
    RECORDS.set(true);
}

/// Stops recording and returns the sums, which add up to the time since [`begin`].
#[cfg(feature = "cli")]
pub(crate) fn end() -> HashMap<Entry, Totals> {
    RECORDS.set(false);
    let mut recorder = RECORDER.take();
    while !recorder.open.is_empty() {
        recorder.close();
    }
    recorder.totals
}

#[cfg(all(test, feature = "cli"))]
mod tests;
