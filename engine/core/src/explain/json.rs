//! Where two JSON values differ, by JSON pointer.
//!
//! Elements of lists are aligned: an inserted element is one difference, not one for each element
//! behind it, and one that stands elsewhere has moved. An artifact is a leaf.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use crate::payload::Artifact;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Place<'a> {
    /// JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is there.
    pub value: &'a Value,
}

/// A place where one value is not the other. Without `before` something was added, without `after`
/// it was removed; with both and equal values it has moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference<'a> {
    /// What was there.
    pub before: Option<Place<'a>>,
    /// What is there.
    pub after: Option<Place<'a>>,
}

impl Difference<'_> {
    /// Where it is: in what is there now, else in what was there.
    #[must_use]
    pub fn pointer(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |place| &place.pointer)
    }

    /// Where an element stood that is unchanged and stands elsewhere now.
    #[must_use]
    pub fn moved_from(&self) -> Option<&str> {
        let (before, after) = (self.before.as_ref()?, self.after.as_ref()?);
        (before.value == after.value).then_some(&before.pointer)
    }
}

/// The first differences, and how many there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences<'a> {
    /// As many as were asked for, in the order of the values.
    pub first: Vec<Difference<'a>>,
    /// How many there are in all.
    pub total: usize,
}

impl Differences<'_> {
    /// How many there are beyond the first ones.
    #[must_use]
    pub fn more(&self) -> usize {
        self.total - self.first.len()
    }
}

/// The places at which two values differ. At most `limit` of them are kept; all are counted.
#[must_use]
pub fn differences<'a>(before: &'a Value, after: &'a Value, limit: usize) -> Differences<'a> {
    let mut search = Search { limit, found: Differences::default() };
    search.values(&Trail::Top, before, &Trail::Top, after);
    search.found
}

/// The way to a value. Pointers are written only for the differences that are kept.
enum Trail<'t> {
    Top,
    Field(&'t Trail<'t>, &'t str),
    Element(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Top => String::new(),
            Self::Field(up, name) => {
                format!("{}/{}", up.pointer(), name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Element(up, index) => format!("{}/{index}", up.pointer()),
        }
    }
}

struct Search<'a> {
    limit: usize,
    found: Differences<'a>,
}

type At<'t, 'a> = (&'t Trail<'t>, &'a Value);

impl<'a> Search<'a> {
    fn note(&mut self, before: Option<At<'_, 'a>>, after: Option<At<'_, 'a>>) {
        self.found.total += 1;
        if self.found.first.len() < self.limit {
            let place = |(trail, value): At<'_, 'a>| Place { pointer: trail.pointer(), value };
            let (before, after) = (before.map(place), after.map(place));
            self.found.first.push(Difference { before, after });
        }
    }

    fn values(&mut self, from: &Trail<'_>, before: &'a Value, to: &Trail<'_>, after: &'a Value) {
        if before == after {
            return;
        }
        match (before, after) {
            _ if is_leaf(before) || is_leaf(after) => {
                self.note(Some((from, before)), Some((to, after)));
            }
            (Value::Object(old), Value::Object(new)) => {
                for (name, value) in old {
                    let here = Trail::Field(from, name);
                    match new.get(name) {
                        Some(now) => self.values(&here, value, &Trail::Field(to, name), now),
                        None => self.note(Some((&here, value)), None),
                    }
                }
                for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                    self.note(None, Some((&Trail::Field(to, name), value)));
                }
            }
            (Value::Array(old), Value::Array(new)) => self.lists(from, old, to, new),
            _ => self.note(Some((from, before)), Some((to, after))),
        }
    }

    fn lists(&mut self, from: &Trail<'_>, old: &'a [Value], to: &Trail<'_>, new: &'a [Value]) {
        for step in align(old, new) {
            let was = step.old.map(|index| (Trail::Element(from, index), &old[index]));
            let is = step.new.map(|index| (Trail::Element(to, index), &new[index]));
            match (&was, &is) {
                (Some((here, before)), Some((there, after))) if before != after => {
                    self.values(here, before, there, after);
                }
                (was, is) => {
                    let was = was.as_ref().map(|(trail, value)| (trail, *value));
                    self.note(was, is.as_ref().map(|(trail, value)| (trail, *value)));
                }
            }
        }
    }
}

/// Whether a value is compared as a whole, whatever is in it.
fn is_leaf(value: &Value) -> bool {
    value.is_object() && Artifact::from_json(value).is_some()
}

/// What became of an element: both places if it changed or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    old: Option<usize>,
    new: Option<usize>,
}

/// What became of the elements of a list that are not where they were, in order. Takes
/// O(n log n), whatever the lists are.
fn align(old: &[Value], new: &[Value]) -> Vec<Step> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old[head..].iter().rev().zip(new[head..].iter().rev());
    let tail = rest.take_while(|(a, b)| a == b).count();
    let (olds, news) = (head..old.len() - tail, head..new.len() - tail);
    let mut standing: HashMap<&Value, VecDeque<usize>> = HashMap::new();
    for index in news.clone() {
        standing.entry(&new[index]).or_default().push_back(index);
    }
    // The nth of equal elements is the nth of them.
    let twins: Vec<(usize, usize)> = olds
        .clone()
        .filter_map(|index| Some((index, standing.get_mut(&old[index])?.pop_front()?)))
        .collect();
    let stays = staying(&twins);
    let mut steps = Vec::new();
    let (mut i, mut j) = (olds.start, news.start);
    let has_old: HashSet<usize> = twins.iter().map(|(old, _)| *old).collect();
    let has_new: HashSet<usize> = twins.iter().map(|(_, new)| *new).collect();
    let (fixed, mut moved): (Vec<_>, Vec<_>) =
        twins.iter().copied().zip(stays).partition(|(_, stays)| *stays);
    for (a, b) in fixed.into_iter().map(|(twin, _)| twin).chain([(olds.end, news.end)]) {
        let mut gone = (i..a).filter(|index| !has_old.contains(index));
        let mut come = (j..b).filter(|index| !has_new.contains(index));
        loop {
            let step = Step { old: gone.next(), new: come.next() };
            if step.old.is_none() && step.new.is_none() {
                break;
            }
            steps.push(step);
        }
        (i, j) = (a + 1, b + 1);
    }
    moved.sort_by_key(|((_, new), _)| *new);
    steps.extend(moved.into_iter().map(|((old, new), _)| Step { old: Some(old), new: Some(new) }));
    steps
}

/// Which twins stay while others move around them. What stands where it stood never moves.
fn staying(twins: &[(usize, usize)]) -> Vec<bool> {
    let stays = longest_rise(twins);
    if twins.iter().zip(&stays).all(|((old, new), stays)| *stays || old != new) {
        return stays;
    }
    let fixed: Vec<usize> =
        twins.iter().filter(|(old, new)| old == new).map(|(old, _)| *old).collect();
    let before = |index: usize| fixed.partition_point(|fixed| *fixed < index);
    let crosses = |(old, new): &(usize, usize)| before(*old) != before(*new);
    let others: Vec<(usize, usize)> = twins.iter().filter(|twin| !crosses(twin)).copied().collect();
    let mut rise = longest_rise(&others).into_iter();
    twins.iter().map(|twin| !crosses(twin) && rise.next() == Some(true)).collect()
}

/// Which pairs belong to a longest run of them in which both sides rise. The first sides rise.
fn longest_rise(pairs: &[(usize, usize)]) -> Vec<bool> {
    // For each length: the last pair of the run that ends lowest.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, (_, height)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| pairs[*end].1 < *height);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut found = vec![false; pairs.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        found[at] = true;
        next = before[at];
    }
    found
}
