//! Calls of remote services, as a stage tells of them.

use serde::{Deserialize, Serialize};

use crate::error::StageError;

/// What calls of remote services used. In JSON, what is zero is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Money in US dollars.
    #[serde(skip_serializing_if = "is_zero")]
    pub usd: f64,
    /// Tokens of language models, in and out.
    #[serde(skip_serializing_if = "is_none")]
    pub tokens: u64,
    /// Calls, those that failed included.
    #[serde(skip_serializing_if = "is_none")]
    pub calls: u64,
}

/// The smallest part of a dollar that is counted.
const PARTS_OF_A_DOLLAR: f64 = 1e9;

impl Usage {
    /// Adds what more was used. An amount of money that is no number, or less than nothing, is
    /// not counted.
    pub fn add(&mut self, more: Self) {
        if more.usd.is_finite() && more.usd > 0.0 {
            // Sums of cents must read as sums of cents.
            let sum = ((self.usd + more.usd) * PARTS_OF_A_DOLLAR).round() / PARTS_OF_A_DOLLAR;
            self.usd = if sum.is_finite() { sum } else { f64::MAX };
        }
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.calls = self.calls.saturating_add(more.calls);
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        is_zero(&self.usd) && is_none(&self.tokens) && is_none(&self.calls)
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.add(one);
            sum
        })
    }
}

fn is_zero(amount: &f64) -> bool {
    *amount == 0.0
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A call within an attempt that failed and will be made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRetry {
    /// The service, such as `gemini`.
    pub provider: String,
    /// What is asked of it, such as `describe a picture`.
    pub operation: String,
    /// Number of the next try, from 2.
    pub call: u32,
    /// The wait before it, in milliseconds.
    pub delay_ms: u64,
    /// How the latest try failed.
    pub error: StageError,
}

/// A provider of a chain that is passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fallback {
    /// The provider.
    pub from: String,
    /// The one that is asked in its place; none if it was the last.
    pub to: Option<String>,
    /// Why.
    pub reason: FallbackReason,
}

/// Why a provider is passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackReason {
    /// Its optional secret is absent.
    NoKey,
    /// Its quota was used up earlier in this run.
    Exhausted,
    /// It failed.
    Failed(StageError),
}

impl FallbackReason {
    /// The word for it in events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Exhausted => "exhausted",
            Self::Failed(_) => "failed",
        }
    }

    /// The failure, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&StageError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::NoKey | Self::Exhausted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_adds_up_and_cents_stay_cents() {
        let dime = Usage { usd: 0.1, tokens: 10, calls: 1 };
        let all: Usage = [dime; 3].into_iter().sum();
        assert_eq!(all, Usage { usd: 0.3, tokens: 30, calls: 3 });
        assert_eq!(
            serde_json::to_value(all).expect("JSON").to_string(),
            r#"{"usd":0.3,"tokens":30,"calls":3}"#
        );
    }

    #[test]
    fn what_is_no_amount_is_not_counted_and_nothing_overflows() {
        let mut sum = Usage { usd: 1.0, tokens: u64::MAX, calls: 0 };
        for usd in [f64::NAN, f64::INFINITY, -3.0] {
            sum.add(Usage { usd, tokens: 1, calls: 0 });
        }
        assert_eq!(sum, Usage { usd: 1.0, tokens: u64::MAX, calls: 0 });
        sum.add(Usage { usd: f64::MAX, ..Usage::default() });
        assert!(sum.usd.is_finite());
    }

    #[test]
    fn what_is_zero_is_left_out_and_read_back() {
        let calls = Usage { calls: 2, ..Usage::default() };
        let text = serde_json::to_string(&calls).expect("JSON");
        assert_eq!(text, r#"{"calls":2}"#);
        assert_eq!(serde_json::from_str::<Usage>(&text).expect("usage"), calls);
        assert!(Usage::default().is_nothing() && !calls.is_nothing());
    }
}
