//! Watches this process while it leaks; `cargo run -p offgridflow-profile --example memory`.
use std::thread::sleep;
use std::time::Duration;

use offgridflow_profile::{MemoryWatch, TrendOptions};

fn main() -> Result<(), offgridflow_profile::ProfileError> {
    // Judged after 6 s here, so that the example ends; the defaults of 10 and 30 min are what production wants.
    let window = Duration::from_secs(6);
    let trend = TrendOptions { min_window: window, leak_window: window, ..TrendOptions::default() };
    let watch = MemoryWatch::builder().interval(Duration::from_millis(50)).trend(trend).start()?;
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for second in 1..=8 {
        for _ in 0..20 {
            kept.push(vec![1; 256 << 10]);
            sleep(Duration::from_millis(50));
        }
        let status = watch.status();
        println!("{second} s: {} MiB resident; {}", status.reading.rss_bytes >> 20, status.verdict);
    }
    println!("{} MiB were kept on purpose", kept.len() / 4);
    Ok(())
}
