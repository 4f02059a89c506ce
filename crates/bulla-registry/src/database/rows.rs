//! New rows, collected and written many at once: a statement for each row is most of what writing costs.

use std::collections::BTreeMap;

use bulla::Fault;

use super::{Bind, Tx};

/// Of rows in one statement. A power of two below leaves few sizes of statements, so that they are prepared once.
const AT_ONCE: usize = 64;
/// Rows that wait before they are written.
const MOST: usize = 4096;

/// A table: its name and columns, those of the primary key first.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    /// How many of the columns are the primary key.
    pub(crate) key: usize,
    pub(crate) conflict: Conflict,
}

/// What becomes of a row whose key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// That is an error.
    Fail,
    /// The old one stays.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// Rows that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    rows: BTreeMap<&'static str, (&'static Table, Vec<Vec<Bind>>)>,
    count: usize,
}

impl Pending {
    /// Adds a row; the values are in the order of the columns.
    pub(crate) fn add(&mut self, table: &'static Table, row: Vec<Bind>) {
        debug_assert_eq!(row.len(), table.columns.len(), "{}", table.name);
        self.rows.entry(table.name).or_insert_with(|| (table, Vec::new())).1.push(row);
        self.count += 1;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= MOST
    }

    /// Writes all of them.
    pub(crate) async fn write(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        self.count = 0;
        for (table, rows) in std::mem::take(&mut self.rows).into_values() {
            let mut rows = match table.conflict {
                // One statement may not replace a row twice: the last one is what counts.
                Conflict::Replace => {
                    let keyed = rows
                        .into_iter()
                        .map(|row| (row.iter().take(table.key).cloned().collect::<Vec<_>>(), row));
                    keyed.collect::<BTreeMap<_, _>>().into_values().collect::<Vec<_>>().into_iter()
                }
                Conflict::Fail | Conflict::Keep => rows.into_iter(),
            };
            while rows.len() > 0 {
                let mut count = AT_ONCE;
                while count > rows.len() {
                    count /= 2;
                }
                let binds = rows.by_ref().take(count).flatten().collect();
                tx.execute_own(insert(table, count, tx.is_postgres()), binds).await?;
            }
        }
        Ok(())
    }
}

/// `INSERT INTO … VALUES ($1, $2), ($3, $4) ON CONFLICT …`
///
/// For SQLite with `?`: it looks up each named parameter among all of them.
fn insert(table: &Table, rows: usize, numbered: bool) -> String {
    let width = table.columns.len();
    let values: Vec<String> = (0..rows)
        .map(|row| {
            let place = |n| if numbered { format!("${}", row * width + n) } else { "?".to_owned() };
            format!("({})", (1..=width).map(place).collect::<Vec<_>>().join(","))
        })
        .collect();
    let key = table.columns.get(..table.key).unwrap_or_default().join(",");
    let conflict = match table.conflict {
        Conflict::Fail => String::new(),
        Conflict::Keep => format!(" ON CONFLICT ({key}) DO NOTHING"),
        Conflict::Replace => {
            let set = table.columns.iter().skip(table.key);
            let set: Vec<_> = set.map(|name| format!("{name}=excluded.{name}")).collect();
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(","))
        }
    };
    let (name, columns) = (table.name, table.columns.join(","));
    format!("INSERT INTO {name} ({columns}) VALUES {}{conflict}", values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_for_rows() {
        let table = Table { name: "t", columns: &["a", "b"], key: 1, conflict: Conflict::Replace };
        assert_eq!(
            insert(&table, 2, true),
            "INSERT INTO t (a,b) VALUES ($1,$2),($3,$4) ON CONFLICT (a) DO UPDATE SET b=excluded.b"
        );
        assert!(insert(&table, 2, false).contains("VALUES (?,?),(?,?) ON"));
    }
}
