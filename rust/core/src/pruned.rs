//! Products above a threshold, of matrices without negative values, that leave out most of the work and lose
//! nothing: string matching, where a few of 50,000 names are alike and the others share common grams.
//!
//! In the words of that task: rows of `a` are queries, columns of `b` names, what they have in common grams. Grams
//! are ranked, the rarest first. A name is first met by a query at the rarest gram that both have, and from there
//! on, by Cauchy and Schwarz, their product is at most the norm of the query's rest times that of the name's.
//! Three steps, each for those that the one before lets through:
//! 1. The list of a gram has the names by descending norm of their rest, so that a query reads only its beginning.
//! 2. A *sketch* of a name has the norms of its values in 112 groups of grams; the product of two sketches is a bound
//!    as well. Nearly all names end here.
//! 3. What is left is added up in the order in which the unpruned product adds, so that it has the same bits.
//!
//! All bounds are rounded up and get a slack for what the float32 sums round.

use crate::control::Control;
use crate::csr::Csr;
use crate::error::Result;
use crate::pages::Zeroed;
use crate::simd::{Isa, Job, Level, dispatch, prefetch};
use crate::topk::{Best, Filter, Ranked, drive};
use rayon::prelude::*;
use std::ops::Range;

/// Preparing `b` costs as much as a few hundred products for each of its entries.
const PREPARE_FROM: u64 = 512;
/// A name that is read costs about as much as so many products, with all that follows for some of them.
const PER_NAME: u64 = 64;
/// Queries that the work is estimated from.
const SAMPLE: usize = 256;
/// Longer queries could round by more than the slack; nobody has them.
const LONGEST: usize = 1 << 20;
/// Groups of grams, a byte each in a sketch.
const GROUPS: usize = 112;
/// Lanes in which sketches are multiplied.
const LANES: usize = 16;
/// The greatest part of a sketch: as many products as a lane gets fit in 16 bits.
const STEPS: u8 = 96;
const _: () = assert!((STEPS as usize).pow(2) * (GROUPS / LANES) <= u16::MAX as usize);
/// Sketches asked for ahead of their use.
const AHEAD: usize = 8;
/// Cache lines of a name's entries asked for; the hardware follows from there.
const LINES_AHEAD: usize = 5;

/// A name and the norm of its rest, from a gram on.
#[derive(Clone, Copy, Default)]
struct Posting {
    norm: f32,
    name: u32,
}

/// What is to be known of a name, in two cache lines: its sketch (norms of its values, group by group, at most
/// [`STEPS`] each), what a step stands for (f64), where its entries begin and end (u32).
type Card = [u8; 128];
const UNIT: usize = GROUPS;
const START: usize = UNIT + 8;
const END: usize = START + 4;

/// A gram of a name, and the value as bits.
type Entry = [u32; 2];

/// `b`, prepared for queries.
pub(crate) struct Pruned<'a> {
    a: &'a Csr,
    /// Places of the grams, the rarest first.
    ranks: Vec<u32>,
    /// Where the lists of the grams begin and end.
    starts: Vec<i64>,
    postings: Vec<Posting>,
    names: Zeroed<Card>,
    /// The names' grams, in ascending order.
    entries: Zeroed<Entry>,
    threshold: f32,
}

impl<'a> Pruned<'a> {
    /// Prepares `b` where that pays: `work` has the products of each row.
    pub(crate) fn where_it_pays(a: &'a Csr, b: &Csr, threshold: Option<f32>, work: &[u64]) -> Option<Self> {
        let threshold = threshold.filter(|&t| t > 0.0)?;
        let total: u64 = work.iter().sum();
        if total == 0 || total < PREPARE_FROM * b.nnz() as u64 {
            return None;
        }
        let pruned = Self::new(a, b, threshold)?;
        let sample = a.n_rows().min(SAMPLE);
        let rows = (0..sample).map(|at| at * a.n_rows() / sample);
        let (read, all) =
            rows.fold((0, 0), |(read, all), row| (read + pruned.names_read(row), all + work[row]));
        (read * PER_NAME <= all).then_some(pruned)
    }

    /// Prepares `b`; `None` where the bounds would not hold.
    fn new(a: &'a Csr, b: &Csr, threshold: f32) -> Option<Self> {
        let none_negative = |m: &Csr| m.values().par_iter().with_min_len(1 << 14).all(|&v| v >= 0.0);
        if a.longest_row() > LONGEST || !none_negative(a) || !none_negative(b) {
            return None;
        }
        let mut order: Vec<u32> = (0..b.n_rows() as u32).collect();
        order.sort_by_key(|&gram| b.row_len(gram as usize));
        let mut ranks = vec![0; order.len()];
        for (rank, &gram) in order.iter().enumerate() {
            ranks[gram as usize] = rank as u32;
        }

        u32::try_from(b.nnz()).ok()?;
        let by_name = b.transpose();
        let mut norms = vec![0.0; by_name.nnz()];
        let mut names = Zeroed::new(by_name.n_rows());
        let mut entries = Zeroed::new(by_name.nnz());
        let (mut pieces, mut rest) = (Vec::new(), (&mut norms[..], &mut entries[..], &mut names[..]));
        for rows in by_name.row_pieces() {
            let len = (by_name.indptr()[rows.end] - by_name.indptr()[rows.start]) as usize;
            let (norms, entries) = (rest.0.split_at_mut(len), rest.1.split_at_mut(len));
            let names = rest.2.split_at_mut(rows.len());
            pieces.push((rows, norms.0, entries.0, names.0));
            rest = (norms.1, entries.1, names.1);
        }
        pieces.into_par_iter().for_each(|(rows, mut norms, mut entries, names)| {
            let mut by_rank = Vec::new();
            for (row, card) in rows.zip(names) {
                let (own, others) = norms.split_at_mut(by_name.row_len(row));
                norms = others;
                rest_norms(by_name.row(row), &ranks, &mut by_rank, own);
                let (own, others) = entries.split_at_mut(by_name.row_len(row));
                entries = others;
                let (grams, values) = by_name.row(row);
                for ((entry, &gram), &value) in own.iter_mut().zip(grams).zip(values) {
                    *entry = [gram as u32, value.to_bits()];
                }
                fill(card, &groups((grams, values), &ranks), by_name.range(row));
            }
        });
        let lists = by_name.with_values(norms).transpose();
        drop(by_name);
        let mut postings = vec![Posting::default(); lists.nnz()];
        let (mut pieces, mut rest) = (Vec::new(), &mut postings[..]);
        for grams in lists.row_pieces() {
            let own = rest.split_at_mut((lists.indptr()[grams.end] - lists.indptr()[grams.start]) as usize);
            pieces.push((grams, own.0));
            rest = own.1;
        }
        pieces.into_par_iter().for_each(|(grams, mut rest)| {
            for gram in grams {
                let (own, others) = rest.split_at_mut(lists.row_len(gram));
                rest = others;
                let (cols, norms) = lists.row(gram);
                for ((posting, &name), &norm) in own.iter_mut().zip(cols).zip(norms) {
                    *posting = Posting { norm, name: name as u32 };
                }
                own.sort_unstable_by(|x, y| y.norm.total_cmp(&x.norm).then(x.name.cmp(&y.name)));
            }
        });
        let starts = lists.indptr().to_vec();
        Some(Self { a, ranks, starts, postings, names, entries, threshold })
    }

    /// The best `k` of every row, as the unpruned product has them.
    pub(crate) fn top_k(
        &self,
        k: usize,
        filter: &Filter<'_>,
        work: &[u64],
        control: &Control,
    ) -> Result<Ranked> {
        self.top_k_at(Level::current(), k, filter, work, control)
    }

    fn top_k_at(
        &self,
        level: Level,
        k: usize,
        filter: &Filter<'_>,
        work: &[u64],
        control: &Control,
    ) -> Result<Ranked> {
        let (n_rows, n_cols) = (self.a.n_rows(), self.names.len());
        filter.check(n_rows, n_cols)?;
        let k = k.min(n_cols);
        let scratch = || (Scratch::new(self), Best::new(k, filter.threshold));
        drive(
            n_rows,
            k,
            |row| work[row],
            control,
            scratch,
            |(scratch, best), row, cols, values| {
                dispatch(level, Row { product: self, filter, row, scratch, best });
                best.take(cols, values)
            },
        )
    }

    #[inline(always)]
    fn list(&self, gram: i32) -> &[Posting] {
        &self.postings[self.starts[gram as usize] as usize..self.starts[gram as usize + 1] as usize]
    }

    /// How many names a query reads when nothing raises the threshold.
    fn names_read(&self, row: usize) -> u64 {
        let mut query = Query::default();
        query.read(self.a.row(row), &self.ranks);
        let least = query.least(self.threshold.next_up());
        let read = |(at, &gram): (usize, &i32)| {
            let cut = query.cut(at, least);
            self.list(gram).partition_point(|p| p.norm >= cut) as u64
        };
        query.grams.iter().enumerate().map(read).sum()
    }
}

/// The norm of a name from each gram on, in the order of the ranks, rounded up.
fn rest_norms(
    (grams, values): (&[i32], &[f32]),
    ranks: &[u32],
    by_rank: &mut Vec<(u32, u32)>,
    norms: &mut [f32],
) {
    by_rank.clear();
    by_rank.extend(grams.iter().zip(0..).map(|(&gram, at)| (ranks[gram as usize], at)));
    by_rank.sort_unstable_by(|x, y| y.cmp(x));
    let mut squares = 0.0;
    for &(_, at) in &*by_rank {
        squares += square(values[at as usize]);
        norms[at as usize] = (squares.sqrt() as f32).next_up();
    }
}

#[inline(always)]
fn square(v: f32) -> f64 {
    f64::from(v) * f64::from(v)
}

/// The squared norms of the values, group by group.
#[inline(always)]
fn groups((grams, values): (&[i32], &[f32]), ranks: &[u32]) -> [f64; GROUPS] {
    let mut groups = [0.0; GROUPS];
    for (&gram, &v) in grams.iter().zip(values) {
        groups[ranks[gram as usize] as usize % GROUPS] += square(v);
    }
    groups
}

/// Writes a name's card: norms as multiples of a unit, rounded up.
fn fill(card: &mut Card, groups: &[f64; GROUPS], entries: Range<usize>) {
    card[START..END].copy_from_slice(&(entries.start as u32).to_le_bytes());
    card[END..].copy_from_slice(&(entries.end as u32).to_le_bytes());
    let (steps, unit) = steps(groups);
    for (part, step) in card.iter_mut().zip(steps) {
        *part = step as u8;
    }
    card[UNIT..START].copy_from_slice(&unit.to_le_bytes());
}

#[inline(always)]
fn unit(card: &Card) -> f64 {
    let [.., a, b, c, d, e, f, g, h, _, _, _, _, _, _, _, _] = *card;
    f64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[inline(always)]
fn entries(card: &Card) -> Range<usize> {
    let [.., a, b, c, d, e, f, g, h] = *card;
    u32::from_le_bytes([a, b, c, d]) as usize..u32::from_le_bytes([e, f, g, h]) as usize
}

/// A query by rank, and the bounds that follow from it.
#[derive(Default)]
struct Query {
    /// Rank and place in the row.
    order: Vec<u64>,
    grams: Vec<i32>,
    /// Norm of the rest from each gram on.
    rests: Vec<f64>,
}

impl Query {
    #[inline(always)]
    fn read(&mut self, (grams, weights): (&[i32], &[f32]), ranks: &[u32]) {
        self.order.clear();
        for (at, &gram) in grams.iter().enumerate() {
            self.order.push(u64::from(ranks[gram as usize]) << 32 | at as u64);
        }
        self.order.sort_unstable();
        self.grams.clear();
        self.rests.clear();
        let mut squares = 0.0;
        for &entry in self.order.iter().rev() {
            let at = entry as u32 as usize;
            squares += square(weights[at]);
            self.grams.push(grams[at]);
            self.rests.push(squares.sqrt());
        }
        self.grams.reverse();
        self.rests.reverse();
    }

    /// What a bound must reach, so that no sum in float32 that reaches the floor is lost: such a sum of n products
    /// is greater than the true one by less than a part of n · 2⁻²³, and n of the smallest numbers.
    #[inline(always)]
    fn least(&self, floor: f32) -> f64 {
        let n = self.order.len() as f64;
        let tiny = f64::from(f32::from_bits(1));
        (f64::from(floor.min(f32::MAX)) - n * tiny) / (1.0 + (n + 1.0) / f64::from(1 << 22))
    }

    /// What the norm of a name's rest must reach to be new at a gram.
    #[inline(always)]
    fn cut(&self, at: usize, least: f64) -> f32 {
        if self.rests[at] == 0.0 { f32::INFINITY } else { ((least / self.rests[at]) as f32).next_down() }
    }
}

/// What a thread needs.
struct Scratch {
    query: Query,
    /// The query's weight for every gram.
    weights: Vec<f32>,
    /// A bit for every name that has been met.
    met: Vec<u64>,
    /// Those names.
    names: Vec<u32>,
    /// Some of them, that a bound has let through.
    kept: Vec<u32>,
}

impl Scratch {
    fn new(product: &Pruned<'_>) -> Self {
        let n_names = product.names.len();
        Self {
            query: Query::default(),
            weights: vec![0.0; product.ranks.len()],
            met: vec![0; n_names.div_ceil(64)],
            names: vec![0; n_names + 1],
            kept: vec![0; n_names + 1],
        }
    }
}

/// Ranks one row.
struct Row<'a> {
    product: &'a Pruned<'a>,
    filter: &'a Filter<'a>,
    row: usize,
    scratch: &'a mut Scratch,
    best: &'a mut Best,
}

impl Job for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Self { product, filter, row, scratch, best } = self;
        let Scratch { query, weights, met, names, kept } = scratch;
        let own = product.a.row(row);
        query.read(own, &product.ranks);
        for (&gram, &weight) in own.0.iter().zip(own.1) {
            weights[gram as usize] = weight;
        }
        let (parts, part) = steps(&groups(own, &product.ranks));
        for &gram in &query.grams {
            prefetch(product.list(gram), 2);
        }
        let mut least = query.least(best.floor());
        let mut n_met = 0;
        for (at, &gram) in query.grams.iter().enumerate() {
            let cut = query.cut(at, least);
            let before = n_met;
            for posting in product.list(gram) {
                if posting.norm < cut {
                    break;
                }
                let (word, bit) = (posting.name as usize / 64, 1 << (posting.name % 64));
                names[n_met] = posting.name;
                n_met += usize::from(met[word] & bit == 0);
                met[word] |= bit;
            }
            let n_kept = product.keep(&names[before..n_met], &parts, least / part, kept);
            let kept = &kept[..n_kept];
            let mut offered = false;
            for &name in kept {
                let score = dot(product.entries(name), weights);
                if score >= best.floor() && permits(filter, row, name as i32) {
                    best.offer(score, name as usize);
                    offered = true;
                }
            }
            if offered {
                best.cut();
                least = query.least(best.floor());
            }
        }
        for &name in &names[..n_met] {
            met[name as usize / 64] = 0;
        }
        for &gram in own.0 {
            weights[gram as usize] = 0.0;
        }
    }
}

impl Pruned<'_> {
    #[inline(always)]
    fn entries(&self, name: u32) -> &[Entry] {
        &self.entries[entries(&self.names[name as usize])]
    }

    /// Writes the names whose sketch comes to `least`, and asks for their entries; returns how many.
    #[inline(always)]
    fn keep(&self, names: &[u32], parts: &[u16; GROUPS], least: f64, kept: &mut [u32]) -> usize {
        let cards = &self.names[..];
        let mut n = 0;
        for (at, &name) in names.iter().enumerate() {
            if let Some(&ahead) = names.get(at + AHEAD) {
                prefetch(&cards[ahead as usize..][..1], 2);
            }
            let card = &cards[name as usize];
            if f64::from(common(parts, card)) * unit(card) >= least {
                prefetch(self.entries(name), LINES_AHEAD);
                kept[n] = name;
                n += 1;
            }
        }
        n
    }
}

/// Groups as multiples of a unit, rounded up, and the unit.
#[inline(always)]
fn steps(groups: &[f64; GROUPS]) -> ([u16; GROUPS], f64) {
    let mut greatest = 0.0_f64;
    for &group in groups {
        greatest = greatest.max(group);
    }
    let unit = greatest.sqrt() / (f64::from(STEPS) - 0.01);
    let mut steps = [0; GROUPS];
    if unit > 0.0 {
        for (step, &group) in steps.iter_mut().zip(groups) {
            *step = (group.sqrt() / unit).ceil() as u16;
        }
    }
    (steps, unit)
}

#[inline(always)]
fn common(steps: &[u16; GROUPS], sketch: &Card) -> u32 {
    let mut sums = [0_u16; LANES];
    for (steps, sketch) in steps.as_chunks::<LANES>().0.iter().zip(sketch.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += steps[lane] * u16::from(sketch[lane]);
        }
    }
    let mut sum = 0;
    for lane in sums {
        sum += u32::from(lane);
    }
    sum
}

/// The product of a query and a name, in ascending order of the grams.
#[inline(always)]
fn dot(name: &[Entry], weights: &[f32]) -> f32 {
    let mut sum = 0.0;
    for &[gram, value] in name {
        sum += weights[gram as usize] * f32::from_bits(value);
    }
    sum
}

/// May the row get this column?
fn permits(filter: &Filter<'_>, row: usize, col: i32) -> bool {
    let has = |m: &Csr| m.row(row).0.binary_search(&col).is_ok();
    filter.allowed.is_none_or(|mask| mask[col as usize])
        && filter.allow.is_none_or(has)
        && !filter.exclude.iter().any(|m| has(m))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::packed::{Packed, PackedProduct};
    use crate::product::Product;
    use crate::topk;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    /// A matrix with every cell written out.
    #[derive(Debug)]
    struct Table(usize, usize, Vec<Option<f32>>);

    impl Table {
        fn csr(&self) -> Csr {
            let Self(n_rows, n_cols, cells) = self;
            let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
            for row in 0..*n_rows {
                for col in 0..*n_cols {
                    if let Some(v) = cells[row * n_cols + col] {
                        indices.push(col as i32);
                        values.push(v);
                    }
                }
                indptr.push(indices.len() as i64);
            }
            Csr::new("x", indptr.into(), indices.into(), values.into(), *n_cols).unwrap()
        }
    }

    /// With gaps, and values of the given sizes.
    fn table(n_rows: usize, n_cols: usize, sizes: &'static [f32]) -> impl Strategy<Value = Table> {
        let cell = prop::option::weighted(0.3, (0.0..1.0_f32, select(sizes)).prop_map(|(v, size)| v * size));
        vec(cell, n_rows * n_cols).prop_map(move |cells| Table(n_rows, n_cols, cells))
    }

    const PLAIN: &[f32] = &[1.0];
    const MIXED: &[f32] = &[1.0, 0.0, 1e-3, 100.0];
    const EXTREME: &[f32] = &[1.0, 0.0, 1e-20, 1e-38, 1e-44, 1e19, 3e38];

    fn case() -> impl Strategy<Value = (Table, Table, Table, Vec<bool>)> {
        (1..12_usize, prop_oneof![1..90_usize, Just(1)], prop_oneof![1..70_usize, Just(1)])
            .prop_flat_map(|(rows, grams, names)| {
                let sizes = select(vec![PLAIN, MIXED, EXTREME]);
                (sizes, Just((rows, grams, names)))
            })
            .prop_flat_map(|(sizes, (rows, grams, names))| {
                let mask = vec(prop::bool::weighted(0.8), names);
                (table(rows, grams, sizes), table(grams, names, sizes), table(rows, names, PLAIN), mask)
            })
    }

    fn bits(r: &Ranked) -> (Vec<i64>, Vec<i32>, Vec<u32>) {
        (r.indptr.clone(), r.indices.clone(), r.values.iter().map(|v| v.to_bits()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn pruning_loses_no_bit(
            (a, b, lists, mask) in case(),
            k in 1..90_usize,
            threshold in prop_oneof![1e-3..8.0_f32, select(vec![f32::from_bits(1), 1e-38, 1e30, f32::MAX])],
            exact in any::<bool>(),
            filtered in 0..4_u8,
        ) {
            let control = Control::new();
            let (a, b, lists) = (a.csr(), b.csr(), lists.csr());
            let exclude = [&lists];
            let mut filter = Filter { threshold: Some(threshold), ..Filter::default() };
            match filtered {
                1 => filter.exclude = &exclude,
                2 => filter.allow = Some(&lists),
                3 => filter.allowed = Some(&mask),
                _ => {}
            }
            let unpruned = |filter: &Filter<'_>| {
                topk::top_k(&Product::new(("a", "b"), &a, &b).unwrap(), k, filter, &control).unwrap()
            };
            if exact {
                // A threshold at, and just below, a score that occurs.
                let all = unpruned(&Filter { threshold: None, ..filter });
                if let Some(&score) = all.values.get(all.values.len() / 2) {
                    let below = if k % 2 == 0 { score } else { score.next_down() };
                    filter.threshold = Some(below.max(f32::from_bits(1)));
                }
            }
            let expected = bits(&unpruned(&filter));
            let product = Product::new(("a", "b"), &a, &b).unwrap();
            let work = product.work.clone();
            let packed = Packed::new(&a, &b).unwrap();
            let packed = PackedProduct::new(&a, &packed, product.work);
            prop_assert_eq!(&bits(&topk::top_k(&packed, k, &filter, &control).unwrap()), &expected);
            let pruned = Pruned::new(&a, &b, filter.threshold.unwrap()).unwrap();
            for level in Level::available() {
                let found = pruned.top_k_at(level, k, &filter, &work, &control).unwrap();
                prop_assert_eq!(&bits(&found), &expected, "{:?}", level);
            }
        }
    }

    /// Queries × grams and grams × names: each a few of many grams, so that pruning pays.
    fn strings(n_rows: usize, n_names: usize, sign: f32) -> (Csr, Csr) {
        let cell = |row: usize, gram: usize| {
            let own = gram < 4 || (row * 7 + gram * 13).is_multiple_of(97);
            own.then_some(if gram < 4 { 0.05 * sign } else { 0.5 + (row % 5) as f32 / 10.0 })
        };
        let cells =
            |n: usize| (0..n).flat_map(|row| (0..400).map(move |gram| cell(row, gram))).collect::<Vec<_>>();
        (Table(n_rows, 400, cells(n_rows)).csr(), Table(n_names, 400, cells(n_names)).csr().transpose())
    }

    #[test]
    fn chosen_where_it_pays_and_only_there() {
        let (a, b) = strings(3000, 500, 1.0);
        let chosen = |a: &Csr, b: &Csr, threshold: Option<f32>| {
            let work = Product::new(("a", "b"), a, b).unwrap().work;
            Pruned::where_it_pays(a, b, threshold, &work).is_some()
        };
        assert!(chosen(&a, &b, Some(0.9)));
        assert!(!chosen(&a, &b, None));
        assert!(!chosen(&a, &b, Some(0.0)));
        assert!(!chosen(&a, &b, Some(-1.0)));
        assert!(!chosen(&a, &b, Some(1e-6)), "everything would be read");
        let (few, _) = strings(30, 500, 1.0);
        assert!(!chosen(&few, &b, Some(0.9)), "the preparation costs more than the product");
        let (negative, negative_b) = strings(3000, 500, -1.0);
        assert!(!chosen(&negative, &b, Some(0.9)));
        assert!(!chosen(&a, &negative_b, Some(0.9)));
    }
}
