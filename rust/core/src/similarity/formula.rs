//! What turns a sum of products into a similarity.

use super::Measure;
use crate::error::{Error, Result, not_negative};
use crate::topk::{BLOCK, Lanes, Order, lanes};
use rayon::prelude::*;

/// What the formula wants to know of each entity.
pub(super) struct Terms {
    /// Number of entries.
    pub(super) counts: Vec<f64>,
    /// Squared length.
    pub(super) squares: Vec<f64>,
    /// Sum of the values; empty where the measure does not ask.
    pub(super) sums: Vec<f64>,
}

/// With `s` the sum of products of row i and column j, the score is
///
/// ```text
/// s · scale · left.scale[i] · right.scale[j]
///     / (overlap · s + left.add[i] + right.add[j] + left.mul[i] · right.mul[j] + shrink)
/// ```
///
/// Without `add` and `mul` there is no denominator.
pub(super) struct Formula {
    scale: f32,
    overlap: f32,
    shrink: f32,
    pub(super) left: Side,
    pub(super) right: Side,
}

/// One side's terms, one for each entity; empty where the measure has none.
#[derive(Default, PartialEq)]
pub(super) struct Side {
    scale: Vec<f32>,
    add: Vec<f32>,
    mul: Vec<f32>,
}

/// The terms of one entity.
#[derive(Clone, Copy)]
pub(super) struct Entity {
    scale: f32,
    add: f32,
    mul: f32,
}

/// One side's terms in blocks, in some order.
pub(super) struct Blocks {
    scale: Vec<Lanes>,
    add: Vec<Lanes>,
    mul: Vec<Lanes>,
}

/// The terms of a block of entities.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    scale: Option<&'a Lanes>,
    add: Option<&'a Lanes>,
    mul: Option<&'a Lanes>,
}

/// Room for the terms of a block that lie apart.
#[derive(Default)]
pub(super) struct Gathered {
    scale: Lanes,
    add: Lanes,
    mul: Lanes,
}

impl Blocks {
    /// Those of a block.
    #[inline(always)]
    pub(super) fn at(&self, block: usize) -> Block<'_> {
        Block { scale: self.scale.get(block), add: self.add.get(block), mul: self.mul.get(block) }
    }

    /// Those of any places.
    #[inline(always)]
    pub(super) fn gather<'a>(&self, places: &[u32; BLOCK], room: &'a mut Gathered) -> Block<'a> {
        Block {
            scale: gather(&self.scale, places, &mut room.scale),
            add: gather(&self.add, places, &mut room.add),
            mul: gather(&self.mul, places, &mut room.mul),
        }
    }
}

#[inline(always)]
fn gather<'a>(terms: &[Lanes], places: &[u32; BLOCK], room: &'a mut Lanes) -> Option<&'a Lanes> {
    let terms = terms.as_flattened();
    if terms.is_empty() {
        return None;
    }
    for (out, &place) in room.iter_mut().zip(places) {
        *out = terms[place as usize];
    }
    Some(room)
}

impl Side {
    #[inline(always)]
    pub(super) fn of(&self, entity: usize) -> Entity {
        let or = |terms: &[f32], other: f32| terms.get(entity).copied().unwrap_or(other);
        Entity { scale: or(&self.scale, 1.0), add: or(&self.add, 0.0), mul: or(&self.mul, 0.0) }
    }

    pub(super) fn blocks(&self, order: Option<&Order>) -> Blocks {
        let in_order = |terms: &[f32]| match order {
            Some(order) if !terms.is_empty() => lanes(order.columns.iter().map(|&c| terms[c as usize]), 1.0),
            _ => lanes(terms.iter().copied(), 1.0),
        };
        Blocks { scale: in_order(&self.scale), add: in_order(&self.add), mul: in_order(&self.mul) }
    }
}

/// Factors of a denominator. That of an entity without anything is 1: its products are 0 anyway.
fn powers(values: &[f64], exponent: f64) -> Vec<f32> {
    let power = |&v: &f64| if v == 0.0 { 1.0 } else { v.powf(exponent) as f32 };
    values.par_iter().with_min_len(1024).map(power).collect()
}

impl Formula {
    /// `n_others` is the length of the vectors that are compared.
    pub(super) fn new(
        measure: Measure,
        shrink: f64,
        left: &Terms,
        right: &Terms,
        n_others: usize,
    ) -> Result<Self> {
        not_negative(&[("shrink", shrink)])?;
        if shrink > 0.0 && !measure.has_denominator() {
            let problem = format!("the measure '{}' has no denominator to shrink by", measure.name());
            return Err(Error::parameter("shrink", problem, shrink));
        }
        let (mut scale, mut overlap) = (1.0, 0.0);
        let mut tversky = |alpha: f64, beta: f64, by: f32| {
            (scale, overlap) = (by, by * (1.0 - alpha - beta) as f32);
            let add = |counts: &[f64], weight: f64| Side {
                add: counts.iter().map(|n| (f64::from(by) * weight * n) as f32).collect(),
                ..Side::default()
            };
            (add(&left.counts, alpha), add(&right.counts, beta))
        };
        let mul = |terms: &[f64], exponent: f64| Side { mul: powers(terms, exponent), ..Side::default() };
        let (left, right) = match measure {
            Measure::Dot | Measure::Cocount => Default::default(),
            Measure::Cosine | Measure::AdjustedCosine | Measure::Pearson => {
                (mul(&left.squares, 0.5), mul(&right.squares, 0.5))
            }
            Measure::AsymmetricCosine { alpha } => {
                if alpha > 1.0 {
                    return Err(Error::parameter("alpha", "must be from 0 to 1", alpha));
                }
                (mul(&left.squares, alpha), mul(&right.squares, 1.0 - alpha))
            }
            Measure::Jaccard => tversky(1.0, 1.0, 1.0),
            Measure::Dice => tversky(0.5, 0.5, 2.0),
            Measure::Tversky { alpha, beta } => tversky(alpha, beta, 1.0),
            Measure::ConditionalProbability { alpha } => (mul(&left.counts, 1.0), mul(&right.counts, alpha)),
            Measure::Lift => {
                scale = n_others as f32;
                (mul(&left.counts, 1.0), mul(&right.counts, 1.0))
            }
            Measure::P3Alpha { alpha } | Measure::Rp3Beta { alpha, .. } => {
                // The values hold the square root of each side's own sum; what is missing is put in here.
                let own = |terms: &Terms, exponent| Side {
                    scale: powers(&terms.sums, exponent),
                    ..Side::default()
                };
                let (mut from, mut to) = (own(left, -alpha / 2.0), own(right, alpha / 2.0));
                if let Measure::Rp3Beta { beta, .. } = measure {
                    from.mul = vec![1.0; left.counts.len()];
                    to.mul = powers(&right.counts, beta);
                }
                (from, to)
            }
        };
        Ok(Self { scale, overlap, shrink: shrink as f32, left, right })
    }

    /// For sums that are to be multiplied with `unit` first.
    pub(super) fn in_units(mut self, unit: f32) -> Self {
        (self.scale, self.overlap) = (self.scale * unit, self.overlap * unit);
        self
    }

    /// Is the score of (i, j) that of (j, i) for all pairs of the same entities?
    pub(super) fn is_symmetric(&self) -> bool {
        self.left == self.right
    }

    /// The scores of one entity's sums with a block of the other side's.
    #[inline(always)]
    pub(super) fn apply(&self, entity: Entity, others: Block<'_>, mut sums: Lanes) -> Lanes {
        let scale = self.scale * entity.scale;
        if let Some(scales) = others.scale {
            for (s, scale) in sums.iter_mut().zip(scales) {
                *s *= scale;
            }
        }
        if let Some(mul) = others.mul {
            for (s, mul) in sums.iter_mut().zip(mul) {
                *s = *s * scale / (entity.mul * mul + self.shrink);
            }
        } else if let Some(add) = others.add {
            let own = entity.add + self.shrink;
            for (s, add) in sums.iter_mut().zip(add) {
                // Where nothing is in common the denominator may be 0 too.
                *s = *s * scale / (self.overlap * *s + own + add).max(f32::MIN_POSITIVE);
            }
        } else {
            for s in &mut sums {
                *s *= scale;
            }
        }
        sums
    }
}
