//! Lines for whoever may not read them: a thread of the queue's own writes them, so nothing waits for a reader.
//! It knows no command, and not what the lines say.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines in the order in which they were said. What comes while too much is unread is counted, and left out.
pub(crate) struct LineQueue {
    write: fn(&[u8]),
    state: Mutex<State>,
    /// A line has been queued, or written.
    changed: Condvar,
}

struct State {
    lines: VecDeque<String>,
    /// Bytes of them.
    len: usize,
    /// Lines that were left out after the last of them.
    left_out: u64,
    has_thread: bool,
    is_writing: bool,
    written: u64,
    /// It was waited for in vain, and nothing has been written since.
    is_stuck: bool,
}

impl LineQueue {
    /// `write` writes a line with its end, and may block.
    pub(crate) const fn new(write: fn(&[u8])) -> LineQueue {
        let state = State {
            lines: VecDeque::new(),
            len: 0,
            left_out: 0,
            has_thread: false,
            is_writing: false,
            written: 0,
            is_stuck: false,
        };
        LineQueue { write, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Queues news, unless too much is unread. `gap` says, before it, how many lines were left out.
    pub(crate) fn say(&'static self, line: String, gap: impl FnOnce(u64) -> String) {
        let mut state = self.lock();
        match state.len < UNREAD_MAX {
            true => self.queue(state, line, gap),
            false => state.left_out += 1,
        }
    }

    /// Queues a command's result or its failure, in any case.
    pub(crate) fn say_last(&'static self, line: String, gap: impl FnOnce(u64) -> String) {
        self.queue(self.lock(), line, gap);
    }

    /// Waits until all has been written, or no line has been for [`PATIENCE`]. Then nobody waits again before one is.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        let (mut written, mut since) = (state.written, Instant::now());
        while !state.is_stuck && (state.is_writing || !state.lines.is_empty()) {
            let left = PATIENCE.saturating_sub(since.elapsed());
            state.is_stuck = left.is_zero();
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if state.written != written {
                (written, since) = (state.written, Instant::now());
            }
        }
    }

    fn queue(&'static self, mut state: MutexGuard<'_, State>, line: String, gap: impl FnOnce(u64) -> String) {
        if state.left_out > 0 {
            let gap = gap(state.left_out);
            state.push(gap);
            state.left_out = 0;
        }
        state.push(line);
        if !state.has_thread {
            let thread = thread::Builder::new().name("messages".to_owned()).stack_size(STACK_LEN);
            state.has_thread = thread.spawn(|| self.write_lines()).is_ok();
        }
        // Where there are no threads to be had, the caller writes.
        while !state.has_thread
            && let Some(line) = state.pop()
        {
            (self.write)(line.as_bytes());
        }
        self.changed.notify_all();
    }

    fn write_lines(&self) {
        let mut state = self.lock();
        loop {
            let Some(line) = state.pop() else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.is_writing = true;
            drop(state);
            (self.write)(line.as_bytes());
            state = self.lock();
            (state.is_writing, state.is_stuck) = (false, false);
            state.written += 1;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, mut line: String) {
        line.push('\n');
        self.len += line.len();
        self.lines.push_back(line);
    }

    fn pop(&mut self) -> Option<String> {
        let line = self.lines.pop_front()?;
        self.len -= line.len();
        Some(line)
    }
}

/// Bytes that wait to be read before news is left out.
const UNREAD_MAX: usize = 1 << 20;
/// How long last words wait for a reader.
const PATIENCE: Duration = Duration::from_secs(2);
const STACK_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    static QUEUE: LineQueue = LineQueue::new(|line| {
        let mut is_open = GATE.0.lock().unwrap();
        while !*is_open {
            is_open = GATE.1.wait(is_open).unwrap();
        }
        WRITTEN.lock().unwrap().extend(line);
    });

    #[test]
    fn what_nobody_reads_keeps_nobody_waiting_and_is_counted() {
        let gap = |count| format!("{count} left out");
        let line = "x".repeat(1023);
        for _ in 0..2000 {
            QUEUE.say(line.clone(), gap);
        }
        QUEUE.say_last("last".to_owned(), gap);
        QUEUE.flush();
        assert!(WRITTEN.lock().unwrap().is_empty());
        *GATE.0.lock().unwrap() = true;
        GATE.1.notify_all();
        // A flush that has given up waits again once a line has been written; and once more of them are, there is room for another.
        while WRITTEN.lock().unwrap().len() <= 2 * (line.len() + 1) {
            thread::yield_now();
        }
        QUEUE.say("more".to_owned(), gap);
        while !WRITTEN.lock().unwrap().ends_with(b"more\n") {
            QUEUE.flush();
        }
        let written = String::from_utf8(WRITTEN.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = written.lines().collect();
        let taken = lines.iter().filter(|said| **said == line).count();
        // One of 1 KiB may be under way while the rest is at its limit.
        assert!((1024..=1025).contains(&taken), "{taken}");
        assert_eq!(lines[taken..], [&*format!("{} left out", 2000 - taken), "last", "more"]);
    }
}
