//! The best items of dense queries: the k greatest of `queries @ itemsᵀ` in every row, without the product.
//!
//! ```text
//! items by falling norm, in panels of 16, dimension after dimension      # packed once
//! for each block of queries:                                             # its rows stay in the second-level cache
//!     for each panel:                                                    # stays in the first-level cache
//!         queries whose ‖q‖·‖v‖ is below their k-th score are done       # exact: no later item is longer
//!         for each six of the others:
//!             scores = 6 × 16 inner products                             # never leave the registers …
//!             offer those above the k-th score                           # … unless one can be among the best
//! ```

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::simd::Level;
use crate::simd::tile::{ITEMS, Kernel, Line, QUERIES, Tile};
use crate::topk::{Best, Filter, Ranked};
use rayon::prelude::*;

/// A dense matrix, row after row.
#[derive(Clone, Copy)]
pub struct Dense<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_cols: usize,
}

impl<'a> Dense<'a> {
    /// Checks the length, and that every value is finite; `name` is the argument that errors speak of.
    pub fn new(name: &str, values: &'a [f32], n_rows: usize, n_cols: usize) -> Result<Self> {
        if n_rows.checked_mul(n_cols) != Some(values.len()) {
            let problem = format!("must have the values of shape {:?}", (n_rows, n_cols));
            return Err(Error::shape(name, problem, values.len()));
        }
        if n_rows > i32::MAX as usize {
            return Err(Error::shape(name, format!("must have at most {} rows", i32::MAX), n_rows));
        }
        if let Some(at) = values.par_iter().with_min_len(1 << 14).position_first(|v| !v.is_finite()) {
            let error = Error::values(name, "values must be finite", values[at]);
            return Err(error.at("row", at / n_cols).at("column", at % n_cols));
        }
        Ok(Self { values, n_rows, n_cols })
    }

    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.n_rows, self.n_cols)
    }

    pub(crate) fn values(&self) -> &'a [f32] {
        self.values
    }

    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.values[row * self.n_cols..(row + 1) * self.n_cols]
    }

    fn norm(&self, row: usize) -> f64 {
        self.row(row).iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()
    }
}

/// Queries of a block: 192 rows of 128 dimensions are 96 KiB.
const BLOCK: usize = 32 * QUERIES;
/// More than what products too small for f32 lose.
const TINY: f64 = 1e-35;
/// Pairs of panels between two looks at which queries are done.
const LOOK_EVERY: usize = 4;

/// Items in panels.
struct Panels {
    /// Panel after panel: `n_cols` lines of sixteen items.
    values: Vec<Line>,
    /// The item in each place; −1 fills up.
    ids: Vec<i32>,
    /// Norm of the longest item of each panel.
    norms: Vec<f64>,
}

impl Panels {
    fn new(items: &Dense<'_>, mut order: Vec<(f64, i32)>) -> Self {
        order.resize(order.len().next_multiple_of(ITEMS), (0.0, -1));
        let d = items.n_cols;
        let mut values = vec![Line::default(); order.len() / ITEMS * d];
        values.par_chunks_mut(d.max(1)).zip(order.par_chunks(ITEMS)).for_each(|(panel, order)| {
            for (lane, &(_, id)) in order.iter().enumerate().filter(|(_, e)| e.1 >= 0) {
                panel.iter_mut().zip(items.row(id as usize)).for_each(|(p, &v)| p[lane] = v);
            }
        });
        let norms = order.chunks(ITEMS).map(|panel| panel[0].0).collect();
        Self { values, ids: order.into_iter().map(|e| e.1).collect(), norms }
    }
}

/// The best `k` items of every query. An inner product that comes to exactly 0 is no candidate.
pub fn top_k_factors(
    queries: Dense<'_>,
    items: Dense<'_>,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    top_k_factors_at(Level::current(), queries, items, k, filter, control)
}

/// [`top_k_factors`] on a given instruction set.
pub fn top_k_factors_at(
    level: Level,
    queries: Dense<'_>,
    items: Dense<'_>,
    k: usize,
    filter: &Filter<'_>,
    control: &Control,
) -> Result<Ranked> {
    check_dimensions(&queries, &items)?;
    filter.check(queries.n_rows, items.n_rows)?;
    let n = queries.n_rows;
    let k = k.min(items.n_rows);
    if k == 0 || n == 0 || items.n_cols == 0 {
        return Ok(Ranked { indptr: vec![0; n + 1], indices: Vec::new(), values: Vec::new() });
    }
    control.start(n as u64);
    let kernel = Kernel::new(level);
    let panels = filter.allow.is_none().then(|| {
        let candidate = |i: &usize| filter.allowed.is_none_or(|mask| mask[*i]);
        let listed: Vec<usize> = (0..items.n_rows).filter(candidate).collect();
        let mut order: Vec<(f64, i32)> = listed.into_par_iter().map(|i| (items.norm(i), i as i32)).collect();
        order.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Panels::new(&items, order)
    });
    let search = Search { kernel, queries, items, panels, filter };

    let (mut indices, mut values) = (vec![0_i32; n * k], vec![0.0_f32; n * k]);
    let mut counts = vec![0_usize; n];
    let blocks = indices.par_chunks_mut(BLOCK * k).zip(values.par_chunks_mut(BLOCK * k));
    let blocks = blocks.zip(counts.par_chunks_mut(BLOCK)).enumerate().with_max_len(1);
    let scratch = || (0..BLOCK).map(|_| Best::new(k, filter.threshold)).collect::<Vec<_>>();
    blocks.try_for_each_init(scratch, |best, (block, ((indices, values), counts))| {
        let first = block * BLOCK;
        match filter.allow {
            Some(allow) => search.listed(first, counts.len(), allow, best),
            None => search.block(first, counts.len(), best, control)?,
        }
        for (at, count) in counts.iter_mut().enumerate() {
            let place = at * k..(at + 1) * k;
            *count = best[at].take(&mut indices[place.clone()], &mut values[place]);
        }
        control.advance(counts.len() as u64);
        control.check()
    })?;

    let mut indptr = vec![0_i64; n + 1];
    let mut end = 0;
    for (row, &count) in counts.iter().enumerate() {
        if end != row * k {
            indices.copy_within(row * k..row * k + count, end);
            values.copy_within(row * k..row * k + count, end);
        }
        end += count;
        indptr[row + 1] = end as i64;
    }
    indices.truncate(end);
    values.truncate(end);
    if end < n * k / 2 {
        indices.shrink_to_fit();
        values.shrink_to_fit();
    }
    Ok(Ranked { indptr, indices, values })
}

/// The inner products that `pairs` (queries × items) names, as [`top_k_factors`] computes them.
pub fn score_factors(
    queries: Dense<'_>,
    items: Dense<'_>,
    pairs: &Csr,
    control: &Control,
) -> Result<Vec<f32>> {
    check_dimensions(&queries, &items)?;
    if (pairs.n_rows(), pairs.n_cols()) != (queries.n_rows, items.n_rows) {
        let problem = format!("must have shape {:?}, queries × items", (queries.n_rows, items.n_rows));
        return Err(Error::shape("pairs", problem, (pairs.n_rows(), pairs.n_cols())));
    }
    let kernel = Kernel::new(Level::current());
    let rows: Vec<Vec<f32>> = (0..pairs.n_rows())
        .into_par_iter()
        .map(|row| {
            control.check()?;
            let mut scores = Vec::with_capacity(pairs.row_len(row));
            each_listed(kernel, &items, queries.row(row), pairs.row(row).0, |_, s| {
                scores.push(s.clamp(f32::MIN, f32::MAX));
            });
            Ok(scores)
        })
        .collect::<Result<_>>()?;
    Ok(rows.concat())
}

fn check_dimensions(queries: &Dense<'_>, items: &Dense<'_>) -> Result<()> {
    if queries.n_cols != items.n_cols {
        let problem = format!("must have {} columns like queries", queries.n_cols);
        return Err(Error::shape("items", problem, items.n_cols));
    }
    Ok(())
}

/// Shows the scores of one query and these items, in order.
fn each_listed(
    kernel: Kernel,
    items: &Dense<'_>,
    query: &[f32],
    cols: &[i32],
    mut show: impl FnMut(i32, f32),
) {
    let mut panel = vec![Line::default(); items.n_cols];
    let mut tile = [Tile::<1>::default()];
    for cols in cols.chunks(ITEMS) {
        for (lane, &c) in cols.iter().enumerate() {
            panel.iter_mut().zip(items.row(c as usize)).for_each(|(p, &v)| p[lane] = v);
        }
        kernel.scores([query], [&panel], &[f32::INFINITY], &mut tile);
        cols.iter().zip(tile[0][0]).for_each(|(&c, score)| show(c, score));
    }
}

/// What all blocks share.
struct Search<'a> {
    kernel: Kernel,
    queries: Dense<'a>,
    items: Dense<'a>,
    panels: Option<Panels>,
    filter: &'a Filter<'a>,
}

impl Search<'_> {
    /// Queries with lists of what is allowed: only these are scored.
    fn listed(&self, first: usize, count: usize, allow: &Csr, best: &mut [Best]) {
        for (at, best) in best.iter_mut().enumerate().take(count) {
            let row = first + at;
            each_listed(self.kernel, &self.items, self.queries.row(row), allow.row(row).0, |col, score| {
                let col = col as usize;
                let allowed = self.filter.allowed.is_none_or(|mask| mask[col]);
                // The comparison with the floor leaves out NaN as well.
                if score != 0.0 && score >= best.floor() && allowed && !self.excluded(row, col) {
                    best.offer(score, col);
                }
            });
        }
    }

    fn block(&self, first: usize, count: usize, best: &mut [Best], control: &Control) -> Result<()> {
        let Some(panels) = &self.panels else { return Ok(()) };
        let d = self.items.n_cols;
        // Rounding of a sum of d products, and of the norms.
        let slack = 1.0 + 1e-6 + d as f64 * f64::from(f32::EPSILON);
        let mut active: Vec<(usize, f64)> = (0..count)
            .map(|at| (at, self.queries.norm(first + at) * slack))
            .filter(|&(_, norm)| norm > 0.0)
            .collect();
        let mut tiles = [Tile::<QUERIES>::default(); 2];
        let norms = panels.norms.chunks(2);
        let places = panels.ids.chunks(2 * ITEMS);
        for (number, ((lines, norms), ids)) in panels.values.chunks(2 * d).zip(norms).zip(places).enumerate()
        {
            if number % LOOK_EVERY == 0 {
                active.retain(|&(at, length)| length * norms[0] + TINY >= f64::from(best[at].floor()));
                if active.is_empty() {
                    break;
                }
                control.check()?;
            }
            // An odd last panel stands in for its second, where nobody looks.
            let two = [&lines[..d], &lines[lines.len() - d..]];
            for six in active.chunks(QUERIES) {
                // The last tile repeats its last query, for which nobody looks.
                let places: [usize; QUERIES] = std::array::from_fn(|i| six[i.min(six.len() - 1)].0);
                let rows = places.map(|at| self.queries.row(first + at));
                let floors = places.map(|at| best[at].floor());
                let hits = self.kernel.scores(rows, two, &floors, &mut tiles);
                for ((ids, hits), tile) in ids.chunks(ITEMS).zip(hits).zip(&tiles) {
                    for (i, &(at, _)) in six.iter().enumerate() {
                        let mut bits = hits[i];
                        while bits != 0 {
                            let lane = bits.trailing_zeros() as usize;
                            bits &= bits - 1;
                            let (id, score) = (ids[lane], tile[i][lane]);
                            if id >= 0 && !self.excluded(first + at, id as usize) {
                                best[at].offer(score, id as usize);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn excluded(&self, row: usize, col: usize) -> bool {
        self.filter.exclude.iter().any(|lists| lists.row(row).0.binary_search(&(col as i32)).is_ok())
    }
}

/// `history @ items`: the vectors of queries that have touched these items, row after row.
pub fn fold_in(history: &Csr, items: Dense<'_>, control: &Control) -> Result<Vec<f32>> {
    if history.n_cols() != items.n_rows {
        let problem = format!("must have {} columns, one for each vector of items", items.n_rows);
        return Err(Error::shape("history", problem, history.n_cols()));
    }
    let d = items.n_cols;
    let mut out = vec![0.0_f32; history.n_rows() * d];
    let rows = out.par_chunks_mut(d.max(1)).enumerate().with_min_len(64);
    rows.try_for_each(|(row, out)| {
        control.check()?;
        let (cols, values) = history.row(row);
        for (&c, &by) in cols.iter().zip(values) {
            out.iter_mut().zip(items.row(c as usize)).for_each(|(o, &v)| *o += by * v);
        }
        match out.iter().find(|o| !o.is_finite()) {
            Some(&bad) => {
                let problem = "a vector adds up beyond float32";
                Err(Error::overflow("history", problem, bad).at("row", row))
            }
            None => Ok(()),
        }
    })?;
    Ok(out)
}
