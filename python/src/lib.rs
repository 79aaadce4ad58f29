//! The extension module behind the Python package `cofferdam`: its calls, with Python's objects for arguments.
//! It decides nothing: each call is one of the library's, made on a thread of its own while Python goes on.

mod buffer;
mod call;
mod error;
mod inspect;
mod interpreter;
mod keys;
mod number;
mod open;
mod parts;
mod paths;
mod reader;
mod report;
mod seal;
mod signed;
mod source;
mod target;
mod tree;
mod tree_input;
mod tree_options;

/// What `cofferdam/__init__.py` takes its names from.
#[pyo3::pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::inspect::{Inspection, inspect};
    #[pymodule_export]
    use crate::interpreter::{_forked, _wait_for_calls};
    #[pymodule_export]
    use crate::keys::Identity;
    #[pymodule_export]
    use crate::open::{metadata, restore, restore_into, verify};
    #[pymodule_export]
    use crate::parts::{
        Committed, Plan, State, commit_plan, give_up_plan, plan_restore, read_plan, run_part, state_of_plan,
    };
    #[pymodule_export]
    use crate::paths::restore_paths;
    #[pymodule_export]
    use crate::reader::{Reader, open_reader};
    #[pymodule_export]
    use crate::report::{Progress, Restored, RestoredTree, Sealed, SealedTree};
    #[pymodule_export]
    use crate::seal::{discard, seal};
    #[pymodule_export]
    use crate::tree::{Entry, Member, Tree};
}
