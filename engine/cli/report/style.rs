//! Colors, where they are wanted.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};

use crate::args::Color;

/// Paints words, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Paints what goes to `stream` as the user wants it.
    pub(crate) fn of(choice: Color, stream: &impl IsTerminal) -> Self {
        let on = match choice {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stream.is_terminal() && is_welcome(),
        };
        Self { on }
    }

    /// Whether anything is painted.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    fn color(self, color: AnsiColor, text: &str) -> String {
        self.paint(color.on_default(), text)
    }

    /// What went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.color(AnsiColor::Green, text)
    }

    /// What went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// What needs attention.
    pub(crate) fn odd(self, text: &str) -> String {
        self.color(AnsiColor::Yellow, text)
    }

    /// What is going on.
    pub(crate) fn busy(self, text: &str) -> String {
        self.color(AnsiColor::Cyan, text)
    }

    /// What matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// What matters more.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }
}

/// Whether the environment wants colors (<https://no-color.org>).
fn is_welcome() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !no_color && !dumb
}
