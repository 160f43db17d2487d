//! Many small ridge regressions over the rows of one table: what alternating least squares does all day.
//!
//! ```text
//! for each row w:      minimize Σ e_j (h_j·w)² − 2 Σ c_j h_j·w + wᵀGw + scale · Σ penalty_d w_d²
//!     over the rows h_j of the table that the data name
//! ```
//!
//! Rows are as wide as a multiple of sixteen, filled up with 0, so that every loop runs over whole lanes.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result, at_least_one};
use crate::pages::Zeroed;
use crate::simd::lanes::{LANES, Lane, Lanes, Work, run};
use crate::simd::{Level, prefetch};
use rayon::prelude::*;

/// Rows of the answer that one thread takes at once.
const BLOCK: usize = 16;
/// Rows of the table that are copied side by side before they are multiplied: 64 columns are 8 KiB.
const PANEL: usize = 32;
/// Rows of the table that are asked for ahead of their use.
const AHEAD: usize = 6;
/// Lanes of the table that stay in the second-level cache from one pass to the next: 256 KiB.
const NEAR: usize = 1 << 12;
/// A Gram matrix is added up in at most so many parts, whatever the number of threads.
const PARTS: usize = 32;
/// Rows of a Gram matrix that are added up in f32 before the sum is added to that in f64.
const PIECE: usize = 1024;
/// What must be left of a diagonal entry: below this the column depends on those before it.
const LEAST: f32 = 1e-6;

/// A dense matrix whose rows are filled up to whole lanes.
pub(crate) struct Table {
    n_rows: usize,
    lanes: usize,
    data: Zeroed<f32>,
}

impl Table {
    /// All 0, of at least `n_cols` columns.
    pub(crate) fn new(n_rows: usize, n_cols: usize) -> Self {
        let lanes = n_cols.div_ceil(LANES).max(1);
        Self { n_rows, lanes, data: Zeroed::new(n_rows * lanes * LANES) }
    }

    /// From rows of `n_cols` values.
    pub(crate) fn filled(values: &[f32], n_rows: usize, n_cols: usize) -> Self {
        let mut table = Self::new(n_rows, n_cols);
        for (row, values) in table.rows_mut().zip(values.chunks(n_cols.max(1))) {
            row[..n_cols].copy_from_slice(values);
        }
        table
    }

    pub(crate) fn width(&self) -> usize {
        self.lanes * LANES
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width()..(row + 1) * self.width()]
    }

    /// Calls `f` with every row and its number.
    pub(crate) fn for_each_row(&mut self, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
        let width = self.width();
        self.data.par_chunks_mut(width).enumerate().with_min_len(BLOCK).for_each(|(at, row)| f(at, row));
    }

    /// The sum of all squares.
    pub(crate) fn squares(&self) -> f64 {
        let rows = self.data.par_chunks(PIECE * LANES);
        let parts: Vec<f64> = rows.map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum()).collect();
        parts.iter().sum()
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let width = self.width();
        self.data.chunks_mut(width)
    }

    /// The first columns, row after row.
    pub(crate) fn columns(&self, n_cols: usize) -> Vec<f32> {
        let rows = self.data.chunks(self.width());
        rows.flat_map(|row| &row[..n_cols]).copied().collect()
    }

    /// `tableᵀ @ table` in f64, width × width.
    pub(crate) fn gram(&self, level: Level) -> Vec<f64> {
        let width = self.width();
        let part = self.n_rows.div_ceil(PARTS).next_multiple_of(PIECE).max(1);
        let parts = self.data.par_chunks(part * width).map(|rows| {
            let mut sum = vec![0.0_f64; width * width];
            let mut piece = vec![[0.0; LANES]; width * self.lanes];
            for rows in rows.chunks(PIECE * width) {
                piece.fill([0.0; LANES]);
                let squares = Squares { panel: rows.as_chunks().0, lanes: self.lanes, out: &mut piece };
                run(level, squares);
                sum.iter_mut().zip(piece.as_flattened()).for_each(|(s, &p)| *s += f64::from(p));
            }
            sum
        });
        let parts: Vec<Vec<f64>> = parts.collect();
        let mut total = vec![0.0; width * width];
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
        for i in 0..width {
            for j in 0..i {
                total[i * width + j] = total[j * width + i];
            }
        }
        total
    }
}

/// How a regression is solved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Solver {
    /// Exactly, by the Cholesky decomposition of the normal equations.
    Cholesky,
    /// So many steps of conjugate gradients from where the row stands (Takács et al., RecSys 2011).
    Cg(usize),
    /// Exactly in one subspace of so many columns after the other (iALS++, Rendle et al. 2021).
    Subspaces(usize),
}

impl Solver {
    /// By its name in Python; only the parameter of the one that is named counts.
    pub fn parse(name: &str, steps: usize, size: usize) -> Result<Self> {
        let (argument, given) = if name == "cg" { ("cg_steps", steps) } else { ("subspace_size", size) };
        if name != "cholesky" {
            at_least_one(&[(argument, given)])?;
        }
        match name {
            "cholesky" => Ok(Self::Cholesky),
            "cg" => Ok(Self::Cg(steps)),
            "ials++" => Ok(Self::Subspaces(size)),
            _ => Err(Error::choice("solver", name, &["cholesky", "cg", "ials++"])),
        }
    }
}

/// Refuses regularization that exceeds float32 once it has grown with the entries of a row of `x`, of which there are
/// `more` than it stores; names what is to blame.
pub(crate) fn penalties_fit(x: &Csr, more: f64, regs: &[(&str, f64)], nu: f64) -> Result<()> {
    let entries = x.longest_row() as f64 + more;
    let (growth, most) = (entries.max(1.0).powf(nu), f64::from(f32::MAX));
    if growth > most {
        let problem = format!("{entries:?} entries to the power of it exceed float32");
        return Err(Error::parameter("nu", problem, nu));
    }
    for &(name, reg) in regs {
        if reg * growth > most {
            let problem = format!("times {entries:?} entries to the power of nu={nu:?} it exceeds float32");
            return Err(Error::parameter(name, problem, reg));
        }
    }
    Ok(())
}

/// What the regressions of one side share.
pub(crate) struct Problem<'a> {
    /// Of the data, in errors.
    pub(crate) name: &'a str,
    pub(crate) table: &'a Table,
    /// Width × width, symmetric; empty stands for 0.
    pub(crate) gram: Vec<f32>,
    /// By column; 1 where the table is only filled up.
    pub(crate) penalties: Vec<f32>,
    pub(crate) solver: Solver,
    pub(crate) level: Level,
}

/// What a row adds: weights `e` and pulls `c` of its entries.
#[derive(Default)]
pub(crate) struct Terms {
    pub(crate) weights: Vec<f32>,
    pub(crate) pulls: Vec<f32>,
    /// Of the penalties.
    pub(crate) scale: f32,
}

impl Problem<'_> {
    /// Lanes of a block of columns that is solved at once; none with conjugate gradients.
    fn block(&self) -> usize {
        let lanes = self.table.lanes;
        match self.solver {
            Solver::Cg(_) => 0,
            Solver::Cholesky => lanes,
            Solver::Subspaces(size) => size.div_ceil(LANES).clamp(1, lanes),
        }
    }

    /// Solves for every row of `out`, which are those of `x`; `terms` says what a row of `x` stands for.
    pub(crate) fn solve(
        &self,
        x: &Csr,
        out: &mut Table,
        terms: impl Fn(&[i32], &[f32], &mut Terms) + Sync,
        control: &Control,
    ) -> Result<()> {
        let width = out.width();
        let blocks = out.data.par_chunks_mut(BLOCK * width).enumerate().with_max_len(1);
        blocks.try_for_each_init(
            || (Terms::default(), Scratch::new(self)),
            |(own, scratch), (block, rows)| {
                for (at, w) in rows.chunks_mut(width).enumerate() {
                    control.check()?;
                    let row = block * BLOCK + at;
                    let (cols, values) = x.row(row);
                    if cols.is_empty() {
                        w.fill(0.0);
                        continue;
                    }
                    own.weights.clear();
                    own.pulls.clear();
                    terms(cols, values, own);
                    // Whole fours for the loops.
                    own.weights.resize(cols.len().next_multiple_of(4), 0.0);
                    own.pulls.resize(cols.len().next_multiple_of(4), 0.0);
                    self.solve_row(cols, own, w.as_chunks_mut().0, scratch);
                    if let Some(&bad) = w.iter().find(|v| !v.is_finite()) {
                        let error = Error::overflow(self.name, "the factors of a row exceed float32", bad);
                        return Err(error.at("row", row).advise("take smaller values or settings"));
                    }
                }
                control.advance((rows.len() / width) as u64);
                Ok(())
            },
        )
    }

    fn solve_row(&self, cols: &[i32], terms: &Terms, w: &mut [Lane], scratch: &mut Scratch) {
        let Terms { weights, pulls, scale } = terms;
        let lanes = self.table.lanes;
        let row = Row {
            table: self.table.data.as_chunks().0,
            gram: self.gram.as_chunks().0,
            penalties: self.penalties.as_chunks().0,
            lanes,
            cols,
            weights,
            pulls,
            scale: *scale,
        };
        if let Solver::Cg(steps) = self.solver {
            run(self.level, Gradients { row, steps, w, scratch });
        } else {
            run(self.level, Subspaces { row, size: self.block(), w, scratch });
        }
    }
}

/// Memory of one thread.
struct Scratch {
    /// Of conjugate gradients: direction, its product, residual. Of subspaces: right side.
    vectors: [Vec<Lane>; 3],
    /// Of subspaces: the matrix, rows side by side, reciprocal diagonal, predictions.
    matrix: Vec<Lane>,
    panel: Vec<Lane>,
    diagonal: Vec<f32>,
    predictions: Vec<f32>,
}

impl Scratch {
    fn new(problem: &Problem<'_>) -> Self {
        let (lanes, size) = (problem.table.lanes, problem.block());
        let zeros = |n: usize| vec![[0.0; LANES]; n];
        Self {
            vectors: [zeros(lanes), zeros(lanes), zeros(lanes)],
            matrix: zeros(size * LANES * size),
            panel: zeros(PANEL * size),
            diagonal: vec![0.0; size * LANES],
            predictions: Vec::new(),
        }
    }
}

/// One regression.
#[derive(Clone, Copy)]
struct Row<'a> {
    table: &'a [Lane],
    gram: &'a [Lane],
    penalties: &'a [Lane],
    lanes: usize,
    cols: &'a [i32],
    weights: &'a [f32],
    pulls: &'a [f32],
    scale: f32,
}

#[inline(always)]
fn dot<L: Lanes>(a: &[Lane], b: &[Lane]) -> f32 {
    let b = &b[..a.len()];
    let mut sum = L::splat(0.0);
    for c in 0..a.len() {
        sum = sum.add_product(L::load(&a[c]), L::load(&b[c]));
    }
    L::totals([sum; 4])[0]
}

/// `y += by · x`.
#[inline(always)]
fn add<L: Lanes>(y: &mut [Lane], by: f32, x: &[Lane]) {
    let (x, by) = (&x[..y.len()], L::splat(by));
    for c in 0..y.len() {
        L::load(&y[c]).add_product(by, L::load(&x[c])).store(&mut y[c]);
    }
}

/// `to = by · x`.
#[inline(always)]
fn scale<L: Lanes>(to: &mut [Lane], by: f32, x: &[Lane]) {
    let (x, by) = (&x[..to.len()], L::splat(by));
    for c in 0..to.len() {
        by.times(L::load(&x[c])).store(&mut to[c]);
    }
}

/// `y += Σ by_r · x_r`.
#[inline(always)]
fn add_four<L: Lanes>(y: &mut [Lane], by: [f32; 4], x: [&[Lane]; 4]) {
    let n = y.len();
    let [a, b, c, d] = x;
    let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
    let (e, f, g, h) = (L::splat(by[0]), L::splat(by[1]), L::splat(by[2]), L::splat(by[3]));
    for i in 0..n {
        let low = L::load(&y[i]).add_product(e, L::load(&a[i])).add_product(f, L::load(&b[i]));
        let high = g.times(L::load(&c[i])).add_product(h, L::load(&d[i]));
        low.plus(high).store(&mut y[i]);
    }
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn at(&self, index: usize) -> &'a [Lane] {
        let start = self.cols[index] as usize * self.lanes;
        &self.table[start..start + self.lanes]
    }

    #[inline(always)]
    fn prefetch(&self, index: usize, from: usize, lanes: usize) {
        if index < self.cols.len() {
            prefetch(&self.at(index)[from..from + lanes], lanes);
        }
    }

    /// `y += Σ (by · c_j − e_j h_j·w) h_j`, every row of the table read once.
    #[inline(always)]
    fn pull<L: Lanes>(&self, w: &[Lane], by: f32, y: &mut [Lane]) {
        let (n, lanes) = (self.cols.len(), self.lanes);
        // Only the first pass has a `by`; those after it find the rows near.
        let far = by != 0.0 || n * lanes > NEAR;
        let (w, y) = (&w[..lanes], &mut y[..lanes]);
        let mut at = 0;
        while at < n {
            let eight = n - at > 4;
            if far {
                for next in 0..if eight { 8 } else { 4 } {
                    self.prefetch(at + AHEAD + next, 0, lanes);
                }
            }
            // Two times four, so that the sums of one are added up while those of the other are made.
            let (a, low) = self.pull_of_four::<L>(at, w, by);
            if eight {
                let (b, high) = self.pull_of_four::<L>(at + 4, w, by);
                add_four::<L>(y, low, a);
                add_four::<L>(y, high, b);
                at += 8;
            } else {
                add_four::<L>(y, low, a);
                at += 4;
            }
        }
    }

    /// Four rows, and by how much each pulls; past the end the last row, with 0.
    #[inline(always)]
    fn pull_of_four<L: Lanes>(&self, at: usize, w: &[Lane], by: f32) -> ([&'a [Lane]; 4], [f32; 4]) {
        let last = self.cols.len() - 1;
        let rows =
            [self.at(at), self.at(last.min(at + 1)), self.at(last.min(at + 2)), self.at(last.min(at + 3))];
        let mut sums = [L::splat(0.0); 4];
        for c in 0..w.len() {
            let w = L::load(&w[c]);
            for r in 0..4 {
                sums[r] = sums[r].add_product(w, L::load(&rows[r][c]));
            }
        }
        let sums = L::totals(sums);
        let (weights, pulls) = (&self.weights[at..at + 4], &self.pulls[at..at + 4]);
        let mut factors = [0.0; 4];
        for r in 0..4 {
            factors[r] = by * pulls[r] - weights[r] * sums[r];
        }
        (rows, factors)
    }

    /// `y -= (G + scale · penalties) w`, of the columns from `from` on.
    #[inline(always)]
    fn hold<L: Lanes>(&self, w: &[Lane], from: usize, y: &mut [Lane]) {
        let (lanes, size) = (self.lanes, y.len());
        for c in 0..size {
            let by = L::splat(-self.scale).times(L::load(&self.penalties[from + c]));
            L::load(&y[c]).add_product(by, L::load(&w[from + c])).store(&mut y[c]);
        }
        if self.gram.is_empty() {
            return;
        }
        for c in 0..lanes {
            for four in 0..LANES / 4 {
                let w = &w[c].as_chunks::<4>().0[four];
                let first = (c * LANES + four * 4) * lanes + from;
                let g = &self.gram[first..first + 3 * lanes + size];
                let rows = [&g[..size], &g[lanes..], &g[2 * lanes..], &g[3 * lanes..]];
                add_four::<L>(y, [-w[0], -w[1], -w[2], -w[3]], rows);
            }
        }
    }
}

/// Conjugate gradients.
struct Gradients<'a> {
    row: Row<'a>,
    steps: usize,
    w: &'a mut [Lane],
    scratch: &'a mut Scratch,
}

impl Work for Gradients<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { row, steps, w, scratch } = self;
        let [p, q, r] = &mut scratch.vectors;
        r.fill([0.0; LANES]);
        let mut length = 0.0;
        for step in 0..=steps {
            // The residual b − A w at first, then q = −A p.
            if step == 0 {
                row.pull::<L>(w, 1.0, r);
                row.hold::<L>(w, 0, r);
                p.copy_from_slice(r);
                length = dot::<L>(r, r);
                continue;
            }
            q.fill([0.0; LANES]);
            row.pull::<L>(p, 0.0, q);
            row.hold::<L>(p, 0, q);
            let curvature = -dot::<L>(p, q);
            if !(length.is_finite() && curvature.is_finite()) {
                // Too large for float32, which must not pass for nothing left to do.
                w.fill([f32::NAN; LANES]);
                break;
            }
            let by = length / curvature;
            // Nothing is left to do where the residual is 0, or cannot be told from it.
            if !(by > 0.0 && by.is_finite()) {
                break;
            }
            add::<L>(w, by, p);
            add::<L>(r, by, q);
            let before = length;
            length = dot::<L>(r, r);
            let by = length / before;
            scale::<L>(q, by, p);
            add::<L>(q, 1.0, r);
            p.copy_from_slice(q);
        }
    }
}

/// One block of columns after the other; all columns at once are Cholesky.
struct Subspaces<'a> {
    row: Row<'a>,
    /// Lanes of a block.
    size: usize,
    w: &'a mut [Lane],
    scratch: &'a mut Scratch,
}

impl Work for Subspaces<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { row, size, w, scratch } = self;
        let (n, whole) = (row.cols.len(), size == row.lanes);
        let Scratch { vectors: [b, ..], matrix, panel, diagonal, predictions } = scratch;
        predictions.clear();
        predictions.resize(n, 0.0);
        if whole {
            w.fill([0.0; LANES]);
        } else {
            for (j, prediction) in predictions.iter_mut().enumerate() {
                row.prefetch(j + AHEAD, 0, row.lanes);
                *prediction = dot::<L>(row.at(j), w);
            }
        }
        let mut from = 0;
        while from < row.lanes {
            let size = size.min(row.lanes - from);
            let (b, matrix) = (&mut b[..size], &mut matrix[..size * LANES * size]);
            let diagonal = &mut diagonal[..size * LANES];
            b.fill([0.0; LANES]);
            if !whole {
                row.hold::<L>(w, from, b);
            }
            start(&row, from, size, matrix);
            let mut first = 0;
            while first < n {
                let count = PANEL.min(n - first);
                for at in 0..count {
                    let j = first + at;
                    row.prefetch(j + AHEAD, from, size);
                    let h = &row.at(j)[from..from + size];
                    add::<L>(b, row.pulls[j] - row.weights[j] * predictions[j], h);
                    scale::<L>(&mut panel[at * size..(at + 1) * size], row.weights[j].sqrt(), h);
                }
                add_squares::<L>(&panel[..count * size], size, matrix);
                first += count;
            }
            decompose::<L>(matrix, size, diagonal);
            substitute::<L>(matrix, size, diagonal, b);
            add::<L>(&mut w[from..from + size], 1.0, b);
            if from + size < row.lanes {
                for (j, prediction) in predictions.iter_mut().enumerate() {
                    *prediction += dot::<L>(&row.at(j)[from..from + size], b);
                }
            }
            from += size;
        }
    }
}

/// The Gram matrix and the penalties of a block of columns.
#[inline(always)]
fn start(row: &Row<'_>, from: usize, size: usize, matrix: &mut [Lane]) {
    for i in 0..size * LANES {
        let to = &mut matrix[i * size..(i + 1) * size];
        if row.gram.is_empty() {
            to.fill([0.0; LANES]);
        } else {
            let start = (from * LANES + i) * row.lanes + from;
            to.copy_from_slice(&row.gram[start..start + size]);
        }
        to[i / LANES][i % LANES] += row.scale * row.penalties[from + i / LANES][i % LANES];
    }
}

/// Four rows by sixteen columns of the sum of the outer squares of the panel's rows.
#[inline(always)]
fn tile<L: Lanes>(panel: &[Lane], lanes: usize, four: usize, col: usize) -> [L; 4] {
    let mut sums = [L::splat(0.0); 4];
    let (lane, part) = (four / 4, four % 4);
    let mut start = 0;
    while start + lanes <= panel.len() {
        let row = &panel[start..start + lanes];
        let left = &row[lane].as_chunks::<4>().0[part];
        let right = L::load(&row[col]);
        for i in 0..4 {
            sums[i] = sums[i].add_product(L::splat(left[i]), right);
        }
        start += lanes;
    }
    sums
}

/// `out += panelᵀ @ panel`: on and above the diagonal, and what shares its tiles.
#[inline(always)]
fn add_squares<L: Lanes>(panel: &[Lane], lanes: usize, out: &mut [Lane]) {
    for col in 0..lanes {
        for four in 0..(col + 1) * 4 {
            let sums = tile::<L>(panel, lanes, four, col);
            for i in 0..4 {
                let to = &mut out[(four * 4 + i) * lanes + col];
                sums[i].plus(L::load(to)).store(to);
            }
        }
    }
}

/// [`add_squares`] alone.
struct Squares<'a> {
    panel: &'a [Lane],
    lanes: usize,
    out: &'a mut [Lane],
}

impl Work for Squares<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { panel, lanes, out } = self;
        let mut start = 0;
        while start < panel.len() {
            let end = panel.len().min(start + PANEL * lanes);
            add_squares::<L>(&panel[start..end], lanes, out);
            start = end;
        }
    }
}

/// The upper triangle u with uᵀu = a, sixteen rows at a time; `inverse` gets the reciprocals of its diagonal.
///
/// A column that all but depends on those before it gets a 0 there and no part in the solution.
#[inline(always)]
fn decompose<L: Lanes>(a: &mut [Lane], lanes: usize, inverse: &mut [f32]) {
    for block in 0..lanes {
        let first = block * LANES;
        let (done, rest) = a.split_at_mut(first * lanes);
        let rows = &mut rest[..LANES * lanes];
        let mut whole = [0.0; LANES];
        for i in 0..LANES {
            whole[i] = rows[i * lanes + block][i];
        }
        for col in block..lanes {
            for four in 0..4 {
                let sums = tile::<L>(done, lanes, block * 4 + four, col);
                for i in 0..4 {
                    let to = &mut rows[(four * 4 + i) * lanes + col];
                    L::load(to).add_product(L::splat(-1.0), sums[i]).store(to);
                }
            }
        }
        for k in 0..LANES {
            let (above, below) = rows.split_at_mut((k + 1) * lanes);
            let row = &mut above[k * lanes + block..(k + 1) * lanes];
            let pivot = row[0][k];
            let fine = pivot > LEAST * whole[k] && pivot > f32::MIN_POSITIVE;
            let by = if fine { 1.0 / pivot.sqrt() } else { 0.0 };
            inverse[first + k] = by;
            for lane in row.iter_mut() {
                L::splat(by).times(L::load(lane)).store(lane);
            }
            row[0][..k].fill(0.0);
            for i in k + 1..LANES {
                let start = (i - k - 1) * lanes + block;
                add::<L>(&mut below[start..start + row.len()], -row[0][i], row);
            }
        }
    }
}

/// Solves uᵀu x = b in place.
#[inline(always)]
fn substitute<L: Lanes>(u: &[Lane], lanes: usize, inverse: &[f32], b: &mut [Lane]) {
    for k in 0..lanes * LANES {
        let (lane, at) = (k / LANES, k % LANES);
        let z = b[lane][at] * inverse[k];
        add::<L>(&mut b[lane..], -z, &u[k * lanes + lane..(k + 1) * lanes]);
        b[lane][at] = z;
    }
    for k in (0..lanes * LANES).rev() {
        let (lane, at) = (k / LANES, k % LANES);
        let z = b[lane][at];
        // What stands left of the diagonal is 0; the diagonal itself is taken out.
        b[lane][at] = 0.0;
        let sum = dot::<L>(&u[k * lanes + lane..(k + 1) * lanes], &b[lane..]);
        b[lane][at] = (z - sum) * inverse[k];
    }
}
