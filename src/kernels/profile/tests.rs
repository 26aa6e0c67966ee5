//! Spans, and what they sum up to.

use super::*;

const NORM: Entry = Entry {
    phase: Some(Phase::Forward),
    operation: Some(Operation::Norm),
};

fn wait() {
    std::thread::sleep(Duration::from_millis(3));
}

fn norm() -> Span {
    operation(Operation::Norm, || Work::moving(10))
}

#[test]
fn nothing_is_recorded_without_a_beginning() {
    let never = || -> Work { unreachable!("nothing is recorded") };
    {
        let _phase = phase(Phase::Forward);
        let _norm = operation(Operation::Norm, never);
        let _launch = launch("rms_norm/forward", || unreachable!("nothing is recorded"));
    }
    assert_eq!(current(), Entry::default());
    assert_eq!(RECORDER.with_borrow(|recorder| recorder.totals.len()), 0);
    // A span that began earlier does not end one of a recording.
    let early = norm();
    begin();
    drop(early);
    let found = end();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&Entry::default()]);
    assert!(end().is_empty());
}

#[test]
fn times_are_without_those_within_and_add_up() {
    begin();
    let began = Instant::now();
    {
        let _phase = phase(Phase::Forward);
        wait();
        for _ in 0..2 {
            let _norm = norm();
            wait();
        }
        assert_eq!(current().operation, None);
    }
    wait();
    let all = began.elapsed().as_secs_f64();
    let found = end();
    let [rest, norms, outside] = [
        Entry {
            operation: None,
            ..NORM
        },
        NORM,
        Entry::default(),
    ]
    .map(|entry| found[&entry]);
    assert_eq!((norms.calls, norms.work), (2, Work::moving(20)));
    assert!(norms.seconds >= 0.006 && rest.seconds >= 0.003 && outside.seconds >= 0.003);
    let sum = norms.seconds + rest.seconds + outside.seconds;
    assert!((sum - all).abs() < 0.002, "{sum} of {all}");
    assert!(rest.seconds < all - 0.008, "{rest:?} of {all}");
}

#[test]
fn a_launch_belongs_to_the_operation_around_it() {
    begin();
    let sizes = Product {
        batches: 2,
        rows: 3,
        inner: 32,
        columns: 5,
        second: WeightType::Q8_0,
        adds: true,
    };
    {
        let _product = product(|| sizes);
        let _launch = launch("matmul/matmul", || 1e9);
        assert_eq!(current().operation, Some(Operation::Product(sizes)));
    }
    drop(launch("rotary/rotate", || 7.0));
    let found = end();
    let entry = |operation| Entry {
        phase: None,
        operation: Some(operation),
    };
    let work = found[&entry(Operation::Product(sizes))].work;
    assert_eq!(work.flops, 2.0 * 2.0 * 3.0 * 32.0 * 5.0);
    assert_eq!(
        work.bytes,
        2.0 * (4.0 * (3.0 * 32.0 + 2.0 * 3.0 * 5.0) + 5.0 * 34.0)
    );
    assert_eq!(found[&entry(Operation::Rotary)].work.bytes, 7.0);
}

#[test]
fn every_kernel_but_products_has_an_operation() {
    for kernel in crate::kernels::kernels() {
        let is_product = kernel.name().starts_with("matmul/");
        let operation = Operation::of_kernel(kernel.name());
        assert_eq!(operation.is_none(), is_product, "{}", kernel.name());
    }
}
