//! The starter process's end of the socket.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::process::platform;
use crate::process::protocol::{Reply, Request, take_frame};

/// A socket with what was read and not yet understood, and said and not yet written.
pub(super) struct Link {
    socket: OwnedFd,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Descriptors by message, in order; `None` where they were lost on the way.
    descriptors: VecDeque<Option<Vec<OwnedFd>>>,
    damaged: bool,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            inbox: Vec::new(),
            outbox: Vec::new(),
            descriptors: VecDeque::new(),
            damaged: false,
        }
    }

    /// The descriptor to poll.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether the engine said something that cannot be understood.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Reads all that is there; `false` when the other end has closed.
    pub(super) fn read(&mut self) -> bool {
        let mut buffer = [0_u8; 16 * 1024];
        loop {
            match platform::receive(self.socket.as_fd(), &mut buffer) {
                Ok(received) => {
                    match received.descriptors {
                        Some(none) if none.is_empty() => {}
                        some_or_lost => self.descriptors.push_back(some_or_lost),
                    }
                    self.inbox.extend_from_slice(&buffer[..received.bytes]);
                    if received.bytes == 0 {
                        return false;
                    }
                    // Less than was asked for means that there is no more: unless a message with
                    // descriptors ended it, and then the next poll tells.
                    if received.bytes < buffer.len() {
                        return true;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return true,
                    io::ErrorKind::Interrupted => {}
                    _ => return false,
                },
            }
        }
    }

    /// The next request that has arrived whole.
    pub(super) fn next_request(&mut self) -> Option<Request> {
        match take_frame(&mut self.inbox, Request::decode) {
            Ok(request) => request,
            Err(_damaged) => {
                self.damaged = true;
                None
            }
        }
    }

    /// The descriptors of the oldest message that has not given up its own.
    pub(super) fn take_descriptors(&mut self) -> Option<Vec<OwnedFd>> {
        self.descriptors.pop_front().flatten()
    }

    /// Queues a reply, and writes at once what can be written.
    pub(super) fn tell(&mut self, reply: Reply) {
        self.outbox.extend_from_slice(&reply.encode());
        self.flush();
    }

    /// Writes what can be written.
    pub(super) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match platform::send(self.socket.as_fd(), &self.outbox, &[]) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody listens any more; the next read ends the service.
                Err(_closed) => self.outbox.clear(),
            }
        }
    }
}
