//! A generation in user space: the same bytes that the kernel gets, read by the same code.

use std::vec::Vec;

use octroi_abi::{Class, Constants, TABLE_PAD};

use crate::{
    judge::{Generation, Outcome, UNDEFINED, judge},
    table::{self, Bytes, builder::Tables},
};

/// A compiled policy as bytes: what is loaded into the kernel, and what `--engine host` judges by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compiled {
    /// Both table images.
    pub tables: Tables,
    /// What happens to each class, by its number.
    pub classes: Vec<Class>,
    /// `policy.malformed = "pass"`.
    pub malformed_passes: bool,
}

impl Compiled {
    /// Judges a frame as the kernel would.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Outcome {
        judge(frame, self)
    }

    fn image<'a>(&self, image: &'a [u8]) -> Bytes<'a> {
        Bytes { image, wide: self.tables.wide }
    }

    /// The constants that go with these tables; no metadata, marks or trace decided yet beyond what classes say.
    #[must_use]
    pub fn constants(&self) -> Constants {
        let limit = |image: &[u8]| u32::try_from(image.len()).unwrap_or(u32::MAX) - TABLE_PAD;
        let roots = &self.tables.roots;
        Constants {
            root_v4: roots.v4,
            root_v6: roots.v6.global,
            other_v6: roots.v6.other,
            divided_v6: roots.v6.divided,
            wide: u32::from(self.tables.wide),
            limit_v4: limit(&self.tables.v4),
            limit_v6: limit(&self.tables.v6),
            last_class: u32::try_from(self.classes.len()).unwrap_or(u32::MAX).saturating_sub(1),
            parts: 0,
            malformed_pass: u32::from(self.malformed_passes),
            marks: u32::from(self.classes.iter().any(|class| class.mark != 0)),
            no_metadata: 0,
            trace: 0,
        }
    }
}

impl Generation for Compiled {
    fn class_v4(&self, address: u32) -> u32 {
        table::class_v4(&self.image(&self.tables.v4), self.tables.roots.v4, address)
    }

    fn class_v6(&self, high: u64, low: u64) -> u32 {
        table::class_v6(&self.image(&self.tables.v6), &self.tables.roots.v6, high, low)
    }

    fn class(&self, number: u32) -> Class {
        self.classes.get(number as usize).copied().unwrap_or(UNDEFINED)
    }

    fn malformed_passes(&self) -> bool {
        self.malformed_passes
    }
}
