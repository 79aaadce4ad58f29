//! What a reader keeps: the values of keys, within a number of bytes, and which keys are being loaded by whom.
//! It knows neither keys nor values. What could not be loaded leaves no trace: whoever wants it tries again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::feed::PATIENCE;

/// Values by key, those dropped first that were used longest ago. A key is loaded by one thread at a time.
pub(super) struct Cache<K, V> {
    state: Mutex<State<K, V>>,
    /// A key is no longer being loaded.
    settled: Condvar,
    len_max: usize,
}

struct State<K, V> {
    kept: LruCache<K, Kept<V>>,
    /// Bytes of all that is kept.
    len: usize,
    /// Keys that are being loaded, each by a thread that runs. It waits for its reads, and while a list of ranges is fetched, also for memory
    /// that other reads hold: those wait for no key meanwhile.
    loading: HashSet<K>,
}

struct Kept<V> {
    value: V,
    len: usize,
}

/// Keys that the holder is loading, and nobody else. Dropped, it leaves those that were not kept to others.
pub(super) struct LoadGuard<'a, K: Copy + Eq + Hash, V: Clone> {
    cache: &'a Cache<K, V>,
    keys: Vec<K>,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// Keeps `len_max` bytes at most.
    pub(super) fn new(len_max: usize) -> Cache<K, V> {
        let state = State { kept: LruCache::unbounded(), len: 0, loading: HashSet::new() };
        Cache { state: Mutex::new(state), settled: Condvar::new(), len_max }
    }

    /// Bytes that it keeps at most.
    pub(super) fn len_max(&self) -> usize {
        self.len_max
    }

    /// The value of `key`, which is then the last to go.
    pub(super) fn get(&self, key: K) -> Option<V> {
        self.lock().kept.get(&key).map(|kept| kept.value.clone())
    }

    /// The first of `keys` that are neither kept nor being loaded, up to one that is. `None` if the very first is.
    pub(super) fn begin_load(&self, keys: impl IntoIterator<Item = K>) -> Option<LoadGuard<'_, K, V>> {
        let mut state = self.lock();
        let keys = keys.into_iter();
        let keys: Vec<K> =
            keys.take_while(|key| !state.kept.contains(key) && !state.loading.contains(key)).collect();
        state.loading.extend(&keys);
        drop(state);
        (!keys.is_empty()).then_some(LoadGuard { cache: self, keys })
    }

    /// Waits until nobody is loading `key`: it is there then, or could not be loaded, or has been dropped again. Or until `is_stopped`,
    /// which is asked now and then, says so.
    pub(super) fn wait(&self, key: K, is_stopped: impl Fn() -> bool) {
        let mut state = self.lock();
        while state.loading.contains(&key) && !is_stopped() {
            let waited = self.settled.wait_timeout(state, PATIENCE);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        // What it guards is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V: Clone> LoadGuard<'_, K, V> {
    /// How many keys.
    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Keeps `value`, which takes `len` bytes, under a `key` of this guard, if it fits at all.
    pub(super) fn keep(&self, key: K, value: V, len: usize) {
        assert!(self.keys.contains(&key), "what is kept was being loaded");
        let len_max = self.cache.len_max;
        if len > len_max {
            return;
        }
        let mut dropped = Vec::new();
        let mut state = self.cache.lock();
        while state.len + len > len_max {
            let (_, oldest) = state.kept.pop_lru().expect("what is kept has the bytes that are counted");
            state.len -= oldest.len;
            dropped.push(oldest);
        }
        state.len += len;
        let before = state.kept.put(key, Kept { value, len });
        assert!(before.is_none(), "a key that is kept is not loaded");
        drop(state);
        // Memory goes back with no lock held.
        drop(dropped);
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Drop for LoadGuard<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        self.keys.iter().for_each(|key| {
            state.loading.remove(key);
        });
        drop(state);
        self.cache.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn keep(cache: &Cache<u32, u32>, key: u32, len: usize) {
        cache.begin_load([key]).unwrap().keep(key, key, len);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_no_more_is_kept_than_fits() {
        let cache = Cache::new(10);
        (1..=3).for_each(|key| keep(&cache, key, 3));
        assert_eq!(cache.get(1), Some(1));
        keep(&cache, 4, 4);
        assert_eq!([1, 2, 3, 4].map(|key| cache.get(key)), [Some(1), None, Some(3), Some(4)]);
        keep(&cache, 5, 10);
        assert_eq!([1, 3, 4, 5].map(|key| cache.get(key)), [None, None, None, Some(5)]);
        keep(&cache, 6, 11);
        assert_eq!([5, 6].map(|key| cache.get(key)), [Some(5), None]);
        assert_eq!(cache.lock().len, 10);
    }

    #[test]
    fn a_key_is_loaded_by_one_and_again_only_when_it_was_not_kept() {
        let cache = Cache::<u32, u32>::new(10);
        let guard = cache.begin_load([1, 2, 3]).unwrap();
        assert_eq!(guard.count(), 3);
        assert!(cache.begin_load([2]).is_none() && cache.begin_load([3, 4]).is_none());
        assert_eq!(cache.begin_load([0, 1]).unwrap().count(), 1, "up to one that another loads");
        guard.keep(2, 2, 1);
        drop(guard);
        assert!(cache.begin_load([2]).is_none(), "it is kept");
        assert_eq!(cache.begin_load([1, 2]).unwrap().count(), 1);
        assert_eq!(cache.begin_load([3, 4]).unwrap().count(), 2);
    }

    #[test]
    fn who_waits_for_a_key_and_gives_up_leaves_it_to_the_others() {
        let cache = Cache::<u32, u32>::new(10);
        let guard = cache.begin_load([1]).unwrap();
        cache.wait(1, || true);
        assert!(cache.begin_load([1]).is_none(), "it is still being loaded");
        drop(guard);
        assert!(cache.begin_load([1]).is_some());
    }

    #[test]
    fn who_waits_for_a_key_goes_on_when_its_loading_ends_however_it_ends() {
        for kept in [true, false] {
            let cache = Cache::<u32, u32>::new(10);
            let guard = cache.begin_load([1]).unwrap();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    cache.wait(1, || false);
                    cache.get(1)
                });
                if kept {
                    guard.keep(1, 7, 1);
                }
                drop(guard);
                assert_eq!(waiting.join().unwrap(), kept.then_some(7));
            });
        }
    }
}
