//! Policies for tests: compiled from text, on the host and in the kernel.

use std::path::Path;

use octroi::{
    config::Config,
    dataplane::{
        DataplaneError, Program, ProgramOptions, Shared, Sharing, bpffs::Scratch, program::TestResult,
    },
    lease::Prefix,
    policy::{Databases, compile::classify, slots::Slots},
};
use octroi_abi::{Counter, Verdict};
use octroi_gate::host::Compiled;

/// A policy with every action, on the embedded tables: what the demo shows and what `tests/verdicts.rs` proves. Germany
/// is tagged, France only watched.
pub const STORY: &str = r#"[[rule]]
name   = "partner"                       # Azure China, under contract
source = { country = ["CN"], asn = [58593] }
action = "pass"

[[rule]]
name   = "unsupported-regions"
source = { country = ["CN", "KP"] }
action = "drop"

[[rule]]
name   = "handle-with-care"
source = { country = ["DE"] }
action = "tag"
mark   = 0x2a
dscp   = "CS1"

[[rule]]
name    = "next-in-line"                 # only watched for now
source  = { country = ["FR"] }
action  = "drop"
observe = true
"#;

/// Two policies that agree on China and the United States, and on little else: classes, tables and slots differ.
pub const AGREEING: [&str; 2] = [
    "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n",
    "[[rule]]\nname = \"eu\"\nsource = { continent = [\"EU\"] }\naction = \"tag\"\nmark = 9\n\
     [[rule]]\nname = \"net\"\nsource = { cidr = [\"1.0.1.0/24\", \"9.0.0.0/8\"] }\naction = \"drop\"\nobserve = true\n\
     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\", \"KP\"] }\naction = \"drop\"\n",
];

/// A compiled policy, and what its slots mean.
pub struct Policy {
    /// The configuration.
    pub config: Config,
    /// The databases it names, or the embedded ones.
    pub databases: Databases,
    /// The bytes.
    pub compiled: Compiled,
    /// What is counted where.
    pub slots: Slots,
}

impl Policy {
    /// Compiles a policy for any time; interfaces need not be given.
    ///
    /// # Panics
    /// When it is not valid.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::since(text, None)
    }

    /// The same for that time and later, in nanoseconds since the Unix epoch: see [`classify`].
    ///
    /// # Panics
    /// When it is not valid.
    #[must_use]
    pub fn since(text: &str, now: Option<u64>) -> Self {
        let text = format!("interfaces = [\"none0\"]\n{text}");
        let config =
            Config::parse(&text, Path::new("/test.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let databases = Databases::open(&config).unwrap_or_else(|error| panic!("{error}"));
        let classified = classify(&config, &databases, now).unwrap_or_else(|error| panic!("{error}"));
        let mut compilation = classified.build(&config).unwrap_or_else(|error| panic!("{error}"));
        let mut slots = Slots::new();
        compilation.assign(&mut slots, &[], |_| Counter::default()).unwrap_or_else(|error| panic!("{error}"));
        Self { config, databases, compiled: compilation.compiled, slots }
    }

    /// Loads it into the kernel, attached to nothing.
    ///
    /// # Panics
    /// Without the privilege to.
    #[must_use]
    pub fn in_kernel(&self) -> Kernel {
        Kernel::load(&self.compiled, ProgramOptions::default())
    }
}

/// A policy in the kernel.
pub struct Kernel {
    program: Program,
    shared: Shared,
}

impl Kernel {
    /// Loads compiled bytes, attached to nothing, so that each packet is noted.
    ///
    /// # Panics
    /// Without the privilege to.
    #[must_use]
    pub fn load(compiled: &Compiled, options: ProgramOptions) -> Kernel {
        let scratch = Scratch::apart(Path::new("/sys/fs/bpf"))
            .unwrap_or_else(|error| panic!("{error}; run the tests as root"));
        let options = ProgramOptions { trace: true, ..options };
        let loaded = Program::load(&scratch, compiled, Sharing::Nothing, options);
        let (program, shared) = loaded.unwrap_or_else(|error| panic!("{error}; run the tests as root"));
        Kernel { program, shared: shared.expect("nobody gave it others") }
    }

    /// Loads compiled bytes without sockets and buckets, at a time that stands still.
    ///
    /// # Panics
    /// As [`load`](Self::load).
    #[must_use]
    pub fn load_alone(compiled: &Compiled) -> Kernel {
        Kernel::load(compiled, ProgramOptions { alone: true, ..ProgramOptions::default() })
    }

    /// Gives the sources of a prefix a verdict until that time, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub fn lease(&mut self, prefix: Prefix, verdict: Verdict, until: u64) -> Result<(), DataplaneError> {
        self.program.lease(&mut self.shared, prefix.network(), verdict, until)
    }

    /// Makes it believe that it is `now`, in nanoseconds since the Unix epoch.
    pub fn set_now(&mut self, now: u64) {
        self.program.set_now(now);
    }

    /// What its counters below slot `end` stand at.
    ///
    /// # Panics
    /// When the kernel does not tell.
    #[must_use]
    pub fn counts(&self, end: u32) -> Vec<Counter> {
        self.shared.counters().read(end).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// What an engine did to a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The counter's slot.
    pub slot: u32,
}

impl Kernel {
    /// Runs the program on a frame of at least 14 bytes, which is the least the kernel takes.
    ///
    /// # Panics
    /// When the kernel refuses the run.
    pub fn judge(&mut self, frame: &[u8]) -> (Judged, Vec<u8>) {
        let result = self.run(frame);
        (Judged { verdict: result.verdict, slot: result.slot }, result.frame)
    }

    /// The same with the action that the program returned.
    ///
    /// # Panics
    /// When the kernel refuses the run.
    pub fn run(&mut self, frame: &[u8]) -> TestResult {
        self.program.test_run(frame).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// What the host's engine does to a frame.
#[must_use]
pub fn host(compiled: &Compiled, frame: &[u8]) -> Judged {
    let outcome = compiled.judge(frame);
    Judged { verdict: outcome.verdict, slot: outcome.slot }
}
