//! Policies: when to try again, and how long to wait before.

use std::time::Duration;

use crate::error::{ErrorClass, StageError};

/// One condition of `retry.on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOn {
    /// The word `default`: what is transient by itself.
    Default,
    /// Every failure of a class.
    Class(ErrorClass),
    /// `http:5xx` or `http:503`: inclusive bounds of the status.
    Http(u16, u16),
    /// `exit:1`, or `exit:*` for any code but 0.
    Exit(Option<i32>),
    /// `signal:SIGKILL` or `signal:9`, by name.
    Signal(String),
}

/// The signals that may be named in `retry.on`, by number on Linux.
const SIGNALS: [(i32, &str); 31] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// The name of a signal number on Linux, such as `SIGKILL` for 9; other numbers become `SIG34`.
#[must_use]
pub fn signal_name(number: i32) -> String {
    SIGNALS
        .iter()
        .find(|(n, _)| *n == number)
        .map_or_else(|| format!("SIG{number}"), |(_, name)| (*name).to_owned())
}

impl RetryOn {
    /// Reads a condition as it is written in a workflow file.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "default" {
            return Some(Self::Default);
        }
        if let Some(class) = ErrorClass::from_name(text) {
            return Some(Self::Class(class));
        }
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "http" => Self::parse_http(rest),
            "exit" if rest == "*" => Some(Self::Exit(None)),
            "exit" => {
                rest.parse().ok().filter(|c| (1..=255).contains(c)).map(|c| Self::Exit(Some(c)))
            }
            "signal" => Self::parse_signal(rest),
            _ => None,
        }
    }

    fn parse_http(text: &str) -> Option<Self> {
        if let Some(hundreds) = text.strip_suffix("xx") {
            let hundreds: u16 = hundreds.parse().ok().filter(|h| (1..=5).contains(h))?;
            return Some(Self::Http(hundreds * 100, hundreds * 100 + 99));
        }
        text.parse().ok().filter(|s| (100..=599).contains(s)).map(|s| Self::Http(s, s))
    }

    fn parse_signal(text: &str) -> Option<Self> {
        let full = if text.starts_with("SIG") { text.to_owned() } else { format!("SIG{text}") };
        let by_number = text.parse::<i32>().ok();
        SIGNALS
            .iter()
            .find(|(n, name)| *name == full || by_number == Some(*n))
            .map(|(_, name)| Self::Signal((*name).to_owned()))
    }

    /// Whether a failure meets this condition.
    #[must_use]
    pub fn matches(&self, error: &StageError) -> bool {
        match self {
            Self::Default => error.is_transient(),
            Self::Class(class) => error.class == *class,
            Self::Http(from, to) => error.http_status.is_some_and(|s| (*from..=*to).contains(&s)),
            Self::Exit(code) => {
                error.class == ErrorClass::Process
                    && error
                        .exit_code
                        .is_some_and(|c| c != 0 && code.is_none_or(|wanted| wanted == c))
            }
            Self::Signal(name) => {
                error.class == ErrorClass::Process && error.signal.as_ref() == Some(name)
            }
        }
    }
}

/// Whether results of other runs may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CachePolicy {
    /// Never.
    #[default]
    Off,
    /// Those that were made at most so long ago.
    For(Duration),
    /// Any.
    Forever,
}

impl CachePolicy {
    /// Reads `off`, `forever`, or a duration that is not zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "off" => Some(Self::Off),
            "forever" => Some(Self::Forever),
            other => parse_duration(other).filter(|d| !d.is_zero()).map(Self::For),
        }
    }
}

/// So many starts at most in any span of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many starts; at least 1.
    pub starts: u32,
    /// The span; longer than zero.
    pub span: Duration,
}

impl Rate {
    /// Reads `60/min`, `10/s`, `5/30s`, `1000/day`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (starts, span) = text.split_once('/')?;
        let starts = starts.trim().parse().ok().filter(|n| *n > 0)?;
        let span = match span.trim() {
            "s" | "sec" | "second" => Duration::from_secs(1),
            "m" | "min" | "minute" => Duration::from_secs(60),
            "h" | "hour" => Duration::from_secs(3_600),
            "d" | "day" => Duration::from_secs(86_400),
            other => parse_duration(other).filter(|d| !d.is_zero())?,
        };
        Some(Self { starts, span })
    }
}

/// When and how often a task is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first counted; at least 1.
    pub attempts: u32,
    /// Wait before the second attempt.
    pub base: Duration,
    /// Growth of the wait from attempt to attempt; at least 1.
    pub factor: f64,
    /// Longest wait.
    pub max: Duration,
    /// Whether a wait is multiplied by a number drawn from [0.5, 1).
    pub jitter: bool,
    /// Which failures are tried again.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter: true,
            on: vec![RetryOn::Default],
        }
    }
}

impl Retry {
    /// A policy of one attempt.
    #[must_use]
    pub fn never() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// Whether this policy tries again after `error`. A failure of the store and an attempt that
    /// was told to stop are never tried again.
    #[must_use]
    pub fn covers(&self, error: &StageError) -> bool {
        !matches!(error.class, ErrorClass::Store | ErrorClass::Cancelled)
            && self.on.iter().any(|condition| condition.matches(error))
    }

    /// The wait before the attempt after number `attempt`: `min(max, base·factor^(n−1))`, times
    /// a number from [0.5, 1) with jitter. `draw` is that number's source, uniform in [0, 1); a
    /// server's `retry_after` replaces the formula, because asking sooner is what it forbids.
    #[must_use]
    pub fn delay(&self, attempt: u32, draw: f64, retry_after: Option<Duration>) -> Duration {
        if let Some(wait) = retry_after {
            return wait;
        }
        let grown =
            self.base.as_secs_f64() * self.factor.powf(f64::from(attempt.saturating_sub(1)));
        let capped = grown.min(self.max.as_secs_f64());
        let jitter = if self.jitter { 0.5 + draw.clamp(0.0, 1.0) / 2.0 } else { 1.0 };
        Duration::try_from_secs_f64(capped * jitter).unwrap_or(self.max)
    }
}

/// A number in [0, 1) that depends on `seed` alone, so that a replay draws the same.
#[must_use]
pub fn draw(seed: &str) -> f64 {
    let digest = crate::digest::Digest::of(seed.as_bytes());
    let mut head = [0_u8; 8];
    head.copy_from_slice(&digest.as_bytes()[..8]);
    // The upper 53 bits fill a double's mantissa.
    (u64::from_le_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Reads a duration: `500ms`, `60s`, `5m`, `2h`, `1d`, or several parts such as `1h30m`; a bare
/// number is refused.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_len = rest[digits..].chars().take_while(char::is_ascii_alphabetic).count();
        let unit = match &rest[digits..digits + unit_len] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = rest[digits + unit_len..].trim_start();
    }
    // A century keeps every sum with a timestamp in range.
    (total <= Duration::from_secs(100 * 365 * 86_400)).then_some(total)
}

/// Writes a duration in the shortest exact form that [`parse_duration`] reads.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            ("1.5s", 1_500),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "5 fortnights", "-1s", "1e9s", "99999999999d", "nan", "5s5"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn rates_and_ages() {
        for (text, starts, seconds) in
            [("60/min", 60, 60), ("1/s", 1, 1), ("5/30s", 5, 30), ("1000 / day", 1000, 86_400)]
        {
            let rate = Rate { starts, span: Duration::from_secs(seconds) };
            assert_eq!(Rate::parse(text), Some(rate), "{text}");
        }
        for text in ["", "60", "0/min", "/min", "5/0s", "-1/s", "5/fortnight", "x/s"] {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
        assert_eq!(CachePolicy::parse("off"), Some(CachePolicy::Off));
        assert_eq!(CachePolicy::parse("forever"), Some(CachePolicy::Forever));
        let half_an_hour = CachePolicy::For(Duration::from_secs(1_800));
        assert_eq!(CachePolicy::parse("30m"), Some(half_an_hour));
        for text in ["", "0s", "on", "30"] {
            assert_eq!(CachePolicy::parse(text), None, "{text}");
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_only_shortens() {
        let plain = Retry { jitter: false, ..Retry::default() };
        let waits: Vec<u64> = (1..=8).map(|n| plain.delay(n, 0.0, None).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let jittered = Retry::default();
        assert_eq!(jittered.delay(7, 0.0, None), Duration::from_secs(30));
        assert!(jittered.delay(7, 0.999, None) < Duration::from_secs(60));
        assert_eq!(jittered.delay(1, 0.0, Some(Duration::from_secs(90))), Duration::from_secs(90));
    }

    #[test]
    fn retry_conditions() {
        let exit = |code| StageError {
            exit_code: Some(code),
            ..StageError::new(ErrorClass::Process, "run x", "failed")
        };
        assert!(Retry::default().covers(&exit(75)));
        assert!(!Retry::default().covers(&exit(1)));
        let on =
            |text: &str| Retry { on: vec![RetryOn::parse(text).expect(text)], ..Retry::default() };
        assert!(
            on("exit:1").covers(&exit(1))
                && !on("exit:1").covers(&exit(2))
                && on("exit:*").covers(&exit(2))
        );
        let killed = StageError {
            signal: Some("SIGKILL".into()),
            ..StageError::new(ErrorClass::Process, "run x", "killed")
        };
        assert!(
            Retry::default().covers(&killed)
                && on("signal:9").covers(&killed)
                && on("signal:KILL").covers(&killed)
        );
        let busy = StageError {
            http_status: Some(503),
            ..StageError::new(ErrorClass::Http5xx, "GET", "busy")
        };
        assert!(
            on("http:5xx").covers(&busy)
                && on("http:503").covers(&busy)
                && !on("http:500").covers(&busy)
        );
        for text in [
            "http",
            "http:",
            "http:6xx",
            "exit:",
            "exit:0",
            "exit:x",
            "signal:NO",
            "nope",
            "http:5xxx",
        ] {
            assert_eq!(RetryOn::parse(text), None, "{text}");
        }
    }
}
