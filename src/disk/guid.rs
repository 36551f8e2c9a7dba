//! GUIDs that follow from content, so that no two builds differ by chance.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::digest::Digest;

/// A GUID, its bytes in the order in which it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// The EFI system partition's type (UEFI 2.10, table 5.7).
    pub const ESP: Guid = Guid(0xC12A_7328_F81F_11D2_BA4B_00A0_C93E_C93B_u128.to_be_bytes());
    /// The BIOS boot partition's type (GNU GRUB's manual, "BIOS installation").
    pub const BIOS_BOOT: Guid = Guid(0x2168_6148_6449_6E6F_744E_6565_6445_4649_u128.to_be_bytes());

    /// The GUID of `purpose` in what `seed` is the digest of: version 8, whose
    /// bits are the maker's to choose (RFC 9562, section 5.8).
    #[must_use]
    pub fn derive(seed: &Digest, purpose: &str) -> Guid {
        let digest = Digest::of(&[seed.bytes(), purpose.as_bytes()].concat());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.bytes()[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Guid(bytes)
    }

    pub(super) const fn from_bytes(bytes: [u8; 16]) -> Guid {
        Guid(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_read_as_the_standards_write_them() {
        assert_eq!(
            Guid::ESP.to_string(),
            "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
        );
        assert_eq!(
            Guid::BIOS_BOOT.to_string(),
            "21686148-6449-6e6f-744e-656564454649"
        );
    }

    #[test]
    fn derived_ones_differ_by_purpose_and_seed_and_never_by_chance() {
        let seed = Digest::of(b"app");
        let guid = Guid::derive(&seed, "disk");
        assert_eq!(guid, Guid::derive(&seed, "disk"));
        assert_ne!(guid, Guid::derive(&seed, "esp"));
        assert_ne!(guid, Guid::derive(&Digest::of(b"other"), "disk"));
        // version 8, variant 10
        let text = guid.to_string();
        assert_eq!(&text[14..15], "8");
        assert!("89ab".contains(&text[19..20]), "{text}");
    }
}
