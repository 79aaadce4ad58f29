//! Real servers on the loopback interface, for tests, and a proxy before them that fails as networks do.
//! Knows nothing of sealed streams.
