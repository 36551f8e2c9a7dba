//! The kernel's messages about devices: Linux, Documentation/ABI/stable/sysfs-devices and
//! lib/kobject_uevent.c. One message is `ACTION@PATH` and then `KEY=value` records, each
//! ended by a NUL.

/// A device that appeared or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// The class it belongs to, such as `input`.
    pub subsystem: &'a [u8],
    /// Its path under /dev.
    pub name: &'a [u8],
}

/// Reads one message. `None`: a device went, or has no file under /dev.
pub fn parse(message: &[u8]) -> Option<Device<'_>> {
    let value = |key: &[u8]| {
        let mut records = message.split(|byte| *byte == 0);
        records.find_map(|record| record.strip_prefix(key))
    };
    match value(b"ACTION=")? {
        b"add" | b"change" => {}
        _ => return None,
    }
    Some(Device {
        subsystem: value(b"SUBSYSTEM=")?,
        name: value(b"DEVNAME=")?,
    })
}

/// `struct input_event` of a 64-bit kernel (include/uapi/linux/input.h): whether it says
/// that the power key went down.
pub fn is_power_pressed(event: &[u8]) -> bool {
    // two words of time, then type, code (include/uapi/linux/input-event-codes.h), value
    const EV_KEY: u16 = 1;
    const KEY_POWER: u16 = 116;
    let [a, b, c, d, e, f, g, h] = event
        .get(16..24)
        .and_then(|part| part.try_into().ok())
        .unwrap_or([0; 8]);
    let (kind, code) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
    kind == EV_KEY && code == KEY_POWER && i32::from_ne_bytes([e, f, g, h]) == 1
}

/// Length of `struct input_event` on a 64-bit kernel.
pub const INPUT_EVENT: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const ADDED: &[u8] = b"add@/devices/LNXSYSTM:00/LNXPWRBN:00/input/input0/event0\0ACTION=add\0\
        DEVPATH=/devices/x\0SUBSYSTEM=input\0MAJOR=13\0MINOR=64\0DEVNAME=input/event0\0SEQNUM=9\0";

    #[test]
    fn an_added_or_changed_device_is_told() {
        let device = Device {
            subsystem: b"input",
            name: b"input/event0",
        };
        assert_eq!(parse(ADDED), Some(device));
        let changed = b"change@/x\0ACTION=change\0SUBSYSTEM=virtio-ports\0DEVNAME=vport1p1\0";
        let device = Device {
            subsystem: b"virtio-ports",
            name: b"vport1p1",
        };
        assert_eq!(parse(changed), Some(device));
    }

    #[test]
    fn what_went_or_has_no_file_is_not() {
        assert_eq!(
            parse(b"remove@/x\0ACTION=remove\0SUBSYSTEM=input\0DEVNAME=input/event0\0"),
            None
        );
        assert_eq!(
            parse(b"add@/x\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=eth0\0"),
            None
        );
        assert_eq!(parse(b""), None);
    }

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        [
            &[7; 16][..],
            &kind.to_ne_bytes(),
            &code.to_ne_bytes(),
            &value.to_ne_bytes(),
        ]
        .concat()
    }

    #[test]
    fn only_the_power_key_going_down_counts() {
        assert!(is_power_pressed(&event(1, 116, 1)));
        assert!(!is_power_pressed(&event(1, 116, 0)), "going up");
        assert!(!is_power_pressed(&event(1, 30, 1)), "another key");
        assert!(
            !is_power_pressed(&event(0, 0, 0)),
            "end of a group of events"
        );
        assert!(!is_power_pressed(&event(1, 116, 1)[..20]), "cut");
    }
}
