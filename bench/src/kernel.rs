//! The measuring programs in the kernel: loaded with a world, run on a list of addresses, timed.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use aya::{
    maps::lpm_trie::{Key, LpmTrie},
    programs::{TestRun, TestRunOptions, Xdp},
};
use octroi::dataplane::{bpffs::Scratch, object::Object};
use octroi_abi::{
    Constants,
    bench::{ADDRESSES, Run, V6_FRAME, name},
};
use octroi_gate::corpus::build::udp;

use crate::world::{World, dir_24_8, prefixes, wide};

/// A world in the kernel.
pub(crate) struct Kernel {
    object: Object,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    /// Nanoseconds a packet.
    pub(crate) ns: f64,
    /// What the look-ups found, added up.
    pub(crate) sum: u64,
}

/// The entries of a rival, and what they take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// Prefixes.
    pub(crate) entries: usize,
    /// Seconds that filling took.
    pub(crate) seconds: f64,
}

impl Kernel {
    /// Loads the measuring programs in `object` with a world. `rivals`: DIR-24-8 too; the LPM tries are filled apart.
    pub(crate) fn load(object: &Path, world: &World, rivals: bool) -> anyhow::Result<Self> {
        Self::load_with(object, world, rivals, world.compiled.constants())
    }

    /// The same with the tables in parts, so that each read from one looks a map up first.
    pub(crate) fn load_in_parts(object: &Path, world: &World) -> anyhow::Result<Self> {
        Self::load_with(object, world, false, Constants { parts: 1, ..world.compiled.constants() })
    }

    fn load_with(object: &Path, world: &World, rivals: bool, constants: Constants) -> anyhow::Result<Self> {
        let bytes = fs::read(object).with_context(|| format!("read {}", object.display()))?;
        let scratch = Scratch::apart(Path::new("/sys/fs/bpf"))?;
        let (dir24, dir8) = if rivals { dir_24_8(&world.v4)? } else { (vec![0; 8], vec![0; 8]) };
        // Declared sizes are what the program's masks rely on.
        let dir24 = padded(dir24, 2 << 24);
        let dir8 = padded(dir8, 2 << 23);
        let more: [(&str, &[u8]); 5] = [
            (name::ADDRESSES_V4, &vec![0; 4 * ADDRESSES]),
            (name::ADDRESSES_V6, &vec![0; 16 * ADDRESSES]),
            (name::RUN, &[0; size_of::<Run>()]),
            (name::DIR_24, &dir24),
            (name::DIR_8, &dir8),
        ];
        let object = Object::load(&bytes, &scratch, &world.compiled, &constants, Vec::new(), &more)?;
        let mut kernel = Self { object };
        kernel.set(6, world.unknown().into())?;
        Ok(kernel)
    }

    /// Fills the kernel's LPM tries with the same world.
    pub(crate) fn fill_lpm(&mut self, world: &World) -> anyhow::Result<[Filled; 2]> {
        let unknown = world.unknown();
        let started = std::time::Instant::now();
        let v4 = prefixes(&wide(&world.v4), 32, unknown);
        let map = self.object.ebpf.map_mut(name::LPM_V4).context("no LPM_V4")?;
        let mut trie: LpmTrie<_, u32, u32> = LpmTrie::try_from(map)?;
        for &(base, length, class) in &v4 {
            trie.insert(&Key::new(length, u32::try_from(base)?.to_be()), u32::from(class), 0)?;
        }
        let first = Filled { entries: v4.len(), seconds: started.elapsed().as_secs_f64() };
        let started = std::time::Instant::now();
        let v6 = prefixes(&world.v6, 128, unknown);
        let map = self.object.ebpf.map_mut(name::LPM_V6).context("no LPM_V6")?;
        let mut trie: LpmTrie<_, u128, u32> = LpmTrie::try_from(map)?;
        for &(base, length, class) in &v6 {
            trie.insert(&Key::new(length, base.to_be()), u32::from(class), 0)?;
        }
        Ok([first, Filled { entries: v6.len(), seconds: started.elapsed().as_secs_f64() }])
    }

    /// Verifies a program.
    pub(crate) fn prepare(&mut self, program: &str) -> anyhow::Result<()> {
        let xdp = xdp(&mut self.object, program)?;
        if xdp.fd().is_err() {
            xdp.load().with_context(|| format!("load {program}"))?;
        }
        Ok(())
    }

    /// Sets the IPv4 addresses that runs go through.
    pub(crate) fn set_v4(&mut self, addresses: &[u128]) -> anyhow::Result<()> {
        let words = addresses.iter().map(|&address| u32::try_from(address));
        let words: Vec<u32> = words.collect::<Result<_, _>>()?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.object.section(name::ADDRESSES_V4)?.write(&bytes);
        Ok(())
    }

    /// Sets the IPv6 addresses that runs go through.
    pub(crate) fn set_v6(&mut self, addresses: &[u128]) -> anyhow::Result<()> {
        let halves = |address: u128| {
            let low = u64::try_from(address & u128::from(u64::MAX)).expect("64 bits");
            let high = u64::try_from(address >> 64).expect("64 bits");
            [high.to_ne_bytes(), low.to_ne_bytes()].concat()
        };
        let bytes: Vec<u8> = addresses.iter().flat_map(|&address| halves(address)).collect();
        self.object.section(name::ADDRESSES_V6)?.write(&bytes);
        Ok(())
    }

    /// Runs a program on `packets` packets whose families are as [`Run::family`] says.
    pub(crate) fn run(&mut self, program: &str, packets: u32, family: u64) -> anyhow::Result<Timed> {
        let mut frames = frame("192.0.2.1", "10.88.0.2");
        frames.resize(V6_FRAME, 0);
        frames.extend(frame("2001:db8::1", "fd00:88::2"));
        self.run_on(program, packets, family, &frames)
    }

    /// The same on packets like these: an IPv4 packet, and where IPv6 packets come too, one at [`V6_FRAME`].
    pub(crate) fn run_on(
        &mut self,
        program: &str,
        packets: u32,
        family: u64,
        frames: &[u8],
    ) -> anyhow::Result<Timed> {
        let mut frames = frames.to_vec();
        // The programs compare no less with its end.
        frames.resize(frames.len().max(V6_FRAME + 54), 0);
        for (field, value) in [(0, 0), (1, u64::from(packets) - 1), (2, family), (3, 0), (4, 0), (5, 0)] {
            self.set(field, value)?;
        }
        let xdp = xdp(&mut self.object, program)?;
        let options = TestRunOptions { data_in: Some(&frames), repeat: packets, ..TestRunOptions::new() };
        let result = xdp.test_run(options).with_context(|| format!("run {program}"))?;
        ensure!(result.return_value != 0, "{program} came upon a packet that it does not know");
        let [next, sum, start, end] = [0, 3, 4, 5].map(|field| self.get(field));
        let (next, sum, start, end) = (next?, sum?, start?, end?);
        ensure!(next == u64::from(packets) && end > start, "{program} ran on {next} of {packets} packets");
        Ok(Timed { ns: (end - start) as f64 / f64::from(packets - 1), sum })
    }

    /// A field of [`Run`], by its number.
    fn get(&mut self, field: usize) -> anyhow::Result<u64> {
        let run = self.object.section(name::RUN)?;
        Ok(u64::from(run.read_u32(8 * field)) | u64::from(run.read_u32(8 * field + 4)) << 32)
    }

    fn set(&mut self, field: usize, value: u64) -> anyhow::Result<()> {
        self.object.section(name::RUN)?.write_at(8 * field, &value.to_ne_bytes());
        Ok(())
    }
}

fn xdp<'o>(object: &'o mut Object, program: &str) -> anyhow::Result<&'o mut Xdp> {
    let found = object.ebpf.program_mut(program).with_context(|| format!("no program {program}"))?;
    Ok(found.try_into()?)
}

fn frame(source: &str, destination: &str) -> Vec<u8> {
    let address = |text: &str| text.parse().expect("an address");
    udp(address(source), address(destination)).ports(4000, 443).frame()
}

fn padded(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.resize(length, 0);
    bytes
}
