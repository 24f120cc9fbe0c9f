//! Room for the parser's recursion.

/// A file with fewer of the signs that open a level cannot nest deep enough to matter.
const SHALLOW: usize = 512;

/// The parser stops at 80 brackets within one another, but each inline table may hold keys of 80
/// dotted parts: over 6,000 levels that are built and dropped recursively, at most about a
/// kilobyte each. The memory is only touched when it is needed.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Does `work` on a stack that holds any tree the parser can make of `text`.
pub(crate) fn on_enough_stack<R: Send>(text: &str, work: impl Fn() -> R + Sync) -> R {
    let levels = text.bytes().filter(|b| matches!(b, b'.' | b'[' | b'{')).take(SHALLOW).count();
    if levels < SHALLOW {
        return work();
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, &work);
        match thread {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No thread to be had: files that people write fit the stack we have.
            Err(_) => work(),
        }
    })
}
