//! Control of a node: gates, effects, cleanup, and the policies that exclude each other.

use super::check::Checker;
use super::config::{ArgPart, CompiledConfig, CompiledField};
use super::{Gate, InputPort, Source, codes};
use crate::definition::{Config, NodeDef, Policies, RetryDef, Span, Spanned};
use crate::diagnostic::{Diagnostic, nearest};
use crate::graph::Policy;
use crate::policy::{CachePolicy, Retry};
use crate::template::Expr;

/// Policies in force: the node's own, then the defaults' ones. A node that `acts` (on the world, by
/// waiting, or at the end) takes no result of another run because of a default, and one that
/// `waits` is not cut short by one.
pub(super) fn policy(defaults: &Policies, def: &NodeDef, acts: bool, waits: bool) -> Policy {
    let pick = |own: &RetryDef, default: &RetryDef| {
        let base = Retry::default();
        Retry {
            attempts: own.attempts.or(default.attempts).unwrap_or(base.attempts),
            base: own.base.or(default.base).unwrap_or(base.base),
            factor: own.factor.or(default.factor).unwrap_or(base.factor),
            max: own.max.or(default.max).unwrap_or(base.max),
            jitter: own.jitter.or(default.jitter).unwrap_or(base.jitter),
            on: own.on.clone().or_else(|| default.on.clone()).unwrap_or(base.on),
        }
    };
    let default_cache = if acts { None } else { defaults.cache.as_ref() };
    Policy {
        timeout: def.policies.timeout.or(if waits { None } else { defaults.timeout }),
        deadline: def.deadline,
        retry: pick(&def.policies.retry, &defaults.retry),
        cache: def.policies.cache.as_ref().or(default_cache).map_or(CachePolicy::Off, |c| c.value),
        priority: def.priority,
    }
}

impl Checker<'_> {
    /// The gate of a node; equal ones are one.
    pub(super) fn gate(&mut self, def: &NodeDef) -> Option<usize> {
        let pool = def.pool.as_ref().and_then(|name| {
            let size = self.definition.pools.get(&name.value).map(|size| size.value);
            self.declared("pool", "pools", "2", name, size, self.definition.pools.keys())
        });
        let rate = def.rate.as_ref().and_then(|name| {
            let rate = self.definition.rates.get(&name.value).map(|rate| rate.value);
            self.declared("rate", "rates", "\"60/min\"", name, rate, self.definition.rates.keys())
        });
        if pool.is_none() && rate.is_none() {
            return None;
        }
        let gate = Gate { pool, rate };
        let known = self.gates.iter().position(|other| *other == gate);
        Some(known.unwrap_or_else(|| {
            self.gates.push(gate);
            self.gates.len() - 1
        }))
    }

    fn declared<'n, T>(
        &mut self,
        noun: &str,
        table: &str,
        example: &str,
        name: &Spanned<String>,
        found: Option<T>,
        known: impl Iterator<Item = &'n String>,
    ) -> Option<(String, T)> {
        if found.is_none() {
            let help = match nearest(&name.value, known.map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("declare it below [{table}]: {} = {example}", name.value),
            };
            let message = format!("there is no {noun} `{}`", name.value);
            self.faults
                .push(Diagnostic::error(codes::UNDECLARED, name.span.clone(), message).help(help));
        }
        found.map(|found| (name.value.clone(), found))
    }

    /// Policies that exclude each other.
    pub(super) fn check_control(&mut self, def: &NodeDef, inputs: &[InputPort], waits: bool) {
        let cached = def.policies.cache.as_ref().filter(|c| c.value != CachePolicy::Off);
        let mut excluded = |span: &Span, message: &str, help: &str| {
            let fault = Diagnostic::error(codes::EXCLUDED, span.clone(), message);
            self.faults.push(fault.help(help));
        };
        if let (Some(_), Some(cache)) = (&def.effect, cached) {
            let help =
                "a result taken from another run would leave the effect undone: leave `cache` out";
            excluded(&cache.span, "an effect cannot have `cache`", help);
        }
        if waits {
            let help = "it does no work of its own: leave this out";
            if let Some(cache) = cached {
                excluded(&cache.span, "a stage that waits cannot have `cache`", help);
            }
            if let Some(effect) = &def.effect {
                excluded(&effect.span, "a stage that waits has no effect", help);
            }
            if let Some(fallback) = def.fallback.first() {
                excluded(&fallback.span, "a stage that waits has no fallback", help);
            }
        }
        let Some(always) = &def.always else { return };
        if let Some(list) = &def.for_each {
            let help = "give it the list as an input, with `?` at the end of the reference";
            excluded(&list.span, "a node with `always` cannot be fanned out", help);
        }
        if waits {
            excluded(
                always,
                "a stage that waits cannot have `always`",
                "the end of a run waits for nobody",
            );
        }
        for input in inputs.iter().filter(|input| !input.ty.is_optional()) {
            let span = def.inputs.get(&input.name).map_or(always, |binding| &binding.span);
            let message =
                format!("the input `{}` of a node with `always` may be absent", input.name);
            let help = "end the reference with `?`: the node runs whatever happened before it";
            excluded(span, &message, help);
        }
    }

    /// Nothing but another node with `always` can depend on one.
    pub(super) fn check_after_always(
        &mut self,
        def: &NodeDef,
        inputs: &[InputPort],
        fan: Option<&Source>,
    ) {
        if def.always.is_some() {
            return;
        }
        let mut told = Vec::new();
        let look = |node: crate::id::NodeId, span: &Span, told: &mut Vec<Diagnostic>| {
            let found = self.definition.nodes.get_index(node.index());
            if let Some((name, _)) = found.filter(|(_, other)| other.always.is_some()) {
                let message = format!("`{name}` runs at the end, so this node cannot wait for it");
                let help = "nodes with `always` run after all others; give this one `always = true` too, or take the edge out";
                told.push(Diagnostic::error(codes::EXCLUDED, span.clone(), message).help(help));
            }
        };
        for input in inputs {
            let span = def.inputs.get(&input.name).map_or(&def.span, |binding| &binding.span);
            input.source.each_node(&mut |node, _| look(node, span, &mut told));
        }
        if let (Some(fan), Some(list)) = (fan, &def.for_each) {
            fan.each_node(&mut |node, _| look(node, &list.span, &mut told));
        }
        for name in &def.after {
            if let Some(index) = self.definition.nodes.get_index_of(&name.value) {
                look(super::check::node_id(index), &name.span, &mut told);
            }
        }
        self.faults.append(&mut told);
    }

    /// A secret in `argv` or `shell` would be seen by every user of the machine.
    pub(super) fn check_shown_secrets(
        &mut self,
        config: &CompiledConfig,
        with: &Config,
        span: &Span,
    ) {
        for (name, field) in config {
            let shown: Vec<(String, &Expr)> = match field {
                CompiledField::Shell(template) => {
                    template.expressions().map(|(expr, _)| (format!("/{name}"), expr)).collect()
                }
                CompiledField::Argv(parts) => parts
                    .iter()
                    .enumerate()
                    .flat_map(|(at, part)| {
                        let exprs: Vec<&Expr> = match part {
                            ArgPart::One(template) => {
                                template.expressions().map(|(e, _)| e).collect()
                            }
                            ArgPart::Each(expr) => vec![expr],
                        };
                        exprs.into_iter().map(move |expr| (format!("/{name}/{at}"), expr))
                    })
                    .collect(),
                _ => continue,
            };
            for (pointer, expr) in shown {
                if expr.names().any(|name| name == "secrets" || name.starts_with("secrets.")) {
                    let place = with.spans.get(&pointer).unwrap_or(span).clone();
                    let message =
                        format!("a secret in `{name}` can be read by everyone on this machine");
                    self.faults.push(
                        Diagnostic::error(codes::SECRET_SHOWN, place, message)
                            .help("give it by `env`, `stdin` or a header instead: env = { TOKEN = \"{{ secrets.token }}\" }"),
                    );
                }
            }
        }
    }
}
