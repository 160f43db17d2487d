//! Large arrays: refused where there is no room, and on huge pages where it pays. Loops that read at random places
//! spend a quarter of their time on the tables of ordinary ones (measured on the pairs of a 138,493 × 26,744 matrix;
//! Linux leaves the choice to the program).

use bytemuck::Pod;
use memmap2::MmapMut;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Zeros that cost nothing until they are written; none where the system has no room for so many.
pub(crate) fn zeros<T: Copy + Default>(len: usize) -> Option<Vec<T>> {
    Vec::<T>::new().try_reserve_exact(len).is_ok().then(|| vec![T::default(); len])
}

/// From here on an array is worth pages of its own.
const LARGE: usize = 4 << 20;

/// An array of zeros, on huge pages where it is large and the system has them.
pub(crate) struct Zeroed<T>(Memory<T>);

enum Memory<T> {
    Mapped(MmapMut, PhantomData<T>),
    Plain(Vec<T>),
}

impl<T: Pod> Zeroed<T> {
    pub(crate) fn new(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        if bytes >= LARGE
            && let Ok(map) = MmapMut::map_anon(bytes)
        {
            // Only a hint: a system without huge pages gives ordinary ones.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            return Self(Memory::Mapped(map, PhantomData));
        }
        Self(Memory::Plain(vec![T::zeroed(); len]))
    }
}

impl<T: Pod> Deref for Zeroed<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Mapped(map, _) => bytemuck::cast_slice(map),
            Memory::Plain(values) => values,
        }
    }
}

impl<T: Pod> DerefMut for Zeroed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Memory::Mapped(map, _) => bytemuck::cast_slice_mut(map),
            Memory::Plain(values) => values,
        }
    }
}
