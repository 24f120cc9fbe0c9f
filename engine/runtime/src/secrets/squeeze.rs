//! Line ends that an encoder puts into what it writes: base64 and hex are wrapped after 60 to 76
//! characters, in the middle of whatever they encode. Secrets are sought as if such line ends were
//! not there.

/// A line end after so many characters of an encoding may be one of the encoder's.
const WRAPPED: usize = 40;

/// Takes such line ends out of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Squeezer {
    /// Characters of an encoding right before the next byte.
    run: usize,
}

impl Squeezer {
    /// Whether this next byte stands for itself.
    pub(super) fn keeps(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' if self.run >= WRAPPED => false,
            b'\n' if self.run >= WRAPPED => {
                self.run = 0;
                false
            }
            b'+' | b'/' | b'-' | b'_' | b'=' => {
                self.run += 1;
                true
            }
            byte if byte.is_ascii_alphanumeric() => {
                self.run += 1;
                true
            }
            _ => {
                self.run = 0;
                true
            }
        }
    }

    /// The bytes that stand for themselves, with the place of each.
    pub(super) fn squeeze(&mut self, bytes: &[u8]) -> Squeezed {
        let mut squeezed = Squeezed {
            bytes: Vec::with_capacity(bytes.len()),
            places: Vec::with_capacity(bytes.len()),
        };
        for (place, byte) in bytes.iter().enumerate() {
            if self.keeps(*byte) {
                squeezed.bytes.push(*byte);
                squeezed.places.push(place);
            }
        }
        squeezed
    }
}

/// Bytes without the line ends of encoders.
pub(super) struct Squeezed {
    pub(super) bytes: Vec<u8>,
    /// Where each stood.
    pub(super) places: Vec<usize>,
}
