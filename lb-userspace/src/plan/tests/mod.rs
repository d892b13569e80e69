//! Plans against an image of the tables.

mod adoption;
mod build;
mod conflicts;
mod full;
mod hashed;
mod image;
mod random;
mod steps;

pub(super) use random::Random;
