//! News from outside. Every source ends in a complete value of what should be: a
//! [`Picture`](crate::model::Picture) of Services and EndpointSlices, or a [`NodeNet`] of this
//! node's devices and addresses. What a picture does not hold does not exist, so a source hands one
//! out only when it has read everything.
//!
//! The road of a manifest folder: [`mod@file`] notices a change and reads the files it touches,
//! [`document`] cuts them up, [`manifest`] tells the kinds, [`convert`] makes values of them with
//! rejections for what cannot be used, and [`folder`] puts the files together, where [`allot`] and
//! [`selector`] fill in what an API server and its controllers would have. All but [`mod@file`],
//! [`kube`] and [`netdev`] is pure.
//!
//! The road of an API server: [`kube`] follows its objects, and [`convert`] makes the same values of
//! them as they arrive; an API server has filled in what [`allot`] and [`selector`] would.
//!
//! What is not here: which endpoint counts and who wins a contested address is decided in
//! [`model`](crate::model).

pub mod allot;
pub mod convert;
pub mod document;
pub mod draft;
pub mod file;
pub mod folder;
pub mod kube;
pub mod manifest;
pub mod netdev;
pub mod selector;

mod error;
mod news;
mod shape;

pub use self::kube::KubeSource;
pub use allot::Ranges;
pub use error::WatchError;
pub use file::FileSource;
pub use netdev::{DeviceNet, External, NetSource, NodeNet, PodDevice, PodSide, Selection};
pub use news::{News, NodeNews, Trigger};
