//! A short list with a fixed room, for code that has no heap.

use core::fmt;

/// Up to `N` values in the order they were added.
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    /// An empty list. `fill` occupies the unused places and is never shown.
    pub const fn new(fill: T) -> Self {
        List {
            items: [fill; N],
            len: 0,
        }
    }

    /// A list of the first `N` of `values`, and whether all found room.
    pub fn of(fill: T, values: &[T]) -> (Self, bool) {
        let mut list = List::new(fill);
        let all = values.iter().all(|value| list.push(*value));
        (list, all)
    }

    /// Adds `value` at the end; false, and nothing added, when the list is full.
    #[must_use]
    pub fn push(&mut self, value: T) -> bool {
        let Some(place) = self.items.get_mut(self.len) else {
            return false;
        };
        *place = value;
        self.len += 1;
        true
    }

    /// The values, first added first.
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }

    /// Removes the value at `index` and keeps the order of the others.
    pub fn remove(&mut self, index: usize) {
        if index < self.len {
            self.items.copy_within(index + 1..self.len, index);
            self.len -= 1;
        }
    }
}

impl<T: Copy, const N: usize> core::ops::Deref for List<T, N> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Copy + PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Copy + Eq, const N: usize> Eq for List<T, N> {}

impl<T: Copy + fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_takes_no_more() {
        let mut list = List::<u16, 2>::new(0);
        assert!(list.push(7) && list.push(8));
        assert!(!list.push(9));
        assert_eq!(list.as_slice(), [7, 8]);
    }

    #[test]
    fn removal_keeps_the_order() {
        let (mut list, all) = List::<u16, 4>::of(0, &[1, 2, 3]);
        assert!(all);
        list.remove(0);
        list.remove(9);
        assert_eq!(list.as_slice(), [2, 3]);
    }
}
