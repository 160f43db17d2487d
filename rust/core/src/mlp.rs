//! Scores of pairs by a small neural network, without the library that trained it.
//!
//! ```text
//! for each 16 pairs:                              # side by side in the lanes; all of it in the first-level cache
//!     x = scaled columns, marks of what is missing, embeddings
//!     for each cross layer:   x = x₀ ⊙ (W x + b) + x     # DCN-v2 (Wang et al., WWW 2021)
//!     for each hidden layer:  x = max(0, W x + b)        # six outputs × 16 pairs at once, in registers
//!     score = σ(w·x + b)
//! ```
//!
//! Columns arrive one by one, so that sixteen pairs of a column lie side by side and nothing is transposed. Every
//! sum is one chain over the inputs in their order: the same bits for any batch and any number of threads.

use crate::control::Control;
use crate::csr::Buf;
use crate::error::{Error, Result};
use crate::simd::Level;
use crate::simd::tile::{ITEMS, Kernel, Line, QUERIES, Tile};
use rayon::prelude::*;

/// Pairs that one thread scores before it looks up.
const BLOCK: usize = 64 * ITEMS;
/// At least every score reaches its floor.
const NO_FLOOR: [f32; QUERIES] = [f32::NEG_INFINITY; QUERIES];

/// What happens to a column of numbers: `(v − mean) · scale`, not further than `clip` from 0; what is missing is 0.
pub struct Scaling {
    /// Of each column.
    pub mean: Vec<f32>,
    /// One over the standard deviation of each column.
    pub scale: Vec<f32>,
    /// Greatest distance from 0 after scaling.
    pub clip: f32,
    /// The columns for which "missing" is an input of its own.
    pub marked: Vec<u32>,
}

/// Vectors of a category.
pub struct Embedding {
    /// The row of each code; unknown codes have row 0.
    lookup: Buf<i32>,
    rows: Buf<f32>,
    width: usize,
}

impl Embedding {
    /// Checks that every code's row is there; `rows` holds whole rows of `width` finite values.
    pub fn new(lookup: Buf<i32>, rows: Buf<f32>, width: usize) -> Result<Self> {
        let n_rows = rows.len().checked_div(width).unwrap_or(0);
        if n_rows == 0 || n_rows * width != rows.len() {
            return Err(Error::shape("embeddings", format!("must be whole rows of {width}"), rows.len()));
        }
        if let Some(&row) = lookup.iter().find(|&&row| row < 0 || row as usize >= n_rows) {
            return Err(Error::layout("embeddings", format!("rows must be in 0..{n_rows}"), row));
        }
        finite("embeddings", &rows)?;
        Ok(Self { lookup, rows, width })
    }

    #[inline]
    fn row(&self, code: i32) -> &[f32] {
        let row =
            usize::try_from(code).ok().and_then(|code| self.lookup.get(code)).map_or(0, |&row| row as usize);
        &self.rows[row * self.width..(row + 1) * self.width]
    }
}

/// `W x + b`; rows of zeros fill up the last six.
struct Layer {
    inputs: usize,
    outputs: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn new(name: &str, inputs: usize, weights: &[f32], bias: &[f32]) -> Result<Self> {
        let outputs = bias.len();
        if outputs == 0 || inputs.checked_mul(outputs) != Some(weights.len()) {
            let problem = format!("weights must be {outputs} rows of {inputs}");
            return Err(Error::shape(name, problem, weights.len()));
        }
        finite(name, weights)?;
        finite(name, bias)?;
        let padded = outputs.next_multiple_of(QUERIES);
        let (mut weights, mut bias) = (weights.to_vec(), bias.to_vec());
        weights.resize(padded * inputs, 0.0);
        bias.resize(padded, 0.0);
        Ok(Self { inputs, outputs, weights, bias })
    }

    /// Fills `out`, which has room for whole sixes.
    #[inline]
    fn apply(&self, kernel: Kernel, x: &[Line], out: &mut [Line]) {
        let x = &x[..self.inputs];
        let mut tile = [Tile::<QUERIES>::default()];
        let groups = self.weights.chunks_exact(QUERIES * self.inputs);
        for ((rows, bias), out) in
            groups.zip(self.bias.chunks_exact(QUERIES)).zip(out.chunks_exact_mut(QUERIES))
        {
            let row = |q: usize| &rows[q * self.inputs..(q + 1) * self.inputs];
            kernel.scores([row(0), row(1), row(2), row(3), row(4), row(5)], [x], &NO_FLOOR, &mut tile);
            for q in 0..QUERIES {
                for lane in 0..ITEMS {
                    out[q][lane] = tile[0][q][lane] + bias[q];
                }
            }
        }
    }
}

fn finite(name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::values(name, "values must be finite", values[at]).at("position", at)),
        None => Ok(()),
    }
}

/// The columns of some pairs, all of one length.
pub struct Pairs<'a> {
    /// Numbers, NaN where one is missing.
    pub columns: &'a [&'a [f32]],
    /// Categories; −1 where one is missing.
    pub codes: &'a [&'a [i32]],
    /// How many pairs.
    pub len: usize,
}

/// A trained network, frozen.
pub struct Mlp {
    scaling: Scaling,
    embeddings: Vec<Embedding>,
    crosses: Vec<Layer>,
    hidden: Vec<Layer>,
    last: Layer,
    sigmoid: bool,
    inputs: usize,
}

/// `(weights, bias)` of a layer: weights output after output.
pub type Weights<'a> = (&'a [f32], &'a [f32]);

impl Mlp {
    /// Checks that the parts fit together and that every weight is finite. The last of `layers` gives the score.
    pub fn new(
        scaling: Scaling,
        embeddings: Vec<Embedding>,
        crosses: &[Weights<'_>],
        layers: &[Weights<'_>],
        sigmoid: bool,
    ) -> Result<Self> {
        let n = scaling.mean.len();
        if scaling.scale.len() != n {
            return Err(Error::shape(
                "scale",
                format!("must have length {n} like mean"),
                scaling.scale.len(),
            ));
        }
        finite("mean", &scaling.mean)?;
        finite("scale", &scaling.scale)?;
        if scaling.clip.is_nan() || scaling.clip <= 0.0 {
            return Err(Error::parameter("clip", "must be above 0", scaling.clip));
        }
        if let Some(&at) = scaling.marked.iter().find(|&&at| at as usize >= n) {
            return Err(Error::layout("marked", format!("columns must be in 0..{n}"), at as usize));
        }
        let inputs = n + scaling.marked.len() + embeddings.iter().map(|e| e.width).sum::<usize>();
        let mut square = Vec::with_capacity(crosses.len());
        for (weights, bias) in crosses {
            if bias.len() != inputs {
                let problem = format!("each must have as many outputs as there are inputs, {inputs}");
                return Err(Error::shape("crosses", problem, bias.len()));
            }
            square.push(Layer::new("crosses", inputs, weights, bias)?);
        }
        let mut stack = Vec::with_capacity(layers.len());
        let mut width = inputs;
        for (weights, bias) in layers {
            stack.push(Layer::new("layers", width, weights, bias)?);
            width = bias.len();
        }
        let Some(last) = stack.pop().filter(|last| last.outputs == 1) else {
            return Err(Error::shape("layers", "the last must have one output", width));
        };
        Ok(Self { scaling, embeddings, crosses: square, hidden: stack, last, sigmoid, inputs })
    }

    /// The score of every pair.
    pub fn score(&self, pairs: &Pairs<'_>, control: &Control) -> Result<Vec<f32>> {
        self.score_at(Level::current(), pairs, control)
    }

    /// [`Mlp::score`] on a given instruction set.
    pub fn score_at(&self, level: Level, pairs: &Pairs<'_>, control: &Control) -> Result<Vec<f32>> {
        let columns = ("columns", self.scaling.mean.len(), pairs.columns.iter().map(|c| c.len()).collect());
        let codes = ("codes", self.embeddings.len(), pairs.codes.iter().map(|c| c.len()).collect());
        for (name, expected, lengths) in [columns, codes] {
            let lengths: Vec<usize> = lengths;
            if lengths.len() != expected {
                return Err(Error::shape(name, format!("must be {expected}"), lengths.len()));
            }
            if let Some(&len) = lengths.iter().find(|&&len| len != pairs.len) {
                let problem = format!("each must have length {}, one value for each pair", pairs.len);
                return Err(Error::shape(name, problem, len));
            }
        }
        control.start(pairs.len as u64);
        let kernel = Kernel::new(level);
        let mut scores = vec![0.0; pairs.len];
        let blocks = scores.par_chunks_mut(BLOCK).enumerate();
        blocks.try_for_each_init(
            || Scratch::new(self),
            |scratch, (block, scores)| {
                control.check()?;
                for (at, scores) in scores.chunks_mut(ITEMS).enumerate() {
                    self.sixteen(kernel, pairs, block * BLOCK + at * ITEMS, scratch, scores);
                }
                control.advance(scores.len() as u64);
                Ok(())
            },
        )?;
        Ok(scores)
    }

    /// The scores of the pairs from `start` on, at most 16.
    fn sixteen(
        &self,
        kernel: Kernel,
        pairs: &Pairs<'_>,
        start: usize,
        scratch: &mut Scratch,
        scores: &mut [f32],
    ) {
        let Scratch { first, x, y } = scratch;
        self.read(pairs, start, scores.len(), first);
        x[..self.inputs].copy_from_slice(&first[..self.inputs]);
        for layer in &self.crosses {
            layer.apply(kernel, x, y);
            for at in 0..self.inputs {
                for lane in 0..ITEMS {
                    x[at][lane] += first[at][lane] * y[at][lane];
                }
            }
        }
        for layer in &self.hidden {
            layer.apply(kernel, x, y);
            for out in &mut y[..layer.outputs] {
                for v in out.iter_mut() {
                    *v = v.max(0.0);
                }
            }
            std::mem::swap(x, y);
        }
        self.last.apply(kernel, x, y);
        for (score, &v) in scores.iter_mut().zip(y[0].iter()) {
            *score = if self.sigmoid { sigmoid(v) } else { v };
        }
    }

    /// The inputs of `n` pairs from `start` on; lanes beyond them hold whatever was there.
    fn read(&self, pairs: &Pairs<'_>, start: usize, n: usize, x: &mut [Line]) {
        let Scaling { mean, scale, clip, marked } = &self.scaling;
        for (at, column) in pairs.columns.iter().enumerate() {
            let values = &column[start..start + n];
            for lane in 0..n {
                let v = (values[lane] - mean[at]) * scale[at];
                x[at][lane] = if v.is_nan() { 0.0 } else { v.clamp(-clip, *clip) };
            }
        }
        let mut next = mean.len();
        for &column in marked {
            let values = &pairs.columns[column as usize][start..start + n];
            for lane in 0..n {
                x[next][lane] = f32::from(u8::from(values[lane].is_nan()));
            }
            next += 1;
        }
        for (embedding, codes) in self.embeddings.iter().zip(pairs.codes) {
            let codes = &codes[start..start + n];
            for lane in 0..n {
                let row = embedding.row(codes[lane]);
                for at in 0..row.len() {
                    x[next + at][lane] = row[at];
                }
            }
            next += embedding.width;
        }
    }
}

/// The inputs of 16 pairs, and what two layers in turn make of them.
struct Scratch {
    first: Vec<Line>,
    x: Vec<Line>,
    y: Vec<Line>,
}

impl Scratch {
    fn new(mlp: &Mlp) -> Self {
        let widest = mlp.hidden.iter().map(|layer| layer.outputs).max().unwrap_or(1);
        let rows = widest.max(mlp.inputs).next_multiple_of(QUERIES);
        let lanes = || vec![Line::default(); rows];
        Self { first: lanes(), x: lanes(), y: lanes() }
    }
}

fn sigmoid(v: f32) -> f32 {
    // On the side where the exponential cannot overflow.
    if v >= 0.0 {
        1.0 / (1.0 + (-v).exp())
    } else {
        let e = v.exp();
        e / (1.0 + e)
    }
}
