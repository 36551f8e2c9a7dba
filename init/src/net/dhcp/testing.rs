//! Servers' messages for tests, made without the codec under test.

use crate::net::Mac;
use core::net::Ipv4Addr;
use std::vec;
use std::vec::Vec;

/// A reply in the making.
#[derive(Clone)]
pub struct Reply {
    kind: u8,
    xid: u32,
    address: Ipv4Addr,
    mac: Mac,
    options: Vec<u8>,
    file: Vec<u8>,
    sname: Vec<u8>,
}

impl Reply {
    pub const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

    pub fn new(kind: u8, xid: u32) -> Self {
        Self {
            kind,
            xid,
            address: Self::ADDRESS,
            mac: Self::MAC,
            options: Vec::new(),
            file: Vec::new(),
            sname: Vec::new(),
        }
    }

    /// A plain lease of an hour.
    pub fn lease(kind: u8, xid: u32) -> Self {
        Self::new(kind, xid)
            .option(54, &Self::SERVER.octets())
            .option(51, &3600u32.to_be_bytes())
            .option(1, &[255, 255, 255, 0])
            .option(3, &Self::SERVER.octets())
    }

    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = address;
        self
    }

    pub fn mac(mut self, mac: Mac) -> Self {
        self.mac = mac;
        self
    }

    pub fn option(mut self, code: u8, value: &[u8]) -> Self {
        put(&mut self.options, code, value);
        self
    }

    pub fn file(mut self, code: u8, value: &[u8]) -> Self {
        put(&mut self.file, code, value);
        self
    }

    pub fn sname(mut self, code: u8, value: &[u8]) -> Self {
        put(&mut self.sname, code, value);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2, 1, 6, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.address.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.mac.0);
        bytes.resize(44, 0);
        bytes.extend(&self.sname);
        bytes.resize(108, 0);
        bytes.extend(&self.file);
        bytes.resize(236, 0);
        bytes.extend([99, 130, 83, 99, 53, 1, self.kind]);
        bytes.extend(&self.options);
        bytes.push(255);
        bytes
    }
}

fn put(field: &mut Vec<u8>, code: u8, value: &[u8]) {
    field.extend([code, u8::try_from(value.len()).unwrap()]);
    field.extend(value);
}

/// Numbers without order, the same at every run (splitmix64).
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
