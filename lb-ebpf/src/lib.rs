//! The half of the data path that runs anywhere.
#![no_std]
