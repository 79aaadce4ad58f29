//! The C ABI, as C programs see it: built from the installed header by pkg-config, run plain, under valgrind and with ASan.

mod header;
mod installed;
mod programs;
