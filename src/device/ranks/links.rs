//! The links to the other ranks: heartbeats, and how a rank that fails, ends or falls silent is noticed.

use std::time::{Duration, Instant};

use mpi::Tag;
use mpi::request::{Request, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use crate::error::Error;

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// Time between two looks at the links.
const LOOK: Duration = Duration::from_millis(50);
/// A rank that is silent for this time has failed. Its heartbeats come from a thread that does nothing else.
const SILENCE: Duration = Duration::from_secs(15);
/// After not having been scheduled for this time, as after a suspend, silence is counted anew.
const ASLEEP: Duration = Duration::from_secs(5);

/// Tag of a heartbeat.
const ALIVE: Tag = 1;
/// Tag of the last message of a rank that has done its work.
const DONE: Tag = 2;
/// Tag of the message of a rank that has failed: what failed, as UTF-8.
const FAILED: Tag = 3;

static EMPTY: [u8; 0] = [];

/// The failure of a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The rank.
    pub rank: usize,
    /// What it reported; `None` for a rank that fell silent.
    pub report: Option<String>,
}

impl Failure {
    /// Returns the rank that tells the user: rank 0, or rank 1 if rank 0 is silent.
    pub(super) fn speaker(&self) -> usize {
        usize::from(self.rank == 0 && self.report.is_none())
    }

    /// Returns the error, given the hosts of the ranks.
    pub(super) fn error(&self, hosts: &[String]) -> Error {
        Error::Rank {
            rank: self.rank,
            host: hosts[self.rank].clone(),
            message: match &self.report {
                Some(report) => format!("failed: {report}"),
                None => format!(
                    "has not answered for {} seconds: it is stopped, or its machine or the network failed; the \
                     training resumes from its last checkpoint with --resume",
                    SILENCE.as_secs()
                ),
            },
        }
    }
}

/// Another rank.
struct Peer {
    heard: Instant,
    /// Whether it has done its work, so that it may be silent.
    is_done: bool,
    /// The message under way to it, at most one heartbeat at a time.
    sending: Vec<Request<'static, [u8]>>,
}

/// The links of a rank to all others.
pub(super) struct Links {
    /// `None` for this rank itself.
    peers: Vec<Option<Peer>>,
    /// Whether this rank has done its work: the message of that is its last one.
    is_done: bool,
    sent: Instant,
    looked: Instant,
}

impl Links {
    pub(super) fn new(world: &SimpleCommunicator) -> Self {
        let (own, now) = (world.rank(), Instant::now());
        let peer = |rank| {
            (rank != own).then(|| Peer {
                heard: now,
                is_done: false,
                sending: Vec::new(),
            })
        };
        Self {
            peers: (0..world.size()).map(peer).collect(),
            is_done: false,
            sent: now,
            looked: now,
        }
    }

    /// Sends and receives what is due. Returns the failure of a rank.
    pub(super) fn look(&mut self, world: &SimpleCommunicator) -> Option<Failure> {
        let now = Instant::now();
        let since = now - self.looked;
        if since < LOOK {
            return None;
        }
        self.looked = now;
        if since > ASLEEP {
            self.peers
                .iter_mut()
                .flatten()
                .for_each(|peer| peer.heard = now);
        }
        self.progress();
        if !self.is_done && now - self.sent >= BEAT {
            self.sent = now;
            self.send(world, &EMPTY, ALIVE);
        }
        while let Some(message) = world.any_process().immediate_matched_probe() {
            let (report, status) = message.matched_receive_vec::<u8>();
            let rank = status.source_rank() as usize;
            if let Some(peer) = &mut self.peers[rank] {
                peer.heard = now;
                peer.is_done |= status.tag() == DONE;
            }
            if status.tag() == FAILED {
                let report = Some(String::from_utf8_lossy(&report).into_owned());
                return Some(Failure { rank, report });
            }
        }
        let is_silent = |peer: &Peer| !peer.is_done && now - peer.heard > SILENCE;
        let silent = |peer: &Option<Peer>| peer.as_ref().is_some_and(is_silent);
        let rank = self.peers.iter().position(silent)?;
        Some(Failure { rank, report: None })
    }

    /// Tells the other ranks that this one has done its work.
    pub(super) fn tell_done(&mut self, world: &SimpleCommunicator) {
        self.send(world, &EMPTY, DONE);
        self.is_done = true;
    }

    /// Tells the other ranks that this one has failed.
    pub(super) fn tell_failure(&mut self, world: &SimpleCommunicator, report: &str) {
        // Leaked, since the process ends while it may still be under way.
        let report = Box::leak(report.to_string().into_boxed_str());
        self.send(world, report.as_bytes(), FAILED);
    }

    /// Returns whether every other rank has done its work, and every message to it has been sent.
    pub(super) fn are_done(&mut self) -> bool {
        self.progress();
        let mut peers = self.peers.iter().flatten();
        peers.all(|peer| peer.is_done && peer.sending.is_empty())
    }

    /// Completes messages under way.
    pub(super) fn progress(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            let sending = std::mem::take(&mut peer.sending);
            let left = sending
                .into_iter()
                .filter_map(|request| request.test().err());
            peer.sending = left.collect();
        }
    }

    /// Starts to send a message to the other ranks. A heartbeat is left out where the previous message has not arrived.
    fn send(&mut self, world: &SimpleCommunicator, message: &'static [u8], tag: Tag) {
        for (rank, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else {
                continue;
            };
            if tag != ALIVE || peer.sending.is_empty() {
                let process = world.process_at_rank(rank as i32);
                let request = process.immediate_send_with_tag(StaticScope, message, tag);
                peer.sending.push(request);
            }
        }
    }
}
