//! Two databases behind one interface: the same SQL text for both, with `$1`. What differs is here: how a transaction begins, and
//! three words of the schema.

mod rows;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bulla::Fault;
use futures_util::TryStreamExt as _;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres, Row as _, Sqlite, Transaction,
    TypeInfo as _, ValueRef as _,
};

pub(crate) use rows::{Conflict, Pending, Table};

/// How long a writer waits for the others.
const BUSY: Duration = Duration::from_secs(60);
/// How long a server may take to answer the first time.
const REACH: Duration = Duration::from_secs(15);
/// How long a caller waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(90);
/// Prepared statements of a connection: more than there are.
const STATEMENTS: usize = 256;
/// SQLite keeps so much of the file in memory, for each connection, in KiB (negative: KiB, as its manual has it).
const SQLITE_CACHE: &str = "-32768";

/// Where a registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database: `postgresql://user:password@host:port/database?sslmode=verify-full`.
    Postgres(String),
}

impl Place {
    /// A URL that begins with `postgres:` or `postgresql:`, and else the path of a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => Self::Postgres(text.to_owned()),
            _ => Self::File(PathBuf::from(text)),
        }
    }
}

/// For messages: without user, password and options.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
                write!(f, "postgresql://{rest}")
            }
        }
    }
}

/// A database, and its pools of connections.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pools: Pools,
    /// For messages.
    place: String,
}

#[derive(Debug, Clone)]
enum Pools {
    /// One connection writes: those who wait for it queue in order, instead of asking SQLite again and again.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads one state of the whole database.
    Read,
    /// Writes; of all processes one at a time.
    Write,
}

impl Database {
    /// Opens a database. A file is made if it may be.
    pub(crate) async fn open(place: &Place, create: bool, connections: u32) -> Result<Self, Fault> {
        let shown = place.to_string();
        let failed = |error: sqlx::Error| failed(&shown, &error);
        let pools = match place {
            Place::File(path) => {
                if !create && !path.exists() {
                    return Err(Fault::Registry {
                        place: shown,
                        detail: "there is no such file".into(),
                        hint: "check the path; a new registry is made with 'bulla registry init'",
                    });
                }
                let options = sqlite(path).create_if_missing(create);
                let pool = |most| PoolOptions::<Sqlite>::new().max_connections(most);
                let write = pool(1).acquire_timeout(ACQUIRE).connect_with(options.clone()).await;
                let read = pool(connections).acquire_timeout(ACQUIRE).connect_lazy_with(options);
                Pools::Sqlite { write: write.map_err(failed)?, read }
            }
            Place::Postgres(url) => {
                let options = PgConnectOptions::from_str(url).map_err(failed)?;
                let options = options
                    .disable_statement_logging()
                    .application_name("bulla-registry")
                    .statement_cache_capacity(STATEMENTS)
                    // Whatever the server's default is: what was answered is durable.
                    .options([("synchronous_commit", "on"), ("client_min_messages", "warning")]);
                // The pool would ask again and again where nobody listens: whoever opens is told at once.
                let first = tokio::time::timeout(REACH, PgConnection::connect_with(&options)).await;
                let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(failed)?;
                first.close().await.map_err(failed)?;
                let pool = PoolOptions::<Postgres>::new()
                    .max_connections(connections)
                    .acquire_timeout(ACQUIRE)
                    .connect_with(options)
                    .await;
                Pools::Postgres(pool.map_err(failed)?)
            }
        };
        Ok(Self { pools, place: shown })
    }

    /// An empty database of this process's own, which is gone when it is dropped. It is not durable and spills to disk.
    pub(crate) async fn scratch() -> Result<Self, Fault> {
        let shown = "in a temporary file".to_owned();
        // No name is a temporary file, for SQLite: it is deleted when the connection is closed, or the process ends.
        let options = SqliteConnectOptions::new()
            .filename("")
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", SQLITE_CACHE)
            .statement_cache_capacity(STATEMENTS)
            .disable_statement_logging();
        let pool = PoolOptions::<Sqlite>::new().max_connections(1).idle_timeout(None);
        let pool = pool.max_lifetime(None).acquire_timeout(ACQUIRE).connect_with(options).await;
        let pool = pool.map_err(|error| failed(&shown, &error))?;
        Ok(Self { pools: Pools::Sqlite { write: pool.clone(), read: pool }, place: shown })
    }

    /// For messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The three words in which schemas differ.
    pub(crate) fn in_dialect(&self, sql: &str) -> String {
        let (bytes, text, rowless) = match self.pools {
            // Rows in the order of their keys, in one tree.
            Pools::Sqlite { .. } => ("BLOB", "TEXT", " WITHOUT ROWID"),
            // Texts are ordered by their bytes, as SQLite and Rust do.
            Pools::Postgres(_) => ("BYTEA", "TEXT COLLATE \"C\"", ""),
        };
        sql.replace("{bytes}", bytes).replace("{text}", text).replace("{rowless}", rowless)
    }

    pub(crate) async fn begin(&self, access: Access) -> Result<Tx, Fault> {
        let begun = match (&self.pools, access) {
            (Pools::Sqlite { write, .. }, Access::Write) => {
                write.begin_with("BEGIN IMMEDIATE").await.map(Inner::Sqlite)
            }
            (Pools::Sqlite { read, .. }, Access::Read) => {
                read.begin_with("BEGIN").await.map(Inner::Sqlite)
            }
            (Pools::Postgres(pool), Access::Write) => {
                pool.begin_with("BEGIN").await.map(Inner::Postgres)
            }
            (Pools::Postgres(pool), Access::Read) => pool
                .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                .await
                .map(Inner::Postgres),
        };
        let inner = begun.map_err(|error| failed(&self.place, &error))?;
        Ok(Tx { inner, place: self.place.clone() })
    }

    /// Ends all connections; what is under way is done first.
    pub(crate) async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres(pool) => pool.close().await,
        }
    }
}

fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was answered survives a power cut; WAL alone promises only an intact file.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .pragma("cache_size", SQLITE_CACHE)
        .pragma("trusted_schema", "OFF")
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// The database did not do what was asked.
pub(crate) fn failed(place: &str, error: &sqlx::Error) -> Fault {
    let hint = match error {
        sqlx::Error::Database(error) if error.is_unique_violation() => {
            "another process wrote the same at once: ask again"
        }
        sqlx::Error::Database(_) => {
            "check the database's own log; what was answered before is untouched"
        }
        sqlx::Error::Configuration(_) => {
            "give a path, or postgresql://user:password@host:port/database"
        }
        _ => {
            "check that the database runs and can be reached, then ask again with the same request"
        }
    };
    // A message may have lines of its own.
    let detail = error.to_string().lines().collect::<Vec<_>>().join("; ");
    Fault::Service { service: "registry's database", url: place.to_owned(), detail, hint }
}

/// A transaction. One that is dropped is rolled back.
pub(crate) struct Tx {
    inner: Inner,
    place: String,
}

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A bound parameter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bind {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! bind_from {
    ($($from:ty => $variant:ident($value:ident => $into:expr)),* $(,)?) => { $(
        impl From<$from> for Bind {
            fn from($value: $from) -> Self { Self::$variant($into) }
        }
    )* };
}
bind_from! {
    i64 => Int(v => Some(v)),
    Option<i64> => Int(v => v),
    bool => Int(v => Some(i64::from(v))),
    &str => Text(v => Some(v.to_owned())),
    String => Text(v => Some(v)),
    Option<String> => Text(v => v),
    &[u8] => Bytes(v => Some(v.to_vec())),
    Vec<u8> => Bytes(v => Some(v)),
    Option<Vec<u8>> => Bytes(v => v),
    &bulla::Digest => Bytes(v => Some(v.as_bytes().to_vec())),
    Option<&bulla::Digest> => Bytes(v => v.map(|v| v.as_bytes().to_vec())),
    bulla_log::tree::Hash => Bytes(v => Some(v.to_vec())),
}

/// Parameters from values of any kinds.
macro_rules! binds {
    ($($value:expr),* $(,)?) => { vec![$(crate::database::Bind::from($value)),*] };
}
pub(crate) use binds;

macro_rules! query {
    ($sql:expr, $binds:expr) => {{
        let mut query = sqlx::query($sql);
        for bind in $binds {
            query = match bind {
                Bind::Int(value) => query.bind(value),
                Bind::Text(value) => query.bind(value),
                Bind::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Tx {
    /// Runs a statement; how many rows it concerned.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        binds: Vec<Bind>,
    ) -> Result<u64, Fault> {
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => {
                query!(sql, binds).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            Inner::Postgres(tx) => {
                query!(sql, binds).execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        };
        done.map_err(|error| failed(&self.place, &error))
    }

    /// Runs a statement that was put together from this crate's own words.
    pub(crate) async fn execute_own(&mut self, sql: String, binds: Vec<Bind>) -> Result<(), Fault> {
        let sql = AssertSqlSafe(sql);
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => query!(sql, binds).execute(&mut **tx).await.map(drop),
            Inner::Postgres(tx) => query!(sql, binds).execute(&mut **tx).await.map(drop),
        };
        done.map_err(|error| failed(&self.place, &error))
    }

    /// Runs statements without parameters: a migration.
    pub(crate) async fn run(&mut self, script: String) -> Result<(), Fault> {
        let script = sqlx::raw_sql(AssertSqlSafe(script));
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => script.execute(&mut **tx).await.map(drop),
            Inner::Postgres(tx) => script.execute(&mut **tx).await.map(drop),
        };
        done.map_err(|error| failed(&self.place, &error))
    }

    /// All rows of a query that has few.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, Fault> {
        self.rows_of(sql, binds).await
    }

    async fn rows_of(
        &mut self,
        sql: impl sqlx::SqlSafeStr,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, Fault> {
        let place = &self.place;
        let row = |inner| Row { inner, place: place.clone() };
        let rows: Result<Vec<Row>, _> = match &mut self.inner {
            Inner::Sqlite(tx) => query!(sql, binds)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(|r| row(Either::Sqlite(r))).collect()),
            Inner::Postgres(tx) => query!(sql, binds)
                .fetch_all(&mut **tx)
                .await
                .map(|rows| rows.into_iter().map(|r| row(Either::Postgres(r))).collect()),
        };
        rows.map_err(|error| failed(place, &error))
    }

    /// Rows of a query that was put together from this crate's own words.
    pub(crate) async fn rows_own(
        &mut self,
        sql: String,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, Fault> {
        self.rows_of(AssertSqlSafe(sql), binds).await
    }

    /// The first row.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        binds: Vec<Bind>,
    ) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, binds).await?.into_iter().next())
    }

    /// The rows of a query that may have many, one after another. `sql` is this crate's own.
    pub(crate) fn stream(
        &mut self,
        sql: String,
    ) -> futures_util::stream::BoxStream<'_, Result<Row, Fault>> {
        use futures_util::StreamExt as _;
        let place = self.place.clone();
        let other = self.place.clone();
        let sql = AssertSqlSafe(sql);
        match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::query(sql)
                .fetch(&mut **tx)
                .map_ok(move |row| Row { inner: Either::Sqlite(row), place: place.clone() })
                .map_err(move |error| failed(&other, &error))
                .boxed(),
            Inner::Postgres(tx) => sqlx::query(sql)
                .fetch(&mut **tx)
                .map_ok(move |row| Row { inner: Either::Postgres(row), place: place.clone() })
                .map_err(move |error| failed(&other, &error))
                .boxed(),
        }
    }

    pub(crate) async fn commit(self) -> Result<(), Fault> {
        let Self { inner, place } = self;
        let done = match inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        };
        done.map_err(|error| failed(&place, &error))
    }

    /// Ends it without a trace. Dropping does the same, later.
    pub(crate) async fn roll_back(self) -> Result<(), Fault> {
        let Self { inner, place } = self;
        let done = match inner {
            Inner::Sqlite(tx) => tx.rollback().await,
            Inner::Postgres(tx) => tx.rollback().await,
        };
        done.map_err(|error| failed(&place, &error))
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.inner, Inner::Postgres(_))
    }
}

/// A row of a result.
pub(crate) struct Row {
    inner: Either,
    place: String,
}

enum Either {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! getter {
    ($name:ident, $optional:ident, $type:ty) => {
        pub(crate) fn $optional(&self, column: usize) -> Result<Option<$type>, Fault> {
            let value = match &self.inner {
                Either::Sqlite(row) => row.try_get::<Option<$type>, _>(column),
                Either::Postgres(row) => row.try_get::<Option<$type>, _>(column),
            };
            value.map_err(|error| self.damaged(&error.to_string()))
        }

        pub(crate) fn $name(&self, column: usize) -> Result<$type, Fault> {
            self.$optional(column)?.ok_or_else(|| self.damaged("a value is missing"))
        }
    };
}

impl Row {
    getter!(int, optional_int, i64);
    getter!(text, optional_text, String);
    getter!(bytes, optional_bytes, Vec<u8>);

    /// A number that is not negative.
    pub(crate) fn number(&self, column: usize) -> Result<u64, Fault> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|_| self.damaged("a number is negative"))
    }

    pub(crate) fn flag(&self, column: usize) -> Result<bool, Fault> {
        Ok(self.int(column)? != 0)
    }

    /// 32 bytes.
    pub(crate) fn hash(&self, column: usize) -> Result<bulla_log::tree::Hash, Fault> {
        self.bytes(column)?.try_into().map_err(|_| self.damaged("a hash does not have 32 bytes"))
    }

    pub(crate) fn digest(&self, column: usize) -> Result<bulla::Digest, Fault> {
        Ok(digest(&self.hash(column)?))
    }

    pub(crate) fn time(&self, column: usize) -> Result<bulla::jiff::Timestamp, Fault> {
        let micros = self.int(column)?;
        bulla::jiff::Timestamp::from_microsecond(micros)
            .map_err(|_| self.damaged("a time is out of range"))
    }

    pub(crate) fn optional_time(
        &self,
        column: usize,
    ) -> Result<Option<bulla::jiff::Timestamp>, Fault> {
        self.optional_int(column)?.map(|_| self.time(column)).transpose()
    }

    /// A row that no writer of this crate leaves.
    pub(crate) fn damaged(&self, detail: &str) -> Fault {
        crate::damaged(&self.place, format!("a row cannot be read: {detail}"))
    }
}

/// A value of a row, of whatever kind it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
    /// Of a kind that no table has.
    Other(String),
}

/// Bytes as hexadecimal digits.
impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Bytes(value) => f.write_str(&hex::encode(value)),
            Self::Other(kind) => write!(f, "a value of type {kind}"),
        }
    }
}

impl Row {
    /// Its first values.
    pub(crate) fn cells(&self, columns: usize) -> Result<Vec<Cell>, Fault> {
        (0..columns).map(|column| self.cell(column)).collect()
    }

    fn cell(&self, column: usize) -> Result<Cell, Fault> {
        let kind = match &self.inner {
            Either::Sqlite(row) => row
                .try_get_raw(column)
                .map(|value| (!value.is_null()).then(|| value.type_info().name().to_owned())),
            Either::Postgres(row) => row
                .try_get_raw(column)
                .map(|value| (!value.is_null()).then(|| value.type_info().name().to_owned())),
        };
        let kind = kind.map_err(|error| self.damaged(&error.to_string()))?;
        Ok(match kind.as_deref() {
            None => Cell::Null,
            Some("INTEGER" | "INT8") => Cell::Int(self.int(column)?),
            Some("TEXT") => Cell::Text(self.text(column)?),
            Some("BLOB" | "BYTEA") => Cell::Bytes(self.bytes(column)?),
            Some(other) => Cell::Other(other.to_owned()),
        })
    }
}

/// A digest from its 32 bytes.
pub(crate) fn digest(hash: &bulla_log::tree::Hash) -> bulla::Digest {
    // 64 digits of a hash are always a digest; the fallback is never seen.
    crate::wire::hex_digest(&hex::encode(hash)).unwrap_or_else(|| bulla::Digest::sha256(&[]))
}

/// Microseconds since 1970: what tables have for times. The log has them in full.
pub(crate) fn micros(time: bulla::jiff::Timestamp) -> i64 {
    time.as_microsecond()
}

/// A number as databases have it. What is larger was refused before.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
