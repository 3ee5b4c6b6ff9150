//! What a process left on the BPF file system that was killed while it loaded a program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use octroi::dataplane::bpffs::Scratch;
use octroi_tests::{command, gate::Gate, netns::Lab};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

#[test]
fn what_a_killed_load_left_is_swept_and_what_is_in_use_is_not() {
    let lab = Lab::new();
    let left = |name: &str| {
        let path = PathBuf::from(format!("/sys/fs/bpf/octroi-load-{}-{name}", lab.tag()));
        fs::create_dir(&path).expect("root, and a BPF file system");
        let mut bpftool = Command::new("bpftool");
        bpftool.args(["map", "create"]).arg(path.join("map"));
        bpftool.args("type array key 4 value 4 entries 1 name left".split(' '));
        command::run(bpftool, command::SHORT).success();
        path
    };
    let in_use = Scratch::apart(Path::new("/sys/fs/bpf")).expect("root, and a BPF file system");
    let killed = left("one");
    let mut gate = Gate::start(&lab, BLOCK_CN);
    assert!(!killed.exists(), "{}", gate.describe());
    assert!(in_use.path("").exists());

    assert!(gate.stop().success());
    let killed = left("another");
    gate.octroi(["detach"]).success();
    gate.octroi(["detach", "--all"]).success();
    assert!(!killed.exists());
    assert!(in_use.path("").exists());
}
