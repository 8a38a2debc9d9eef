use super::Dice;

/// What a shared machine does to the time of a benchmark: logarithms of a slow-down, one for each process in the order they ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Independent normal noise of 2 %.
    Calm,
    /// 20 % slower by the end.
    Drift,
    /// Each process resembles the one before: AR(1) with 0.9.
    Memory,
    /// 20 % slower from the middle on.
    Shift,
    /// Pareto with shape 1.5 over 1 %: no variance.
    Tails,
    /// Three processes in ten are 10 % slower.
    Bimodal,
    /// Whoever runs second is 3 % slower.
    Order,
    /// All of it.
    Storm,
}

impl Weather {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Calm,
        Self::Drift,
        Self::Memory,
        Self::Shift,
        Self::Tails,
        Self::Bimodal,
        Self::Order,
        Self::Storm,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Drift => "drift 20 %",
            Self::Memory => "AR(1) 0.9",
            Self::Shift => "level shift 20 %",
            Self::Tails => "Pareto tails",
            Self::Bimodal => "bimodal",
            Self::Order => "order effect 3 %",
            Self::Storm => "all of it",
        }
    }

    fn has(self, part: Self) -> bool {
        self == part || self == Self::Storm
    }

    /// The slow-downs (ln) of `rounds` pairs of processes.
    #[must_use]
    pub fn pairs(self, rounds: usize, dice: &mut Dice) -> Vec<[f64; 2]> {
        let processes = 2 * rounds;
        let mut memory = 0.0;
        let mut one = |nth: usize| {
            let mut slow = 0.02 * dice.normal();
            if self.has(Self::Memory) {
                memory = 0.9 * memory + slow;
                slow = memory;
            }
            slow += if self.has(Self::Drift) { 0.2 * nth as f64 / processes as f64 } else { 0.0 };
            slow += if self.has(Self::Shift) && nth >= rounds { 0.2 } else { 0.0 };
            slow += if self.has(Self::Tails) { 0.01 * dice.pareto(1.5) } else { 0.0 };
            slow += if self.has(Self::Bimodal) && dice.unit() < 0.3 { 0.1 } else { 0.0 };
            slow + if self.has(Self::Order) { 0.03 * (nth % 2) as f64 } else { 0.0 }
        };
        (0..rounds).map(|round| [one(2 * round), one(2 * round + 1)]).collect()
    }
}

/// Noise of a ratio that is not symmetric: what two sides of different make can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// Exponential, tail upwards.
    Exponential,
    /// Exponential, tail downwards.
    Downwards,
    /// Log-normal with σ = 1.
    LogNormal,
    /// A fifth of the values ten spreads higher.
    Bimodal,
}

impl Skew {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Exponential, Self::Downwards, Self::LogNormal, Self::Bimodal];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Downwards => "exponential downwards",
            Self::LogNormal => "log-normal",
            Self::Bimodal => "skewed bimodal",
        }
    }

    /// One value, not centred.
    pub fn draw(self, dice: &mut Dice) -> f64 {
        match self {
            Self::Exponential => dice.exponential(),
            Self::Downwards => -dice.exponential(),
            Self::LogNormal => dice.normal().exp(),
            Self::Bimodal => dice.normal() + if dice.unit() < 0.2 { 10.0 } else { 0.0 },
        }
    }

    /// The median of `draw` and its pseudomedian (the median of the mean of two), from a million draws.
    #[must_use]
    pub fn centres(self) -> (f64, f64) {
        const DRAWS: usize = 1_000_000;
        let mut dice = Dice::new(11);
        let mut single: Vec<f64> = (0..DRAWS).map(|_| self.draw(&mut dice)).collect();
        let mut means: Vec<f64> =
            (0..DRAWS).map(|_| f64::midpoint(self.draw(&mut dice), self.draw(&mut dice))).collect();
        let middle = |values: &mut [f64]| crate::stats::middle_of(values).unwrap_or(f64::NAN);
        (middle(&mut single), middle(&mut means))
    }
}
