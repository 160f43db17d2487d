//! SLIM: item-item weights that predict the users' histories, most of them 0 (Ning & Karypis, ICDM 2011).
//!
//! Every item j is a regression of its own, ½‖x_j − Xw‖² + ½ l2 ‖w‖² + l1 ‖w‖₁ with w_j = 0, and sees the users
//! through G = XᵀX alone.
//!
//! ```text
//! for each item j:
//!     C = the items that may speak for j
//!     W = those of C whose weight a first step would change most
//!     loop:
//!         coordinate descent over W                      # on the piece of G that belongs to W, from the cache
//!         r = G_j − G w                                  # only the rows of G that have a weight
//!         if no step over C is longer than tol: done
//!         W += those of C with the longest steps
//!     keep the k largest of w
//! ```

use crate::control::Control;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::gram::{Row, rows};
use crate::simd::{Isa, Job, Level, dispatch};
use crate::stateless::mix;
use rayon::prelude::*;

/// The objective, and when it is minimal enough.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Weight of `Σ |w|`, at least 0.
    pub l1: f64,
    /// Weight of `½ Σ w²`, at least 0.
    pub l2: f64,
    /// No weight may be below 0.
    pub positive: bool,
    /// An item is done when no step of coordinate descent would change a weight by more than this; above 0.
    pub tol: f64,
    /// Passes of coordinate descent over the working set of an item, at most.
    pub max_iter: usize,
    /// Weights kept for each item, those of greatest magnitude.
    pub k: usize,
}

/// What was learned.
pub struct Slim {
    /// Items × items: entry (i, j) is what a history's i says for j.
    pub weights: Csr,
    /// Items that were not done after `max_iter` passes.
    pub unfinished: usize,
}

/// Items that join the working set at a time, at least.
const JOIN: usize = 64;
/// Passes before others may join again.
const HASTY: usize = 4;

/// Fits the weights; `candidates` (items × items, values ignored) names in row j the items that may speak for j.
/// By default every item may.
pub fn slim(x: &Csr, candidates: Option<&Csr>, settings: Settings, control: &Control) -> Result<Slim> {
    let n = x.n_cols();
    check(settings)?;
    if let Some(c) = candidates.filter(|c| (c.n_rows(), c.n_cols()) != (n, n)) {
        let problem = format!("must have shape {:?}, columns × columns of x", (n, n));
        return Err(Error::shape("candidates", problem, (c.n_rows(), c.n_cols())));
    }
    control.start(n as u64);
    let gram = rows(x, control)?;
    let problem = Problem::new(&gram, candidates, settings);
    if let Some(&square) = problem.diagonal.iter().find(|square| !square.is_finite()) {
        return Err(Error::overflow("x", "values too large: a squared length exceeds float32", square));
    }
    let solve = |scratch: &mut Scratch, item: usize| {
        let solved = problem.solve(item, scratch, control)?;
        control.advance(1);
        Ok(solved)
    };
    let columns: Result<Vec<Column>> =
        (0..n).into_par_iter().with_max_len(1).map_init(|| Scratch::new(n), solve).collect();
    let columns = columns?;
    let nnz = columns.iter().map(|c| c.items.len()).sum();
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::with_capacity(nnz), Vec::with_capacity(nnz));
    for column in &columns {
        indices.extend_from_slice(&column.items);
        values.extend_from_slice(&column.weights);
        indptr.push(indices.len() as i64);
    }
    let unfinished = columns.iter().filter(|c| !c.finished).count();
    Ok(Slim { weights: Csr::trusted(indptr, indices, values, n).transpose(), unfinished })
}

fn check(settings: Settings) -> Result<()> {
    for (name, value) in [("l1", settings.l1), ("l2", settings.l2)] {
        if !(value >= 0.0 && value <= f64::from(f32::MAX)) {
            return Err(Error::parameter(name, "must be at least 0 and finite in float32", value));
        }
    }
    if !(settings.tol > 0.0 && settings.tol.is_finite()) {
        return Err(Error::parameter("tol", "must be above 0 and finite", settings.tol));
    }
    Ok(())
}

/// The weights of the items that speak for one item, ascending.
struct Column {
    items: Vec<i32>,
    weights: Vec<f32>,
    finished: bool,
}

struct Problem<'a> {
    gram: &'a [Row],
    diagonal: Vec<f32>,
    candidates: Option<&'a Csr>,
    step: Step,
    tol: f32,
    max_iter: usize,
    k: usize,
    level: Level,
}

/// One step of coordinate descent.
#[derive(Clone, Copy)]
struct Step {
    l1: f32,
    l2: f32,
    positive: bool,
}

impl Step {
    /// The best weight where all others stay: `r` is what the items with a weight leave of `⟨x_i, x_j⟩`.
    #[inline(always)]
    fn to(self, r: f32, weight: f32, square: f32) -> f32 {
        let free = r + weight * square;
        let size = free.abs() - self.l1;
        if size <= 0.0 || (self.positive && free < 0.0) || square <= 0.0 {
            return 0.0;
        }
        size.copysign(free) / (square + self.l2)
    }

    /// The length of the step from 0; below 0 as far as it is from one.
    #[inline(always)]
    fn pull(self, r: f32, square: f32) -> f32 {
        if square <= 0.0 {
            return f32::MIN;
        }
        let r = if self.positive { r } else { r.abs() };
        (r - self.l1) / (square + self.l2)
    }
}

/// What a thread needs for the item at hand.
struct Scratch {
    /// What the items with a weight leave of `⟨x_i, x_j⟩`, for every item.
    left: Vec<f32>,
    /// Place of an item in the working set, plus 1.
    places: Vec<u32>,
    candidates: Vec<i32>,
    joining: Vec<(f32, i32)>,
    set: Working,
}

impl Scratch {
    fn new(n: usize) -> Self {
        Self {
            left: vec![0.0; n],
            places: vec![0; n],
            candidates: Vec::new(),
            joining: Vec::new(),
            set: Working::default(),
        }
    }
}

/// The working set: its items, and their piece of the problem.
#[derive(Default)]
struct Working {
    items: Vec<i32>,
    /// In which order the next pass visits them.
    order: Vec<u32>,
    weights: Vec<f32>,
    left: Vec<f32>,
    squares: Vec<f32>,
    /// Row after row, `stride` apart.
    gram: Vec<f32>,
    stride: usize,
}

impl<'a> Problem<'a> {
    fn new(gram: &'a [Row], candidates: Option<&'a Csr>, settings: Settings) -> Self {
        let square = |(i, row): (usize, &Row)| match row {
            Row::Dense(values) => values[i],
            Row::Sparse(cols, values) => cols.binary_search(&(i as i32)).map_or(0.0, |at| values[at]),
        };
        Self {
            gram,
            diagonal: gram.iter().enumerate().map(square).collect(),
            candidates,
            step: Step { l1: settings.l1 as f32, l2: settings.l2 as f32, positive: settings.positive },
            tol: settings.tol as f32,
            max_iter: settings.max_iter,
            k: settings.k,
            level: Level::current(),
        }
    }

    fn solve(&self, item: usize, scratch: &mut Scratch, control: &Control) -> Result<Column> {
        self.collect_candidates(item, &mut scratch.candidates);
        scratch.set.clear();
        let mut passes = self.max_iter;
        let finished = loop {
            control.check()?;
            self.leave(item, scratch);
            let settled = scratch.set.refresh(&scratch.left, self.step, self.tol);
            let joined = self.join(scratch);
            if !joined && settled {
                break true;
            }
            if passes == 0 {
                break false;
            }
            // While others join there is no use in being exact.
            let mut rest = if joined { passes.min(HASTY) } else { passes };
            passes -= rest;
            while rest > 0 {
                rest -= 1;
                control.check()?;
                scratch.set.shuffle((item as u64) << 32 | (passes + rest) as u64);
                let Working { order, weights, left, squares, gram, stride, .. } = &mut scratch.set;
                let pass = Pass { step: self.step, order, weights, left, squares, gram, stride: *stride };
                if dispatch(self.level, pass) <= self.tol {
                    break;
                }
            }
            passes += rest;
        };
        scratch.set.items.iter().for_each(|&i| scratch.places[i as usize] = 0);
        Ok(self.largest(&scratch.set, finished))
    }

    /// The items that may speak for this one. One that shares no user with it cannot get a positive weight.
    fn collect_candidates(&self, item: usize, out: &mut Vec<i32>) {
        out.clear();
        let others = |i: &i32| *i as usize != item;
        match (self.candidates, &self.gram[item]) {
            (Some(lists), _) => out.extend(lists.row(item).0.iter().copied().filter(others)),
            (None, Row::Sparse(cols, _)) if self.step.positive => {
                out.extend(cols.iter().copied().filter(others));
            }
            _ => out.extend((0..self.gram.len() as i32).filter(others)),
        }
    }

    /// `left = G_item − G w`.
    fn leave(&self, item: usize, scratch: &mut Scratch) {
        let Scratch { left, set, .. } = scratch;
        match &self.gram[item] {
            Row::Dense(values) => left.copy_from_slice(values),
            Row::Sparse(cols, values) => {
                left.fill(0.0);
                cols.iter().zip(values).for_each(|(&c, &v)| left[c as usize] = v);
            }
        }
        // Dense rows four at a time: a pass over `left` costs more than the multiplication.
        let mut four: [(&[f32], f32); 4] = [(&[], 0.0); 4];
        let mut waiting = 0;
        for (&i, &weight) in set.items.iter().zip(&set.weights).filter(|e| *e.1 != 0.0) {
            match &self.gram[i as usize] {
                Row::Dense(values) => {
                    four[waiting] = (values, weight);
                    waiting += 1;
                    if waiting == 4 {
                        dispatch(self.level, Subtract { from: left, rows: four });
                        waiting = 0;
                    }
                }
                Row::Sparse(cols, values) => {
                    for (&c, &v) in cols.iter().zip(values) {
                        left[c as usize] -= weight * v;
                    }
                }
            }
        }
        if waiting > 0 {
            let first = four[0].0;
            four[waiting..].fill((first, 0.0));
            dispatch(self.level, Subtract { from: left, rows: four });
        }
    }

    /// Takes the candidates that would move most into the working set; whether there are any.
    fn join(&self, scratch: &mut Scratch) -> bool {
        let Scratch { left, places, candidates, joining, set } = scratch;
        joining.clear();
        let mut movers = 0;
        for &i in &*candidates {
            let at = i as usize;
            if places[at] == 0 {
                let pull = self.step.pull(left[at], self.diagonal[at]);
                movers += usize::from(pull > self.tol);
                joining.push((pull, i));
            }
        }
        if movers == 0 {
            return false;
        }
        // Those that would not move yet come too, where there is room: the moves of others make them.
        let room = (2 * movers).clamp(JOIN, JOIN.max(set.items.len()));
        if joining.len() > room {
            joining.select_nth_unstable_by(room - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            joining.truncate(room);
        }
        joining.sort_unstable_by_key(|e| e.1);
        let before = set.items.len();
        for &(_, i) in &*joining {
            set.order.push(set.items.len() as u32);
            set.items.push(i);
            set.weights.push(0.0);
            set.left.push(left[i as usize]);
            set.squares.push(self.diagonal[i as usize]);
            places[i as usize] = set.items.len() as u32;
        }
        set.widen(before);
        for at in before..set.items.len() {
            set.gather(at, before, &self.gram[set.items[at] as usize], places);
        }
        true
    }

    fn largest(&self, set: &Working, finished: bool) -> Column {
        let mut kept: Vec<(i32, f32)> =
            set.items.iter().copied().zip(set.weights.iter().copied()).filter(|e| e.1 != 0.0).collect();
        if kept.len() > self.k {
            kept.sort_unstable_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
            kept.truncate(self.k);
        }
        kept.sort_unstable_by_key(|e| e.0);
        let (items, weights) = kept.into_iter().unzip();
        Column { items, weights, finished }
    }
}

impl Working {
    fn clear(&mut self) {
        self.items.clear();
        self.order.clear();
        self.weights.clear();
        self.left.clear();
        self.squares.clear();
    }

    /// Another order. Popular items come in a row otherwise, and each undoes what the last has done: in a fixed
    /// order many items do not come to an end.
    fn shuffle(&mut self, seed: u64) {
        let mut state = mix(seed);
        for last in (1..self.order.len()).rev() {
            state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
            let other = (u128::from(state) * (last as u128 + 1)) >> 64;
            self.order.swap(last, other as usize);
        }
    }

    /// What the passes have left, computed afresh; whether no step is longer than `tol`.
    fn refresh(&mut self, all: &[f32], step: Step, tol: f32) -> bool {
        let mut settled = true;
        for (at, &i) in self.items.iter().enumerate() {
            self.left[at] = all[i as usize];
            let moved = step.to(self.left[at], self.weights[at], self.squares[at]) - self.weights[at];
            settled &= moved.abs() <= tol;
        }
        settled
    }

    /// Room in the matrix for the items that came after the first `before`.
    fn widen(&mut self, before: usize) {
        let n = self.items.len();
        if n > self.stride {
            // An odd number of cache lines: the columns spread over the whole cache.
            let wider = ((n.next_power_of_two() / 16) | 1) * 16;
            let mut gram = vec![0.0; wider * wider];
            for row in 0..before {
                gram[row * wider..][..before].copy_from_slice(&self.gram[row * self.stride..][..before]);
            }
            (self.gram, self.stride) = (gram, wider);
        }
    }

    /// The row of the matrix at `at`, and its columns in the rows of the first `before` items.
    fn gather(&mut self, at: usize, before: usize, row: &Row, places: &[u32]) {
        let out = &mut self.gram[at * self.stride..][..self.items.len()];
        match row {
            Row::Dense(values) => {
                out.iter_mut().zip(&self.items).for_each(|(slot, &i)| *slot = values[i as usize]);
            }
            Row::Sparse(cols, values) => {
                out.fill(0.0);
                for (&c, &v) in cols.iter().zip(values) {
                    let place = places[c as usize] as usize;
                    if place > 0 {
                        out[place - 1] = v;
                    }
                }
            }
        }
        for other in 0..before {
            self.gram[other * self.stride + at] = self.gram[at * self.stride + other];
        }
    }
}

/// One pass of coordinate descent over the working set; gives the longest step.
struct Pass<'a> {
    step: Step,
    order: &'a [u32],
    weights: &'a mut [f32],
    left: &'a mut [f32],
    squares: &'a [f32],
    gram: &'a [f32],
    stride: usize,
}

impl Job for Pass<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) -> f32 {
        let n = self.weights.len();
        let mut longest = 0.0_f32;
        for &at in self.order {
            let at = at as usize;
            let weight = self.weights[at];
            let moved = self.step.to(self.left[at], weight, self.squares[at]) - weight;
            if moved != 0.0 {
                self.weights[at] = weight + moved;
                let row = &self.gram[at * self.stride..][..n];
                let left = &mut self.left[..n];
                for i in 0..n {
                    left[i] -= moved * row[i];
                }
                longest = longest.max(moved.abs());
            }
        }
        longest
    }
}

/// `from -= Σ weight · row`, four rows in one pass.
struct Subtract<'a> {
    from: &'a mut [f32],
    rows: [(&'a [f32], f32); 4],
}

impl Job for Subtract<'_> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let n = self.from.len();
        let [(a, p), (b, q), (c, r), (d, s)] = self.rows;
        let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
        for i in 0..n {
            self.from[i] -= (p * a[i] + q * b[i]) + (r * c[i] + s * d[i]);
        }
    }
}
