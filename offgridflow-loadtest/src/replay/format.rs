//! How a log is written.

use std::{borrow::Cow, fmt, path::Path, str::FromStr};

use super::timestamp::short;
use crate::error::ConfigError;

/// How a log is written.
///
/// ```
/// use offgridflow_loadtest::LogFormat;
/// assert_eq!(LogFormat::of_path("logs/access.log"), LogFormat::Common);
/// assert_eq!(LogFormat::of_path("EXPORT.CSV"), LogFormat::Csv(Default::default()));
/// assert_eq!("csv".parse(), Ok(LogFormat::Csv(Default::default())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// The Common Log Format, and the Combined one, of Apache, nginx and others.
    Common,
    /// The same with the virtual host and its port in front (`www.example.com:443`), as Apache's `vhost_combined` has it.
    VirtualHost,
    /// Comma-separated values (RFC 4180), with a header row; without one if the first row begins with a
    /// timestamp. Times are those of [`Fields`].
    Csv(Fields),
    /// One JSON object a line; names with points (`request.uri`) look into objects.
    #[cfg(feature = "serde")]
    Ndjson(Fields),
}

/// Which columns or fields of a log say what. Times are RFC 3339, or seconds or (from 10¹¹ on) milliseconds
/// since 1970, with or without a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// The time. Default: the first of `time`, `timestamp`, `@timestamp` and `ts` that there is; in CSV without
    /// any of them the first column.
    pub time: Option<String>,
    /// The method. Default: `method` or `request.method`, where there is one.
    pub method: Option<String>,
    /// The path with its query. Default: `path`, in JSON also `uri`, `request.path` or `request.uri`, where
    /// there is one.
    pub path: Option<String>,
    /// The host that was asked. Default: it is not read.
    pub host: Option<String>,
    /// Who asked, for [visits](crate::ReplayBuilder::visits). Default: it is not read.
    pub client: Option<String>,
}

impl LogFormat {
    /// By the file's extension, in small letters or capitals: `.csv`; `.ndjson`, `.jsonl` and `.json`; else the Common Log Format.
    #[must_use]
    pub fn of_path(path: impl AsRef<Path>) -> Self {
        let extension = path.as_ref().extension().unwrap_or_default();
        match &*extension.to_str().unwrap_or_default().to_ascii_lowercase() {
            "csv" => Self::Csv(Fields::default()),
            #[cfg(feature = "serde")]
            "ndjson" | "jsonl" | "json" => Self::Ndjson(Fields::default()),
            _ => Self::Common,
        }
    }

    /// Whether its fields have names, which the log or its reader chooses.
    #[cfg(feature = "cli")]
    pub(crate) fn has_names(&self) -> bool {
        !matches!(self, Self::Common | Self::VirtualHost)
    }

    /// The same format, with other columns or fields.
    ///
    /// # Errors
    /// The log formats of servers have no names.
    pub fn with_fields(self, fields: Fields) -> Result<Self, ConfigError> {
        match self {
            Self::Csv(_) => Ok(Self::Csv(fields)),
            #[cfg(feature = "serde")]
            Self::Ndjson(_) => Ok(Self::Ndjson(fields)),
            Self::Common | Self::VirtualHost if fields == Fields::default() => Ok(self),
            Self::Common | Self::VirtualHost => Err(ConfigError::new(
                "format",
                "the Common Log Format has no named fields: use csv or ndjson",
            )),
        }
    }
}

impl FromStr for LogFormat {
    type Err = ConfigError;

    /// `clf`, `vclf` (with virtual hosts), `csv` or `ndjson`, with the usual fields.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "clf" => Ok(Self::Common),
            "vclf" => Ok(Self::VirtualHost),
            "csv" => Ok(Self::Csv(Fields::default())),
            #[cfg(feature = "serde")]
            "ndjson" => Ok(Self::Ndjson(Fields::default())),
            _ => Err(ConfigError::new(
                "format",
                format!(
                    "`{text}` is not known: write clf, vclf (virtual hosts in front), csv, or (feature `serde`) ndjson"
                ),
            )),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Common => "clf",
            Self::VirtualHost => "vclf",
            Self::Csv(_) => "csv",
            #[cfg(feature = "serde")]
            Self::Ndjson(_) => "ndjson",
        })
    }
}

/// How times are usually called.
pub(super) const TIME: [&str; 4] = ["time", "timestamp", "@timestamp", "ts"];

/// What a record says.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) at_ns: i64,
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) path: Option<Cow<'a, str>>,
    pub(super) host: Option<Cow<'a, str>>,
    pub(super) client: Option<Cow<'a, str>>,
}

/// Methods in the case that HTTP wants, for logs that write them in another.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

impl Parsed<'_> {
    /// Standard methods in capitals, no blank for a path; refuses what a load test does not ask.
    pub(super) fn checked(mut self) -> Result<Self, String> {
        self.path = self.path.filter(|path| !path.trim().is_empty());
        if let Some(method) = &mut self.method {
            let standard = METHODS.iter().find(|standard| standard.eq_ignore_ascii_case(method));
            *method = standard.map_or_else(|| std::mem::take(method), |&standard| Cow::Borrowed(standard));
        }
        let method = self.method.as_deref().unwrap_or("GET");
        match (method, self.path.as_deref()) {
            ("CONNECT" | "TRACE", _) => {
                Err(format!("asks for {method}, which is for proxies and not for a load test"))
            }
            (_, Some("*")) => Err(format!("asks for `{method} *`, of the server as a whole and no path")),
            _ if !is_token(method) => Err(format!("asks for `{}`, not an HTTP method", short(method))),
            _ => Ok(self),
        }
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
