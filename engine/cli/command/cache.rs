//! `flow cache`: results that other runs may take.

use flow_core::digest::Digest;
use flow_core::store::{CacheEntry, Store};
use serde_json::json;

use crate::args::{CacheArgs, CacheCommand};
use crate::failure::{Exit, Failure};
use crate::report::tell;
use crate::report::text::{bytes, clean, count};
use crate::session::Session;

pub(crate) fn run(args: &CacheArgs, env: &Session) -> Result<Exit, Failure> {
    let store = env.open_store()?;
    match &args.command {
        CacheCommand::Ls => list(env, store.as_ref())?,
        CacheCommand::Rm { key } => {
            let key = find(&store.cache_entries()?, key)?;
            store.cache_remove(&key)?;
            removed(env, 1, &key.to_string());
        }
        CacheCommand::Clear => {
            let forgotten = usize::try_from(store.cache_clear()?).unwrap_or(usize::MAX);
            removed(env, forgotten, &count(forgotten, "result"));
        }
    }
    Ok(Exit::SUCCEEDED)
}

/// Tells what is no cache entry any more.
fn removed(env: &Session, number: usize, words: &str) {
    if env.json {
        env.out.line(&json!({ "removed": number }).to_string());
    }
    tell(&format!("forgot {words}\n"));
}

fn list(env: &Session, store: &dyn Store) -> Result<(), Failure> {
    let entries = store.cache_entries()?;
    if env.json {
        let entry = |entry: &CacheEntry| {
            json!({
                "key": entry.key, "run": entry.run, "node": entry.task.node,
                "item": entry.task.item.as_ref().map(|item| &item.key),
                "at": entry.at.to_string(), "size": entry.size,
            })
        };
        env.out.line(&json!(entries.iter().map(entry).collect::<Vec<_>>()).to_string());
        return Ok(());
    }
    let total: u64 = entries.iter().map(|entry| entry.size).sum();
    for entry in &entries {
        let at = entry.at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let size = bytes(entry.size);
        let task = clean(&entry.task.to_string());
        env.out.line(&format!(
            "{}  {at}  {size:>9}  {task} of run {}",
            entry.key.short(),
            entry.run
        ));
    }
    tell(&format!("{}, {}\n", count(entries.len(), "result"), bytes(total)));
    Ok(())
}

/// The key that begins so.
fn find(entries: &[CacheEntry], wanted: &str) -> Result<Digest, Failure> {
    let mut fitting: Vec<Digest> = entries
        .iter()
        .map(|entry| entry.key)
        .filter(|key| !wanted.is_empty() && key.to_string().starts_with(wanted))
        .collect();
    fitting.sort();
    fitting.dedup();
    match fitting.as_slice() {
        [key] => Ok(*key),
        [] => Err(Failure::not_found(
            format!("no result has the key `{wanted}`"),
            Some("`flow cache ls` lists them".into()),
        )),
        several => Err(Failure::usage(
            format!("`{wanted}` could be any of {} keys", several.len()),
            "give more characters of the key",
        )),
    }
}
