//! What the verifier makes of policies: instructions it looked at, and how long a load takes.

use std::time::Instant;

use octroi::dataplane::{Program, ProgramOptions, Sharing, bpffs::Scratch};
use octroi_tests::policy::Policy;

fn main() {
    for (name, text) in [
        ("nothing", ""),
        ("tag", "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"tag\"\ndscp = 1\n"),
        (
            "drop at once",
            "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"drop\"\nestablished = \"drop\"\n",
        ),
        ("drop", "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"drop\"\n"),
        (
            "service",
            "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"drop\"\nservice = [\"tcp/443\"]\n",
        ),
        (
            "limit",
            "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"limit\"\nrate = 5\nper = \"source\"\n",
        ),
        ("reject", "[[rule]]\nname = \"a\"\nsource = { any = true }\naction = \"reject\"\n"),
    ] {
        let policy = Policy::new(text);
        let scratch = Scratch::apart(std::path::Path::new("/sys/fs/bpf")).expect("root");
        let started = Instant::now();
        match Program::load(&scratch, &policy.compiled, Sharing::Nothing, ProgramOptions::default()) {
            Ok((mut program, _)) => {
                let count = program.verified_instructions().expect("loaded");
                println!(
                    "{name:<16} {count:?} instructions, load {:.0} ms",
                    started.elapsed().as_secs_f64() * 1e3
                );
            }
            Err(error) => {
                let text = error.to_string();
                println!("{name:<16} {}", &text[text.len().saturating_sub(400)..]);
            }
        }
    }
}
