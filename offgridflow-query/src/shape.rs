//! Where rows go and what they consist of.

use crate::error::ConfigError;
use crate::ident::{Ident, target};

/// What a column holds. One kind is one wire encoding on each database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Boolean; 0 or 1 on SQLite.
    Bool,
    /// 16-bit integer.
    Int2,
    /// 32-bit integer.
    Int4,
    /// 64-bit integer.
    Int8,
    /// Single-precision number; a double on SQLite, which has no NaN.
    Float4,
    /// Double. SQLite has no NaN (it would store NULL), so a row with one is rejected there.
    Float8,
    /// Text. PostgreSQL takes no NUL character.
    Text,
    /// Raw bytes.
    Bytes,
    /// UUID; a 16-byte blob on SQLite, as sqlx stores it.
    Uuid,
    /// Date and time without zone; ISO 8601 text on SQLite. Years 1 to 9999.
    Timestamp,
    /// An instant; ISO 8601 text in UTC on SQLite. Years 1 to 9999.
    TimestampTz,
    /// A day; ISO 8601 text on SQLite. Years 1 to 9999.
    Date,
    /// A decimal number carried as text. On SQLite give the column TEXT affinity, or it becomes a double.
    Numeric,
    /// JSON carried as text; goes into `json` and `jsonb`.
    Json,
    /// An array of one dimension, whose elements can be NULL. PostgreSQL only.
    Array(Element),
}

macro_rules! elements {
    ($($kind:ident),+) => {
        /// What the elements of a [`Kind::Array`] hold: every kind but an array.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Element {
            $(#[doc = concat!("[`Kind::", stringify!($kind), "`].")] $kind),+
        }

        impl Element {
            /// The same as the kind of a column.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$kind => Kind::$kind),+ }
            }

            /// What an array of `kind` holds; `None` for an array of arrays.
            #[must_use]
            pub const fn of(kind: Kind) -> Option<Self> {
                match kind { $(Kind::$kind => Some(Self::$kind),)+ Kind::Array(_) => None }
            }
        }
    };
}

elements!(
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Text,
    Bytes,
    Uuid,
    Timestamp,
    TimestampTz,
    Date,
    Numeric,
    Json
);

/// One column of a [`Shape`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: String,
    kind: Kind,
    nullable: bool,
}

impl Column {
    /// A column that takes no NULL.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, nullable: false }
    }

    /// A column that takes NULL.
    #[must_use]
    pub fn nullable(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, nullable: true }
    }

    /// The column that a field of `R` fills; what [`row!`](crate::row) uses.
    #[must_use]
    pub fn of<R, F: crate::Field>(name: impl Into<String>, _field: fn(&R) -> &F) -> Self {
        Self { name: name.into(), kind: F::KIND, nullable: F::NULLABLE }
    }

    /// Name, unquoted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether rows may leave it NULL.
    #[must_use]
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }
}

/// A table, the columns rows fill, and the key that tells rows apart.
///
/// ```
/// use offgridflow_query::{Column, Kind, Shape};
/// let shape = Shape::new("readings", [Column::new("id", Kind::Int8), Column::nullable("watts", Kind::Float8)])
///     .in_schema("metering")
///     .key(["id"]);
/// assert_eq!(shape.target()?, r#""metering"."readings""#);
/// shape.check()?;
/// # Ok::<(), offgridflow_query::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    schema: Option<String>,
    table: String,
    columns: Vec<Column>,
    key: Vec<String>,
}

impl Shape {
    /// Rows for `table` with these columns, in this order. The name is taken whole: `"metering.readings"` is a table with a
    /// dot in its name, and a schema is named by [`in_schema`](Self::in_schema).
    #[must_use]
    pub fn new(table: impl Into<String>, columns: impl IntoIterator<Item = Column>) -> Self {
        let columns = columns.into_iter().collect();
        Self { schema: None, table: table.into(), columns, key: Vec::new() }
    }

    /// Names the schema (PostgreSQL) or the attached database (SQLite).
    #[must_use]
    pub fn in_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The conflict key: columns under one unique constraint. Needed by every [`Conflict`] but `Error`.
    #[must_use]
    pub fn key<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.key = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The schema's name, unquoted, if one was given.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table's name, unquoted.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the conflict key; empty if there is none.
    #[must_use]
    pub fn key_names(&self) -> &[String] {
        &self.key
    }

    /// Positions of the key's columns.
    #[must_use]
    pub fn key_positions(&self) -> Vec<usize> {
        self.key.iter().filter_map(|name| self.position(name)).collect()
    }

    /// Position of the column called `name`.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The quoted table with its schema.
    ///
    /// # Errors
    /// [`ConfigError::Ident`] for a name no database takes.
    pub fn target(&self) -> Result<String, ConfigError> {
        target(self.schema.as_deref(), &self.table)
    }

    /// What follows the table where rows go into it: another name if `excluded.v` would mean its own rows instead of those that are sent.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn alias(&self) -> &'static str {
        if self.table.eq_ignore_ascii_case("excluded") { " AS stored" } else { "" }
    }

    /// What to say where the database has no such table.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn missing(&self) -> String {
        let place =
            self.schema.as_ref().map_or("on the search path".into(), |schema| format!("in {schema:?}"));
        let hint = match self.table.split_once('.') {
            Some((schema, table)) if self.schema.is_none() => {
                format!("; a schema is named apart: the table {table:?}, in_schema({schema:?})")
            }
            _ => String::new(),
        };
        format!("there is no table {:?} {place}{hint}", self.table)
    }

    /// The quoted columns, with commas between them.
    ///
    /// # Errors
    /// [`ConfigError::Ident`] for a name no database takes.
    pub fn column_list(&self) -> Result<String, ConfigError> {
        quoted_list(self.columns.iter().map(Column::name))
    }

    /// Looks for what cannot work on any database: no columns, a column twice, a key without its column.
    ///
    /// # Errors
    /// [`ConfigError::Shape`] or [`ConfigError::Ident`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.target()?;
        self.column_list()?;
        let refuse = |why: String| Err(ConfigError::Shape { table: self.table.clone(), why });
        if self.columns.is_empty() {
            return refuse("it has no columns".into());
        }
        let mut names: Vec<&str> = self.columns.iter().map(Column::name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("column {:?} appears twice", twice[0]));
        }
        match self.key.iter().find(|name| self.position(name).is_none()) {
            Some(name) => refuse(format!("the key names {name:?}, which is not among the columns")),
            None => Ok(()),
        }
    }
}

/// Quotes names and joins them with commas.
pub(crate) fn quoted_list<'a>(names: impl Iterator<Item = &'a str>) -> Result<String, ConfigError> {
    let quoted: Result<Vec<String>, _> = names.map(|name| Ident::new(name).map(|i| i.to_string())).collect();
    Ok(quoted?.join(", "))
}

/// What happens to a row whose key is already stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Conflict {
    /// The row is rejected with [`Class::Unique`](crate::Class::Unique).
    #[default]
    Error,
    /// The stored row stays; the new one is *skipped*, by name.
    Ignore,
    /// Every column outside the key is overwritten. Rows of one flush are sorted by key, and of several rows
    /// with one key only the last is sent; the others are *superseded*.
    Update,
    /// As `Update`, but only these columns are overwritten. Of several rows with one key the first that is not refused and the last one are sent, so that what is
    /// stored is what one row after the other would have left. A group is one statement: of its rows with one key the last one is sent, with the other columns of the first.
    UpdateOnly(Vec<String>),
}

impl Conflict {
    /// Whether stored rows are overwritten.
    #[must_use]
    pub fn updates(&self) -> bool {
        matches!(self, Self::Update | Self::UpdateOnly(_))
    }

    /// Positions of the columns that an insert stores and an update leaves alone, the key's aside.
    pub(crate) fn inserted_only(&self, shape: &Shape) -> Vec<usize> {
        let Self::UpdateOnly(updated) = self else { return Vec::new() };
        let columns = shape.columns.iter().enumerate();
        let left_alone = |name: &String| !updated.contains(name) && !shape.key.contains(name);
        columns.filter(|(_, column)| left_alone(&column.name)).map(|(at, _)| at).collect()
    }

    /// The ON CONFLICT clause for `shape`, with a leading space; empty for `Error`.
    ///
    /// # Errors
    /// [`ConfigError::Shape`] if the shape has no key, or nothing is left to update.
    pub fn clause(&self, shape: &Shape) -> Result<String, ConfigError> {
        let refuse = |why: String| Err(ConfigError::Shape { table: shape.table.clone(), why });
        if *self == Self::Error {
            return Ok(String::new());
        }
        if shape.key.is_empty() {
            return refuse("resolving conflicts needs a key".into());
        }
        let key = quoted_list(shape.key.iter().map(String::as_str))?;
        let columns: Vec<&str> = match self {
            Self::Error | Self::Ignore => return Ok(format!(" ON CONFLICT ({key}) DO NOTHING")),
            Self::Update => {
                let free = shape.columns.iter().filter(|c| !shape.key.contains(&c.name));
                free.map(Column::name).collect()
            }
            Self::UpdateOnly(names) => names.iter().map(String::as_str).collect(),
        };
        if let Some(name) = columns.iter().find(|name| shape.position(name).is_none()) {
            return refuse(format!("cannot update {name:?}, which is not among the columns"));
        }
        if let Some((_, name)) = columns.iter().enumerate().find(|(at, name)| columns[..*at].contains(name)) {
            return refuse(format!("{name:?} is to be updated twice"));
        }
        if columns.is_empty() {
            return refuse("no column is left to update; use Conflict::Ignore".into());
        }
        let sets: Result<Vec<String>, ConfigError> =
            columns.iter().map(|name| Ident::new(name).map(|i| format!("{i} = excluded.{i}"))).collect();
        Ok(format!(" ON CONFLICT ({key}) DO UPDATE SET {}", sets?.join(", ")))
    }
}
