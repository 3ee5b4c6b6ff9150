//! What the walk through a tree does not check: metadata, the separator, and all data, read by us or not. maxminddb
//! checks it.
//!
//! Its check begins with a walk of its own over every network, which takes longer than all else that is done with a
//! file. So it is given a stand-in: the file with another tree before the same data, in which each value that our walk
//! has found is found once. Pointers in data, and offsets in messages, stay what they are.

use std::borrow::Cow;

use maxminddb::{MaxMindDbError, Metadata, Reader};

use super::tree;

/// Checks all but the tree, which must have been walked: `values` are those that are in it, each once.
pub(super) fn verify(
    file: &[u8],
    metadata: &Metadata,
    values: impl ExactSizeIterator<Item = u32>,
) -> Result<(), MaxMindDbError> {
    let tree = metadata.node_count as usize * usize::from(metadata.record_size) / 4;
    let rest = described(&file[tree..], metadata);
    // Zeros from the allocator are no memory before somebody writes: most of the tree never is.
    let mut stand_in = vec![0; tree + rest.len()];
    let (nodes, after) = stand_in.split_at_mut(tree);
    plant(nodes, metadata, values);
    after.copy_from_slice(&rest);
    Reader::from_source(stand_in)?.verify()
}

/// Writes a tree in which each value is found once, after few steps: node n leads to 2n + 1 and 2n + 2, and where the
/// nodes come to an end, to the values. A tree of n nodes has n + 1 places for values, so those of the file's fit.
fn plant(nodes: &mut [u8], metadata: &Metadata, values: impl ExactSizeIterator<Item = u32>) {
    let nothing = metadata.node_count;
    let count = values.len().max(2) - 1;
    let places = (1..).take(count - 1).chain(values).chain(std::iter::repeat(nothing));
    for (place, value) in places.take(2 * count).enumerate() {
        tree::set_child(nodes, metadata.record_size, place / 2, place % 2, value);
    }
}

/// What follows the tree, with a description if the file has none: those of ip-location-db do not, every reader takes
/// them, and `Reader::verify` stops at it before it has looked at the data.
fn described<'a>(rest: &'a [u8], metadata: &Metadata) -> Cow<'a, [u8]> {
    const KEY: &[u8] = b"\x4bdescription";
    const EMPTY_MAP: u8 = 0xe0;
    const MAP_OF_ONE: &[u8] = b"\xe1\x42en\x41-";
    if metadata.description.is_empty()
        && let Some(key) = rest.windows(KEY.len()).rposition(|window| window == KEY)
        && rest.get(key + KEY.len()) == Some(&EMPTY_MAP)
    {
        let (before, after) = rest.split_at(key + KEY.len());
        return [before, MAP_OF_ONE, &after[1..]].concat().into();
    }
    rest.into()
}
