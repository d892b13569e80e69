//! Plans against an image of the tables.

mod adoption;
mod build;
mod conflicts;
mod full;
mod image;
mod random;
mod steps;

pub(super) use random::Random;
