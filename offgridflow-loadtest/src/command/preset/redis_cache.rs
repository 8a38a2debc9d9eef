//! A mix on a Redis cache, or a stampede.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    Keys, LoadTest, OnCap, ProgressLines, Rate, RedisCommand, RedisTarget,
    command::{
        Failure,
        arguments::values::{parse_count, parse_number, parse_rate, parse_share},
        ended,
        forms::{self, Forms, json},
        report_file::is_stdout,
        runtime, say, tell, until_interrupted, usage,
    },
    units::parse_duration,
};

#[derive(Debug, Args)]
pub(super) struct RedisCache {
    /// The variable of the environment that holds the server's URL (redis://), which may hold a password.
    #[arg(long, value_name = "VARIABLE", default_value = "REDIS_URL")]
    url_env: String,
    /// Operations a second.
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate, default_value = "1000")]
    rate: f64,
    /// How long.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    duration: Duration,
    /// How many keys there are.
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u64>, default_value = "100000")]
    keys: u64,
    /// How uneven keys are asked for, by Zipf's law; 0 is evenly.
    #[arg(long, value_name = "SKEW", value_parser = parse_number, default_value = "0.99")]
    zipf: f64,
    /// The share of reads; the others are writes.
    #[arg(long, value_name = "SHARE", value_parser = parse_share, default_value = "90%")]
    reads: f64,
    /// How long values are, in bytes, drawn evenly up to this.
    #[arg(long, value_name = "BYTES", value_parser = parse_count::<usize>, default_value = "1000")]
    value_bytes: usize,
    /// How many keys are there at the start, from the one that is asked for most.
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u64>, default_value = "50000")]
    fill: u64,
    /// How many commands are sent together, as one operation.
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<usize>, default_value = "1")]
    pipeline: usize,
    /// Connections.
    #[arg(long, short = 'c', value_name = "COUNT", value_parser = parse_count::<usize>, default_value = "64")]
    connections: usize,
    /// A stampede in place of the mix: only reads, of keys that expire after this long; who misses one loads it for --load and sets it, with no regard for others who do.
    #[arg(long, value_name = "TTL", value_parser = parse_duration, conflicts_with_all = ["reads", "pipeline", "fill"])]
    stampede: Option<Duration>,
    /// How long a load takes in a stampede.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "50ms", requires = "stampede")]
    load: Duration,
    /// A condition such as `p99(response) < 5ms`; repeatable.
    #[arg(long = "threshold", short = 't', value_name = "CONDITION")]
    thresholds: Vec<String>,
    /// Also write the report as JSON to this file; `-` is standard output, and the text goes to standard error then.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    forms: Forms,
    /// No line a second on standard error.
    #[arg(long, short)]
    quiet: bool,
}

impl RedisCache {
    pub(super) fn run(&self) -> Result<ExitCode, Failure> {
        let url = std::env::var(&self.url_env)
            .map_err(|_| usage(format!("--url-env: the environment has no `{}`", self.url_env)))?;
        let [html, junit, prometheus] = self.forms.asked();
        let asked = [("--json", self.json.as_ref(), json as _), html, junit, prometheus];
        forms::refuse_one_file_for_two(&asked.map(|(flag, path, _)| (flag, path))).map_err(usage)?;
        let forms = forms::open(&asked).map_err(usage)?;
        let test = LoadTest::new(self.target(&url)?)
            .rate(Rate::constant(self.rate, self.duration))
            .max_in_flight(self.connections, OnCap::Queue)
            .warm_sessions(self.connections);
        let test = self.thresholds.iter().fold(test, LoadTest::threshold);
        let test = if self.quiet { test } else { test.reporter(ProgressLines::stderr()) };
        test.validate()?;
        let stop = test.stop_handle();
        let report = runtime()?.block_on(until_interrupted(&stop, test.run()))?;
        let failures: Vec<_> = forms.into_iter().filter_map(|form| form.write(&report).err()).collect();
        let takes_stdout = asked.iter().any(|(_, path, _)| path.is_some_and(|path| is_stdout(path)));
        if takes_stdout { tell(&report) } else { say(&report) }?;
        Ok(ended(&report, &failures))
    }

    fn target(&self, url: &str) -> Result<RedisTarget, Failure> {
        let target = RedisTarget::new(url)?.keys(Keys::zipf(self.keys, self.zipf));
        if let Some(ttl) = self.stampede {
            return Ok(target.command(RedisCommand::get()).refill(self.value_bytes, ttl, self.load));
        }
        if !(0.0..=1.0).contains(&self.reads) {
            return Err(usage("--reads: is a share from 0% to 100%"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 1 000")]
        let reads = libm::round(self.reads * 1_000.0) as u64;
        let target = target.fill(self.fill).pipeline(self.pipeline);
        let (get, set) = (RedisCommand::get().weight(reads), RedisCommand::set(1..=self.value_bytes.max(1)));
        Ok(target.command(get).command(set.weight(1_000 - reads)))
    }
}
