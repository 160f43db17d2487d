//! Rows of a product of two sparse matrices: neighborhood scoring, string matching, similarity.

use crate::control::Control;
use crate::csr::{Csr, View};
use crate::error::{Error, Result};
use crate::packed::{Packed, PackedProduct};
use crate::pruned::Pruned;
use crate::simd::prefetch;
use crate::topk::{Filter, Order, Ranked, RowScorer, Scores, score_pairs, top_k};
use rayon::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bringing the columns into the order of popularity costs a pass over the right matrix; it pays when the
/// product is at least so many times larger.
const REORDER_FROM: u64 = 4;
/// Packing the right matrix pays from there too.
const PACK_FROM: u64 = 4;
/// Rows that are worth a thread when their work is counted.
const MIN_ROWS: usize = 256;
/// Rows of the right matrix asked for ahead of their use: each lies at a random place in memory.
const ROWS_AHEAD: usize = 4;
/// Cache lines of each; the hardware follows from there.
const LINES_AHEAD: usize = 12;

/// `a @ b`, row by row.
pub(crate) struct Product<'a> {
    a: View<'a>,
    b: View<'a>,
    /// Columns of `b` in the order of popularity, where they are.
    reordered: Option<(Order, Vec<i32>)>,
    n_rows: usize,
    n_cols: usize,
    /// Multiply-adds of each row.
    pub(crate) work: Vec<u64>,
}

impl<'a> Product<'a> {
    pub(crate) fn new(names: (&str, &str), a: &'a Csr, b: &'a Csr) -> Result<Self> {
        if a.n_cols() != b.n_rows() {
            let (name_a, name_b) = names;
            let problem = format!("must have {} columns, the rows of {name_b}", b.n_rows());
            return Err(Error::shape(name_a, problem, (a.n_rows(), a.n_cols())));
        }
        let row_work = |row: usize| a.row(row).0.iter().map(|&mid| b.row_len(mid as usize) as u64).sum();
        // A few rows need no thread pool.
        let work: Vec<u64> = if a.n_rows() < MIN_ROWS {
            (0..a.n_rows()).map(row_work).collect()
        } else {
            (0..a.n_rows()).into_par_iter().with_min_len(MIN_ROWS).map(row_work).collect()
        };
        Ok(Self { a: a.view(), b: b.view(), reordered: None, n_rows: a.n_rows(), n_cols: b.n_cols(), work })
    }

    /// With the columns of `b` in the order of popularity, where that pays.
    pub(crate) fn reordered(mut self, b: &Csr) -> Self {
        if self.work.iter().sum::<u64>() >= REORDER_FROM * b.nnz() as u64 {
            let order = Order::by_count(&b.column_counts());
            let places =
                b.indices().par_iter().with_min_len(1 << 14).map(|&c| order.places[c as usize]).collect();
            self.reordered = Some((order, places));
        }
        self
    }

    /// Calls `add(columns, values, by)` for every row of `b` that the row of `a` names.
    #[inline(always)]
    pub(crate) fn for_each(&self, row: usize, mut add: impl FnMut(&[i32], &[f32], f32)) {
        let (mids, weights) = self.a.row(row);
        let b = match &self.reordered {
            Some((_, places)) => self.b.with_indices(places),
            None => self.b,
        };
        for (at, (&mid, &by)) in mids.iter().zip(weights).enumerate() {
            if let Some(&ahead) = mids.get(at + 2 * ROWS_AHEAD) {
                b.prefetch_offset(ahead as usize);
            }
            if let Some(&ahead) = mids.get(at + ROWS_AHEAD) {
                let (cols, values) = b.row(ahead as usize);
                prefetch(cols, LINES_AHEAD);
                prefetch(values, LINES_AHEAD);
            }
            let (cols, values) = b.row(mid as usize);
            add(cols, values, by);
        }
    }
}

impl RowScorer for Product<'_> {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn n_cols(&self) -> usize {
        self.n_cols
    }

    #[inline(always)]
    fn work(&self, row: usize) -> u64 {
        self.work[row]
    }

    #[inline(always)]
    fn order(&self) -> Option<&Order> {
        self.reordered.as_ref().map(|(order, _)| order)
    }

    #[inline(always)]
    fn score(&self, row: usize, scores: &mut Scores) {
        self.for_each(row, |cols, values, by| scores.add(cols, values, by));
    }
}

/// The best `k` entries of every row of `a @ b`; an entry that comes to exactly 0 is none.
pub fn top_k_product(
    names: (&str, &str),
    a: &Csr,
    b: &Csr,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    top_k_block(names, a, (b, &Memory::default()), k, filter, control)
}

/// [`top_k_product`] of a block of many: the same bits, whatever is remembered of `b`.
pub fn top_k_block(
    names: (&str, &str),
    a: &Csr,
    (b, memory): (&Csr, &Memory),
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    let product = Product::new(names, a, b)?;
    let work = product.work.iter().sum::<u64>();
    if work < PACK_FROM * b.nnz() as u64 {
        return top_k(&product, k, filter, control);
    }
    if let Some(pruned) = Pruned::where_it_pays(a, b, filter.threshold, &product.work) {
        return pruned.top_k(k, filter, &product.work, control);
    }
    let mut made = None;
    let packed = match memory.packed.get() {
        Some(packed) => packed,
        None if memory.is_due(b) => memory.keep(Packed::new(a, b)),
        None => {
            memory.products.fetch_add(work, Relaxed);
            made.insert(Packed::new(a, b))
        }
    };
    match packed {
        Some(packed) => top_k(&PackedProduct::new(a, packed, product.work), k, filter, control),
        None => top_k(&product.reordered(b), k, filter, control),
    }
}

/// What is remembered of a right factor that is multiplied again and again, with one row or with a block of rows at
/// a time: once it has been read as often as a product for which packing pays, it is packed, and stays so.
#[derive(Default)]
pub struct Memory {
    products: AtomicU64,
    packed: OnceLock<Option<Packed>>,
}

impl Memory {
    /// Is it time to call [`Memory::pack`]?
    pub fn is_due(&self, b: &Csr) -> bool {
        self.packed.get().is_none() && self.products.load(Relaxed) >= PACK_FROM * b.nnz().max(1) as u64
    }

    /// Packs `b`, in the thread pool, for rows that may name any of its rows.
    pub fn pack(&self, b: &Csr) {
        self.keep(Packed::for_uses(&vec![1; b.n_rows()], b));
    }

    /// Two threads may come here at once: the same is made twice, and one of them kept. (To wait for the other would
    /// not do: a thread of the pool that waits takes up other work, which may be to come here.)
    fn keep(&self, made: Option<Packed>) -> &Option<Packed> {
        let _ = self.packed.set(made);
        self.packed.get().unwrap_or(&None)
    }
}

/// [`top_k_product`] of a single row, on the thread that calls: the same bits, whatever is remembered of `b`.
pub fn top_k_row(
    names: (&str, &str),
    a: &Csr,
    (b, memory): (&Csr, &Memory),
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    let product = Product::new(names, a, b)?;
    if let Some(Some(packed)) = memory.packed.get() {
        return top_k(&PackedProduct::new(a, packed, product.work), k, filter, control);
    }
    memory.products.fetch_add(product.work.iter().sum(), Relaxed);
    top_k(&product, k, filter, control)
}

/// The entries of `a @ b` at the places that `pairs` names.
pub fn score_product(
    names: (&str, &str),
    a: &Csr,
    b: &Csr,
    pairs: &Csr,
    control: &Control,
) -> Result<Vec<f32>> {
    score_pairs(&Product::new(names, a, b)?, pairs, control)
}
