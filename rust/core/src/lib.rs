//! The algorithms of ferrec over sparse matrices, without Python.
//!
//! One way through: a [`Csr`] is validated once; a [`topk::RowScorer`] fills one dense row of scores at a
//! time; the driver in [`topk`] leaves out what is excluded and keeps the best `k`. A new algorithm is a new
//! `RowScorer`. Every function is deterministic: the same bits for any number of threads.

pub mod als;
pub mod auc;
pub mod biased;
pub mod biases;
pub mod build;
pub mod control;
pub mod cooccurrence;
pub mod csr;
mod dense;
pub mod error;
pub mod factors;
pub mod features;
pub mod gram;
pub mod ids;
pub mod inverse;
pub mod kcore;
pub mod latest;
pub mod lists;
pub mod metrics;
pub mod mlp;
mod offsets;
pub mod order;
mod packed;
mod pages;
pub mod product;
mod pruned;
pub mod ragged;
pub mod rating;
pub mod rerank;
pub mod resample;
mod ridge;
pub mod sequences;
pub mod simd;
pub mod similarity;
pub mod slim;
pub mod stateless;
pub mod strings;
pub mod svd;
pub mod topk;
pub mod weight;

pub use control::Control;
pub use csr::{Buf, Csr};
pub use error::{Error, Invalid, Kind, Result, Value};
pub use sequences::Sequences;
pub use topk::{Filter, Ranked};
