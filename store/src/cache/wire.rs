//! How one process asks another for a cached result: a question and an answer of fixed form, each
//! with its version and a checksum, over a socket in the store.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use flow_core::digest::Digest;
use flow_core::id::RunId;

use super::place::Place;
use crate::journal::{short, u64_at};
use crate::layout::Layout;
use crate::platform;

const QUESTION: &[u8; 8] = b"FLOWget1";
const ANSWER: &[u8; 8] = b"FLOWgot1";
const CHECK: usize = 16;
const QUESTION_LEN: usize = 8 + 32 + CHECK;

/// Mark, kind, length of the id, id, journal, position, checksum.
const ANSWER_LEN: usize = 8 + 1 + 1 + 64 + 16 + 8 + CHECK;

/// What a process says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The result stands there.
    Found(Place),
    /// There is no such result.
    Nothing,
    /// It cannot say.
    Unable,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Silence {
    /// Nobody listens.
    Nobody,
    /// Somebody does, and says nothing of use in time.
    NoWord(io::Error),
}

/// Asks whoever has the checkpoint database where the result of a key stands.
pub(crate) fn ask(layout: &Layout, key: &Digest, until: Instant) -> Result<Answer, Silence> {
    let stream = platform::connect(&layout.socket()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Silence::Nobody,
        _ => Silence::NoWord(error),
    })?;
    let mut question = Vec::with_capacity(QUESTION_LEN);
    question.extend_from_slice(QUESTION);
    question.extend_from_slice(key.as_bytes());
    seal(&mut question);
    let mut answer = [0; ANSWER_LEN];
    exchange(&stream, &question, &mut answer, until).map_err(|error| match error.kind() {
        // Its process ended, or gave the database back, before it came to the question.
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Silence::Nobody,
        _ => Silence::NoWord(error),
    })?;
    read_answer(&answer).ok_or_else(|| Silence::NoWord(io::ErrorKind::InvalidData.into()))
}

fn exchange(
    stream: &UnixStream,
    question: &[u8],
    answer: &mut [u8],
    until: Instant,
) -> io::Result<()> {
    stream.set_write_timeout(Some(left(until)?))?;
    (&*stream).write_all(question)?;
    read_until(stream, answer, until)
}

/// Answers one question.
pub(crate) fn serve(
    stream: &UnixStream,
    until: Instant,
    answer: impl FnOnce(&Digest) -> Answer,
) -> io::Result<()> {
    let mut question = [0; QUESTION_LEN];
    read_until(stream, &mut question, until)?;
    let known = unseal(&question).and_then(|text| text.strip_prefix(QUESTION));
    let key = known.and_then(|key| key.first_chunk().copied()).map(Digest::from_bytes);
    let answer = key.map_or(Answer::Unable, |key| answer(&key));
    stream.set_write_timeout(Some(PATIENCE))?;
    (&*stream).write_all(&write_answer(&answer))
}

/// An answer fits into the buffer of any socket.
const PATIENCE: Duration = Duration::from_millis(100);

/// Fills a buffer before a time.
fn read_until(mut stream: &UnixStream, buffer: &mut [u8], until: Instant) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut buffer[done..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn seal(bytes: &mut Vec<u8>) {
    let check = short(&blake3::hash(bytes));
    bytes.extend_from_slice(&check);
}

fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (text, check) = bytes.split_last_chunk::<CHECK>()?;
    (short(&blake3::hash(text)) == *check).then_some(text)
}

fn write_answer(answer: &Answer) -> Vec<u8> {
    let mut bytes = ANSWER.to_vec();
    match answer {
        Answer::Found(Place { run, journal, position }) => {
            let id = run.as_str().as_bytes();
            bytes.extend_from_slice(&[b'F', id.len().to_le_bytes()[0]]);
            bytes.extend_from_slice(id);
            bytes.resize(8 + 2 + 64, 0);
            bytes.extend_from_slice(journal);
            bytes.extend_from_slice(&position.to_le_bytes());
        }
        Answer::Nothing => bytes.push(b'N'),
        Answer::Unable => bytes.push(b'U'),
    }
    bytes.resize(ANSWER_LEN - CHECK, 0);
    seal(&mut bytes);
    bytes
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let text = unseal(bytes)?.strip_prefix(ANSWER)?;
    match text.first()? {
        b'F' => {
            let id = text.get(2..2 + usize::from(text[1]))?;
            let run = RunId::new(str::from_utf8(id).ok()?).ok()?;
            let journal = *text.get(66..)?.first_chunk()?;
            Some(Answer::Found(Place { run, journal, position: u64_at(text, 82) }))
        }
        b'N' => Some(Answer::Nothing),
        b'U' => Some(Answer::Unable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let run = RunId::new(&"x".repeat(64)).expect("an id");
        Place { run, journal: [7; 16], position: u64::MAX - 5 }
    }

    #[test]
    fn answers_are_read_back_and_damaged_ones_are_not() {
        for answer in [Answer::Found(place()), Answer::Nothing, Answer::Unable] {
            let bytes = write_answer(&answer);
            assert_eq!(bytes.len(), ANSWER_LEN);
            assert_eq!(read_answer(&bytes), Some(answer));
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert_eq!(read_answer(&damaged), None, "byte {at}");
            }
        }
    }

    #[test]
    fn a_question_of_another_version_is_answered_and_not_understood() {
        let (asking, answering) = UnixStream::pair().expect("sockets");
        let until = Instant::now() + Duration::from_secs(60);
        let mut question = [b"FLOWget2".as_slice(), &[0; 32]].concat();
        seal(&mut question);
        (&asking).write_all(&question).expect("a question");
        serve(&answering, until, |_| panic!("it is not understood")).expect("an answer");
        let mut answer = [0; ANSWER_LEN];
        read_until(&asking, &mut answer, until).expect("an answer");
        assert_eq!(read_answer(&answer), Some(Answer::Unable));
    }
}
