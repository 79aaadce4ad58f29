//! The setters that [`Sealer`](crate::Sealer) and [`Opener`](crate::Opener) share: threads, memory, and who may stop and watch a stream.
//! It knows neither of them.

/// The setters that Sealer and Opener share.
macro_rules! resource_setters {
    ($builder:ident) => {
        impl $builder {
            /// The number of threads that work on frames. Default: as many as the machine runs at once. Of two or
            /// more, one is the caller's own; a single one works alongside the caller, which does the reads and
            /// writes that must be in order. More than [`THREADS_MAX`](crate::THREADS_MAX) are refused when the
            /// stream begins, with [`ErrorKind::Usage`](crate::ErrorKind::Usage).
            #[must_use]
            pub fn threads(mut self, threads: NonZeroUsize) -> $builder {
                self.resources.threads = Some(threads);
                self
            }

            /// Works in `pool`, which other streams may share, in place of threads of its own.
            #[must_use]
            pub fn pool(mut self, pool: frame_worker::Pool) -> $builder {
                self.resources.pool = Some(pool);
                self
            }

            /// The most bytes of frames held in memory. Default: 32 MiB, of which a quarter of what is left is used, if that is
            /// less: by the limits of the process's cgroups and what the machine has available. What a stream needs at least it gets of
            /// the 32 MiB in any case. The program itself, keys and two pages of the index (320 KiB each) are not included; and from a pipe, a window of 16 KiB until its turn has come, then of
            /// 256 KiB, or of up to twice the longest record.
            ///
            /// What is fetched ahead of a source from afar is included: its least is part of what the stream needs, more is used while
            /// it is free. The default is 256 MiB then.
            ///
            /// A reader takes a share of it when it is made, at most half, and holds that until it is dropped.
            ///
            /// A stream needs about two frames, sealed and open, and a whole segment where it is held until it is
            /// verified. If that is more than `bytes`, it is refused; [`Remedy::RaiseMemory`](crate::Remedy::RaiseMemory) says how
            /// much it needs.
            #[must_use]
            pub fn memory(self, bytes: usize) -> $builder {
                self.budget(Budget::new(bytes))
            }

            /// Asks `system` how much memory there is, which decides the default of [`memory`](Self::memory), and how short it is
            /// while the stream runs: then it takes less of its memory beyond what it needs, step by step, and is told to the
            /// [`Observer`]. It never waits or fails for that. Default: the system that runs this.
            #[must_use]
            pub fn system_memory(mut self, system: crate::SystemMemory) -> $builder {
                self.resources.system = system;
                self
            }

            /// Keeps to `limit`, in bytes of sealed streams per second: those that are read, and when sealing those that are written.
            /// Bytes that are proved to be there already, and a seed's, are not counted. Nothing is issued ahead of the
            /// rate, so that a pool's threads do not wait for it; a read of a [`Reader`](crate::Reader) does. Default: none.
            #[must_use]
            pub fn rate_limit(mut self, limit: crate::RateLimit) -> $builder {
                self.resources.rate = Some(limit);
                self
            }

            /// Draws memory from `budget`, which other streams may share: one that finds too little free waits for its turn.
            /// [`memory`](Self::memory) says what each needs. Streams that feed each other must share
            /// neither budget nor pool; nor must streams that wait for each other through a lock of the caller's. Its
            /// buffers are kept until the last stream ends, and are not wiped: a source that a caller wrote is handed
            /// one to fill, and may find in it what another stream left.
            #[must_use]
            pub fn budget(mut self, budget: Budget) -> $builder {
                self.resources.budget = Some(budget);
                self
            }

            /// Reports the stream's progress to `observer`.
            #[must_use]
            pub fn observer(mut self, observer: Arc<dyn Observer>) -> $builder {
                self.resources.observer = Some(observer);
                self
            }

            /// Calls `observe` with how far the stream is, after each segment: an [`Observer`] of that alone.
            #[must_use]
            pub fn on_progress(self, observe: impl Fn(&crate::Progress) + Send + Sync + 'static) -> $builder {
                self.observer(Arc::new(observe))
            }

            /// Stops when `cancel` is cancelled: no system call is started after that has been seen, and nothing is
            /// published.
            #[must_use]
            pub fn cancel(mut self, cancel: CancelToken) -> $builder {
                self.resources.cancel = cancel;
                self
            }

            /// Which implementation of the ciphers. Default: the fast one, where it is built in.
            #[must_use]
            pub fn backend(mut self, backend: Backend) -> $builder {
                self.resources.backend = backend;
                self
            }
        }
    };
}
pub(crate) use resource_setters;
