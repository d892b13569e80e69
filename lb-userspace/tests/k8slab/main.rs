//! Whole agents on a real API server: etcd and `k8slab`, which is kube-apiserver's own server
//! library, with RBAC enforced and the very manifests of `deploy/` applied to it. kubectl makes the
//! changes, the cluster of namespaces carries the traffic.
//!
//! `cargo xtask test api-server --k8slab DIR` runs it, where `DIR` holds the two programs; without
//! them, and without kubectl, it fails and says so.

mod away;
mod lab;
mod measure;
mod rights;
#[path = "../watched/mod.rs"]
mod watched;
