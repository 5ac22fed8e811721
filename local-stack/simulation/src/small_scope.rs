//! Beside the random walk: every order of what a few deliveries of a few records do, over a model of the commit
//! protocol that is small enough to be searched to its end.
//!
//! The model has the lake (objects with their names and rows), lanes (each delivers its batches in order, the next one
//! when the one before is answered), invocations, and creates that take effect after their caller gave up. An
//! invocation lists, creates object after object, and follows the real [`Setbacks`] and [`next_place`]. In every state, every step of
//! every part is tried: a listing, a create with any of its ends, a crash, a time-out after which the invocation goes on
//! as a zombie, a lost answer, a late effect.

use std::collections::HashSet;

use pipeline::commit::{Created, Decision, Setbacks, next_place};

/// How the function works: right, or with one part broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// First occurrences are chosen over the batch, objects are named by their place in the cell's log.
    Real,
    /// Cells are committed in the order of the time grid, and each chooses its first occurrences for itself.
    CellsInGridOrder,
    /// Objects are named by their first row.
    NamedByFirstRow,
    /// What was not answered counts as made.
    UnansweredIsMade,
}

/// A record: its event id and its cell of the time grid.
#[derive(Clone, Copy, Debug)]
struct Record {
    id: u8,
    cell: u8,
}

/// Records, and who delivers which of them in what batches.
#[derive(Clone, Debug)]
struct Scope {
    protocol: Protocol,
    faults: u8,
    records: Vec<Record>,
    /// The batches of each lane, as sets of records (bit n is record n).
    lanes: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Object {
    cell: u8,
    name: u8,
    /// A set of records.
    rows: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Invocation {
    lane: usize,
    batch: u8,
    /// Whether its lane still waits for it.
    awaited: bool,
    /// What its window holds; `None`: it has to list.
    known: Option<Vec<Object>>,
    taken: u32,
    uncertain: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    objects: Vec<Object>,
    /// Creates on their way, of callers that gave up.
    late: Vec<Object>,
    /// How many batches of each lane are done.
    done: Vec<usize>,
    invocations: Vec<Invocation>,
    /// How many faults may still happen.
    faults: u8,
}

/// Searches every scope of some records, two or three, over two cells, distinct or with a duplicate, delivered by up to three
/// lanes whose batches are whole, split, or of a key each, with up to `faults` faults. Returns the number of states.
///
/// # Errors
/// The first state that breaks a rule: an id that landed twice, a batch that was answered without its rows, or an end
/// at which something is left to do.
pub fn search(protocol: Protocol, records: u8, faults: u8) -> Result<usize, String> {
    let mut states = 0;
    for scope in scopes(protocol, records, faults) {
        states += scope.search()?;
    }
    Ok(states)
}

fn scopes(protocol: Protocol, count: u8, faults: u8) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for cells in 0..1_u8 << count {
        // Distinct ids, or record `second` repeats the id of record `first`.
        let pairs = (0..count).flat_map(|second| (0..second).map(move |first| (first, second)));
        for pair in std::iter::once(None).chain(pairs.map(Some)) {
            let record = |n: u8| Record {
                id: pair
                    .filter(|(_, second)| *second == n)
                    .map_or(n, |(first, _)| first),
                cell: cells >> n & 1,
            };
            let records: Vec<Record> = (0..count).map(record).collect();
            for lanes in deliveries(count, pair) {
                let records = records.clone();
                scopes.push(Scope {
                    protocol,
                    faults,
                    records,
                    lanes,
                });
            }
        }
    }
    scopes
}

/// Who else delivers what one lane delivers whole.
fn deliveries(count: u8, pair: Option<(u8, u8)>) -> Vec<Vec<Vec<u8>>> {
    let whole = (1 << count) - 1;
    let mut deliveries = vec![vec![vec![whole], vec![whole]]];
    for middle in 1..count {
        let first = (1 << middle) - 1;
        deliveries.push(vec![vec![whole], vec![first, whole & !first]]);
    }
    // By key: copies of an id have one key, so they are in one lane.
    let of_first = match pair {
        Some((0, second)) => 1 | 1 << second,
        _ => 1,
    };
    if of_first != whole {
        deliveries.push(vec![vec![whole], vec![of_first], vec![whole & !of_first]]);
    }
    deliveries
}

impl Scope {
    fn search(&self) -> Result<usize, String> {
        let first = State {
            objects: Vec::new(),
            late: Vec::new(),
            done: vec![0; self.lanes.len()],
            invocations: Vec::new(),
            faults: self.faults,
        };
        let first = self.canonical(first);
        let mut seen = HashSet::from([first.clone()]);
        let mut open = vec![first];
        while let Some(state) = open.pop() {
            let next = self.steps(&state)?;
            if next.is_empty()
                && state
                    .done
                    .iter()
                    .zip(&self.lanes)
                    .any(|(done, lane)| *done < lane.len())
            {
                return Err(format!(
                    "nothing can be done, and something is left: {state:?}"
                ));
            }
            for state in next {
                let state = self.canonical(state);
                if !seen.contains(&state) {
                    seen.insert(state.clone());
                    open.push(state);
                }
            }
        }
        Ok(seen.len())
    }

    /// Every lane that waits for nothing begins its next batch; what has no order is sorted.
    fn canonical(&self, mut state: State) -> State {
        for (lane, batches) in self.lanes.iter().enumerate() {
            let waits = |invocation: &Invocation| invocation.awaited && invocation.lane == lane;
            if let Some(batch) = batches.get(state.done[lane])
                && !state.invocations.iter().any(waits)
            {
                state.invocations.push(Invocation {
                    lane,
                    batch: *batch,
                    awaited: true,
                    known: None,
                    taken: 0,
                    uncertain: 0,
                });
            }
        }
        state.objects.sort_unstable();
        state.late.sort_unstable();
        state.invocations.sort_unstable();
        state
    }

    fn steps(&self, state: &State) -> Result<Vec<State>, String> {
        let mut next = Vec::new();
        for (index, object) in state.late.iter().enumerate() {
            let mut state = state.clone();
            state.late.remove(index);
            self.make(&mut state, *object)?;
            next.push(state);
        }
        for (index, invocation) in state.invocations.iter().enumerate() {
            self.steps_of(state, index, invocation, &mut next)?;

            if state.faults > 0 {
                let mut state = state.clone();
                state.faults -= 1;
                state.invocations.remove(index);
                next.push(state);
            }
            if state.faults > 0 && invocation.awaited {
                let mut state = state.clone();
                state.faults -= 1;
                state.invocations[index].awaited = false;
                next.push(state);
            }
        }
        Ok(next)
    }

    fn steps_of(
        &self,
        state: &State,
        index: usize,
        invocation: &Invocation,
        next: &mut Vec<State>,
    ) -> Result<(), String> {
        let Some(known) = &invocation.known else {
            let mut state = state.clone();
            state.invocations[index].known = Some(state.objects.clone());
            next.push(state);
            return Ok(());
        };
        let Some(object) = self.next_object(invocation.batch, known) else {
            return self.answer(state, index, next);
        };
        {
            let mut state = state.clone();
            let created = self.make(&mut state, object)?;
            self.after(&mut state, index, object, created);
            next.push(state);
        }
        if state.faults > 0 {
            let mut state = state.clone();
            state.faults -= 1;
            // It never takes effect, it has taken effect, or it does so later.
            let mut never = state.clone();
            self.after(&mut never, index, object, Created::Unknown);
            next.push(never);
            let mut later = state.clone();
            later.late.push(object);
            self.after(&mut later, index, object, Created::Unknown);
            next.push(later);
            self.make(&mut state, object)?;
            self.after(&mut state, index, object, Created::Unknown);
            next.push(state);
        }
        Ok(())
    }

    /// What the invocation makes next; `None` when nothing is left.
    fn next_object(&self, batch: u8, known: &[Object]) -> Option<Object> {
        let in_batch = |n: &u8| batch >> n & 1 == 1;
        let record = |n: u8| self.records[usize::from(n)];
        let ids: HashSet<u8> = self.ids(known).collect();
        let all: Vec<u8> = (0..8).filter(in_batch).collect();
        let is_new = |n: &u8| {
            let one = record(*n);
            let before = all
                .iter()
                .take_while(|before| *before < n)
                .map(|n| record(*n));
            let mut before = before.filter(|other| {
                self.protocol != Protocol::CellsInGridOrder || other.cell == one.cell
            });
            !ids.contains(&one.id) && !before.any(|other| other.id == one.id)
        };
        let new: Vec<u8> = all.iter().copied().filter(is_new).collect();
        let cell = match self.protocol {
            Protocol::CellsInGridOrder => new.iter().map(|n| record(*n).cell).min()?,
            _ => record(*new.first()?).cell,
        };
        let of_cell = new.iter().filter(|n| record(**n).cell == cell);
        let rows = of_cell.fold(0_u8, |rows, n| rows | 1 << n);
        let name = if self.protocol == Protocol::NamedByFirstRow {
            rows.trailing_zeros()
        } else {
            let of_cell = known.iter().filter(|object| object.cell == cell);
            next_place(of_cell.map(|object| u32::from(object.name)))
        };
        let name = u8::try_from(name).expect("few");
        Some(Object { cell, name, rows })
    }

    fn ids<'o>(&'o self, objects: &'o [Object]) -> impl Iterator<Item = u8> + 'o {
        let of_object = |object: &'o Object| {
            let records = self.records.iter().zip(0_u8..);
            records.filter(|(_, n)| object.rows >> n & 1 == 1)
        };
        objects
            .iter()
            .flat_map(of_object)
            .map(|(record, _)| record.id)
    }

    /// The create takes effect, where nothing has its name.
    fn make(&self, state: &mut State, object: Object) -> Result<Created, String> {
        let taken = |other: &Object| (other.cell, other.name) == (object.cell, object.name);
        if state.objects.iter().any(taken) {
            return Ok(Created::AlreadyExists);
        }
        state.objects.push(object);
        let mut landed = HashSet::new();
        if self.ids(&state.objects).all(|id| landed.insert(id)) {
            return Ok(Created::Yes);
        }
        Err(format!("an id landed twice: {state:?}\nof {self:?}"))
    }

    /// The caller hears of its create.
    fn after(&self, state: &mut State, index: usize, object: Object, created: Created) {
        let invocation = &mut state.invocations[index];
        let mut setbacks = Setbacks {
            taken: invocation.taken,
            uncertain: invocation.uncertain,
        };
        let believed = if self.protocol == Protocol::UnansweredIsMade && created == Created::Unknown
        {
            Created::Yes
        } else {
            created
        };
        match setbacks.after_create(believed) {
            Decision::Committed => invocation.known.iter_mut().for_each(|known| {
                known.push(object);
                known.sort_unstable();
            }),
            Decision::LookAgain { .. } => invocation.known = None,
            // It ends, and its lane delivers again.
            Decision::HandBack => {
                state.invocations.remove(index);
                return;
            }
        }
        invocation.taken = setbacks.taken;
        invocation.uncertain = setbacks.uncertain;
    }

    /// Nothing is left to be made: the lane hears of it, or does not.
    fn answer(&self, state: &State, index: usize, next: &mut Vec<State>) -> Result<(), String> {
        let mut state = state.clone();
        let invocation = state.invocations.remove(index);
        if !invocation.awaited {
            next.push(state);
            return Ok(());
        }
        if state.faults > 0 {
            let mut state = state.clone();
            state.faults -= 1;
            next.push(state);
        }
        let landed: HashSet<u8> = self.ids(&state.objects).collect();
        let records = self.records.iter().zip(0_u8..);
        let mut batch = records.filter(|(_, n)| invocation.batch >> n & 1 == 1);
        if batch.any(|(record, _)| !landed.contains(&record.id)) {
            return Err(format!(
                "a batch was answered without its rows: {state:?}\nof {self:?}"
            ));
        }
        state.done[invocation.lane] += 1;
        next.push(state);
        Ok(())
    }
}
