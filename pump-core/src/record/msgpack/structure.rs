//! How a structure is read: a map by its keys, or an array by the order of its fields.
//!
//! A gateway writes the keys of a structure in one order, which has only ever grown. So each key is
//! tried once in that order, as one comparison with a constant, and what is left after that (unknown
//! keys, another order, repeated keys) goes through a slower path that looks each key up. Both read
//! into the structure in place: of repeated keys the last wins, and structures in it merge.

/// Defines a function that reads one structure into `$target`, and tells how many of the keys it
/// knew. `depth` counts the containers around a value of this structure, itself included.
macro_rules! structure {
    (
        $(#[$meta:meta])*
        fn $name:ident<$life:lifetime>($cursor:ident, $target:ident: $type:ty, depth $depth:literal) {
            $($key:literal => $read:expr,)*
        }
    ) => {
        $(#[$meta])*
        fn $name<$life>(
            $cursor: &mut $crate::record::msgpack::cursor::Cursor<$life>,
            $target: &mut $type,
        ) -> Result<u32, $crate::record::msgpack::cursor::Fault> {
            use $crate::record::msgpack::{cursor::{Cursor, Fault, Shape}, structure::with_header};

            const KEYS: &[&[u8]] = &[$($key),*];

            fn by_key<$life>(
                key: &[u8],
                $cursor: &mut Cursor<$life>,
                $target: &mut $type,
            ) -> Result<u32, Fault> {
                match key {
                    $($key => { $read; })*
                    _ => {
                        $cursor.skip($depth)?;
                        return Ok(0);
                    }
                }
                Ok(1)
            }

            #[cold]
            #[inline(never)]
            fn slowly<$life>(
                shape: Shape,
                $cursor: &mut Cursor<$life>,
                $target: &mut $type,
            ) -> Result<u32, Fault> {
                let mut known = 0;
                match shape {
                    Shape::Nil => *$target = <$type>::default(),
                    Shape::Array(count) => {
                        for index in 0..count as usize {
                            by_key(KEYS.get(index).copied().unwrap_or_default(), $cursor, $target)?;
                        }
                    }
                    Shape::Map(count) => {
                        for _ in 0..count {
                            let key = $cursor.text()?;
                            known += by_key(key.bytes(), $cursor, $target)?;
                        }
                    }
                }
                Ok(known)
            }

            let shape = $cursor.structure()?;
            let Shape::Map(count) = shape else {
                return slowly(shape, $cursor, $target);
            };
            let mut left = count;
            $({
                const KEY: [u8; $key.len() + 1] = with_header($key);
                if left > 0 && $cursor.eat(&KEY) {
                    left -= 1;
                    $read;
                }
            })*
            let mut known = count - left;
            if left > 0 {
                known += slowly(Shape::Map(left), $cursor, $target)?;
            }
            Ok(known)
        }
    };
}
pub(super) use structure;

/// A short key as it is written: the byte with its length, then the key.
pub(crate) const fn with_header<const KEY: usize, const WRITTEN: usize>(key: &[u8; KEY]) -> [u8; WRITTEN] {
    assert!(KEY < 32 && WRITTEN == KEY + 1, "only short keys have a header of one byte");
    let mut written = [0; WRITTEN];
    written[0] = 0xa0 | KEY as u8;
    let mut index = 0;
    while index < KEY {
        written[index + 1] = key[index];
        index += 1;
    }
    written
}
