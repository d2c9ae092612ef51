//! Chance by a number: the same everywhere for the same seed. It knows nothing of what it is used for.

/// splitmix64.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Chance that follows from `seed` alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n - 1`.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.word() % n
    }

    /// An index below `n`.
    pub fn index(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).expect("a usize is a u64");
        usize::try_from(self.below(n)).expect("it is below a usize")
    }

    /// True once in `n` times.
    pub const fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
