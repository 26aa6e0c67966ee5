//! Ranks that MPI connects. A thread of its own makes every call of MPI: sums go on while the training computes,
//! heartbeats are sent whatever it does, and nothing waits without a limit, since MPI itself never notices a rank that is
//! stopped.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::request::{Request, Scope, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use super::links::{Failure, Links};
use super::{Exchange, PendingSum, Ranks};
use crate::error::{Error, Result};

/// Variables by which a launcher tells a process its rank: OpenMPI, PMIx as of Slurm, MPICH and Intel.
const LAUNCHERS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
/// Time between two looks at the links while nothing is exchanged.
const IDLE: Duration = Duration::from_millis(50);
/// Time between two bursts of calls that let an exchange progress.
const PAUSE: Duration = Duration::from_micros(50);
/// Calls per burst: each moves a few fragments of a message.
const BURST: usize = 16;
/// Time that the training has to report the failure of a rank, before this thread does and ends the job.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes of the description of a rank: its host and its CPUs.
const DESCRIPTION: usize = 1024;

/// What the training asks of the thread.
enum Task {
    /// Sums values over the ranks.
    Sum(Vec<f32>, Sender<Result<Vec<f32>>>),
    /// Gathers values of all ranks.
    Gather(Vec<f64>, Sender<Result<Vec<f64>>>),
    /// Waits until all ranks have done their work, and ends MPI.
    Finish(Sender<Result<()>>),
    /// Tells the other ranks of a failure. The answer is whether this rank tells the user.
    Fail(String, Sender<bool>),
    /// Ends all ranks at once.
    Abort,
}

impl Task {
    /// Answers with the failure of a rank.
    fn refuse(self, failure: &Failure, hosts: &[String], own: usize) {
        let error = failure.error(hosts);
        // An answer that is not waited for is not needed.
        match self {
            Self::Sum(_, reply) => drop(reply.send(Err(error))),
            Self::Gather(_, reply) => drop(reply.send(Err(error))),
            Self::Finish(reply) => drop(reply.send(Err(error))),
            Self::Fail(_, reply) => drop(reply.send(failure.speaker() == own)),
            Self::Abort => {}
        }
    }
}

/// A rank of an MPI job.
#[derive(Debug)]
struct Mpi {
    rank: usize,
    hosts: Vec<String>,
    tasks: Mutex<Sender<Task>>,
}

/// A job that this process has joined.
#[derive(Debug)]
pub(crate) struct Job {
    mpi: Arc<Mpi>,
    /// Ranks that run on the CPUs of this one, itself included.
    pub sharers: usize,
}

impl Job {
    /// Joins the MPI job that this process was started in; `None` if it was started alone.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if MPI cannot be used.
    pub(crate) fn join() -> Result<Option<Self>> {
        if LAUNCHERS
            .iter()
            .all(|name| std::env::var_os(name).is_none())
        {
            return Ok(None);
        }
        let (tasks, receiver) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let thread = thread::Builder::new().name("mpi".to_string());
        let spawned = thread.spawn(move || serve(receiver, &started));
        let descriptions = spawned.ok().and_then(|_| start.recv().ok()).flatten();
        let Some((rank, descriptions)) = descriptions else {
            let message = "MPI cannot be initialized in this process".to_string();
            return Err(Error::Device { message });
        };
        let own = &descriptions[rank];
        let sharers = descriptions.iter().filter(|other| *other == own).count();
        let host = |text: &String| text.lines().next().unwrap_or_default().to_string();
        let hosts = descriptions.iter().map(host).collect();
        let tasks = Mutex::new(tasks);
        let mpi = Arc::new(Mpi { rank, hosts, tasks });
        Ok(Some(Self { mpi, sharers }))
    }

    /// Returns its ranks.
    pub(crate) fn ranks(&self) -> Ranks {
        Ranks(Some(self.mpi.clone()))
    }

    /// Returns the number of hosts.
    pub(crate) fn host_count(&self) -> usize {
        let mut hosts: Vec<&String> = self.mpi.hosts.iter().collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.len()
    }

    /// Waits until all ranks have done their work, and leaves the job.
    ///
    /// # Errors
    ///
    /// [`Error::Rank`] if a rank has failed.
    pub(crate) fn finish(&self) -> Result<()> {
        self.mpi.ask(Task::Finish)
    }

    /// Tells the other ranks that this one has failed. Returns whether this rank tells the user.
    pub(crate) fn fail(&self, report: &str) -> bool {
        self.mpi.ask(|reply| Task::Fail(report.to_string(), reply))
    }

    /// Ends all ranks: at once, or if this rank does not tell the user what happened, once another has had the time.
    pub(crate) fn abort(&self, speaks: bool) -> ! {
        if !speaks {
            thread::sleep(2 * GRACE);
        }
        self.mpi.send(Task::Abort);
        loop {
            thread::park();
        }
    }
}

impl Mpi {
    fn send(&self, task: Task) {
        let tasks = self
            .tasks
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // The thread ends only with the job.
        let _ = tasks.send(task);
    }

    fn ask<T>(&self, task: impl FnOnce(Sender<T>) -> Task) -> T {
        let (reply, answer) = mpsc::channel();
        self.send(task(reply));
        let answer = answer.recv();
        answer.expect("the thread answers every task, or ends the process")
    }
}

impl Exchange for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn hosts(&self) -> &[String] {
        &self.hosts
    }

    fn begin_sum(&self, values: Vec<f32>) -> PendingSum {
        let (reply, answer) = mpsc::channel();
        self.send(Task::Sum(values, reply));
        PendingSum(answer)
    }

    fn gather(&self, values: &[f64]) -> Result<Vec<Vec<f64>>> {
        let all = self.ask(|reply| Task::Gather(values.to_vec(), reply))?;
        let of_rank = all.chunks_exact(values.len());
        Ok(of_rank.map(<[f64]>::to_vec).collect())
    }
}

/// The thread that makes every call of MPI.
struct Server {
    world: SimpleCommunicator,
    hosts: Vec<String>,
    links: Links,
    tasks: Receiver<Task>,
}

/// Initializes MPI, sends rank and descriptions of the ranks to `started`, and does tasks until the job ends.
fn serve(tasks: Receiver<Task>, started: &Sender<Option<(usize, Vec<String>)>>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        let _ = started.send(None);
        return;
    };
    let world = universe.world();
    let hosts = descriptions(&world);
    let _ = started.send(Some((world.rank() as usize, hosts.clone())));
    let links = Links::new(&world);
    let mut server = Server {
        world,
        hosts,
        links,
        tasks,
    };
    let finished = server.work();
    // Ends MPI, which waits for the other ranks.
    drop(universe);
    let _ = finished.send(Ok(()));
}

/// Returns the host and the CPUs of each rank, on two lines.
fn descriptions(world: &SimpleCommunicator) -> Vec<String> {
    let host = mpi::environment::processor_name().unwrap_or_default();
    let mut own = [0; DESCRIPTION];
    let text = format!("{host}\n{}", cpus().unwrap_or_default());
    let length = text.len().min(DESCRIPTION);
    own[..length].copy_from_slice(&text.as_bytes()[..length]);
    let mut all = vec![0; DESCRIPTION * world.size() as usize];
    world.all_gather_into(&own[..], &mut all[..]);
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .trim_end_matches('\0')
            .to_string()
    };
    all.chunks(DESCRIPTION).map(text).collect()
}

/// Returns the CPUs that this process may use, where the system tells: launchers bind ranks to some of them.
fn cpus() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    let cpus = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(cpus.trim().to_string())
}

impl Server {
    /// Does tasks until all ranks have done their work. Returns who waits for that.
    fn work(&mut self) -> Sender<Result<()>> {
        loop {
            let task = match self.tasks.recv_timeout(IDLE) {
                Ok(task) => Some(task),
                Err(RecvTimeoutError::Timeout) => None,
                // The process ends.
                Err(RecvTimeoutError::Disconnected) => self.lose(&Failure {
                    rank: self.world.rank() as usize,
                    report: Some("ended early".to_string()),
                }),
            };
            match task {
                Some(Task::Sum(values, reply)) => self.sum(&values, &reply),
                Some(Task::Gather(values, reply)) => self.gather(&values, &reply),
                Some(Task::Finish(reply)) => {
                    self.finish(&reply);
                    return reply;
                }
                Some(Task::Fail(report, reply)) => {
                    self.links.tell_failure(&self.world, &report);
                    let _ = reply.send(self.world.rank() == 0);
                }
                Some(Task::Abort) => self.world.abort(1),
                None => {}
            }
            if let Some(failure) = self.links.look(&self.world) {
                self.lose(&failure);
            }
        }
    }

    fn sum(&mut self, values: &[f32], reply: &Sender<Result<Vec<f32>>>) {
        let mut sums = vec![0.0; values.len()];
        let world = SimpleCommunicator::world();
        scope(|scope| {
            let sum = SystemOperation::sum();
            let request = world.immediate_all_reduce_into(scope, values, &mut sums[..], sum);
            self.complete(request, |error| drop(reply.send(Err(error))));
        });
        let _ = reply.send(Ok(sums));
    }

    fn gather(&mut self, values: &[f64], reply: &Sender<Result<Vec<f64>>>) {
        let mut all = vec![0.0; values.len() * self.hosts.len()];
        let world = SimpleCommunicator::world();
        scope(|scope| {
            let request = world.immediate_all_gather_into(scope, values, &mut all[..]);
            self.complete(request, |error| drop(reply.send(Err(error))));
        });
        let _ = reply.send(Ok(all));
    }

    /// Waits for an exchange. If a rank fails, `refuse` gets the error, and the exchange is never left: MPI keeps its
    /// buffers.
    fn complete<'a, D: ?Sized, S: Scope<'a>>(
        &mut self,
        mut request: Request<'a, D, S>,
        refuse: impl FnOnce(Error),
    ) {
        loop {
            for _ in 0..BURST {
                match request.test() {
                    Ok(_) => return,
                    Err(pending) => request = pending,
                }
            }
            if let Some(failure) = self.links.look(&self.world) {
                refuse(failure.error(&self.hosts));
                self.lose(&failure);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until every rank has done its work.
    fn finish(&mut self, reply: &Sender<Result<()>>) {
        self.links.tell_done(&self.world);
        while !self.links.are_done() {
            if let Some(failure) = self.links.look(&self.world) {
                let _ = reply.send(Err(failure.error(&self.hosts)));
                self.lose(&failure);
            }
            thread::sleep(IDLE / 10);
        }
    }

    /// Answers all tasks with the failure of a rank, and ends the job if the training does not.
    fn lose(&mut self, failure: &Failure) -> ! {
        let own = self.world.rank() as usize;
        let speaks = failure.speaker() == own;
        let grace = if speaks { GRACE } else { 2 * GRACE };
        let deadline = Instant::now() + grace;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.links.progress();
            match self.tasks.recv_timeout(left.min(IDLE)) {
                Ok(Task::Abort) if speaks => self.world.abort(1),
                Ok(task) => task.refuse(failure, &self.hosts, own),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(IDLE),
            }
        }
        if speaks {
            log::error!("{}", failure.error(&self.hosts));
        }
        self.world.abort(1)
    }
}
