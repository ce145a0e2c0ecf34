//! The tester of another backend.
pub(crate) mod codes;
pub use codes::CODES;
