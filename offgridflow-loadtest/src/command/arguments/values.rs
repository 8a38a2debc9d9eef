//! How numbers are read from a command line.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use crate::{
    Bursts, Rate,
    units::{parse_duration, parse_percent},
};

pub(in crate::command) fn parse_count<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "write a whole number from 0 up")
}

pub(in crate::command) fn parse_number(text: &str) -> Result<f64, &'static str> {
    text.parse().map_err(|_| "write a number")
}

pub(in crate::command) fn parse_share(text: &str) -> Result<f64, String> {
    parse_percent(text).map(|percent| percent / 100.0)
}

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:9464; port 0 is any that is free")
}

pub(super) fn parse_bursts(text: &str) -> Result<Bursts, String> {
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    let [times, share, length] = parts[..] else {
        return Err(
            "write how many times the rate, for which share of the time, and how long at a time: 5,10%,2s"
                .into(),
        );
    };
    let times = times.trim_end_matches('x').parse().map_err(|_| format!("`{times}` is no number"))?;
    Ok(Bursts { times, share: parse_share(share)?, length: parse_duration(length)? })
}

pub(in crate::command) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number of operations a second")?;
    Rate::constant(rate, Duration::from_secs(1)).validate().map_err(|error| error.hint)?;
    Ok(rate)
}
