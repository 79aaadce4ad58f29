//! A reordering with one fault.
//! Its name says which.

use std::collections::VecDeque;

/// Gives values out as they came.
pub(crate) struct AsItComes<T> {
    next: u32,
    values: VecDeque<(u32, T)>,
}

impl<T> AsItComes<T> {
    pub(crate) fn new() -> Self {
        Self { next: 0, values: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, _first: u32, count: u32, value: T) -> bool {
        self.values.push_back((count, value));
        true
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let (count, value) = self.values.pop_front()?;
        self.next += count;
        Some(value)
    }

    pub(crate) fn next(&self) -> u32 {
        self.next
    }
}
