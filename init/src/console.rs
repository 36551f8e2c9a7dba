//! The console: the program's output and the reports, in one stream that may be slow.

use core::ffi::CStr;
use core::slice;

use ampoule_init::screen::{LONGEST, Screen, Stream};

use crate::queue::Queue;
use crate::sys::fd::{Fd, Flags};
use crate::sys::memory::Buffer;
use crate::sys::{fd, tty};

/// Where a console may be, best first: the kernel's choice and the screen. What the kernel
/// chose may open and not write: a serial port that the machine does not have.
const PLACES: [(&CStr, Kind); 4] = [
    (c"/dev/console", Kind::Terminal),
    (c"/dev/tty0", Kind::Terminal),
    (c"/dev/null", Kind::Nowhere),
    // opens without devtmpfs: something has to occupy the descriptors 0 to 2
    (c"/", Kind::Nowhere),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Terminal,
    Nowhere,
}

/// Room for the longest piece of output with its escapes, and for reports besides.
static QUEUE: Buffer<{ 16 * 1024 }> = Buffer::new();

/// The console.
pub struct Console {
    file: Option<Fd>,
    kind: Kind,
    /// The places that are left when this one breaks.
    places: slice::Iter<'static, (&'static CStr, Kind)>,
    queue: Queue,
    screen: Screen,
}

impl Console {
    /// Opens the best console there is as descriptors 0 to 2, so that no file that is
    /// opened later gets one of these numbers.
    pub fn open() -> Console {
        let mut console = Console {
            file: None,
            kind: Kind::Nowhere,
            places: PLACES.iter(),
            queue: Queue::new(QUEUE.take()),
            screen: Screen::new(),
        };
        console.move_on();
        console
    }

    /// Opens the next best place.
    fn move_on(&mut self) {
        // first, so that the next one gets its number
        self.file = None;
        for (path, kind) in self.places.by_ref() {
            let terminal = Flags::WRITE.and(Flags::NO_TTY).and(Flags::NON_BLOCKING);
            let flags = if *path == c"/" { Flags::READ } else { terminal };
            if let Ok(file) = Fd::open(path, flags) {
                // a terminal that refuses its modes is still a console
                let _ = tty::ignore_input(&file);
                let _ = file.install_as(1).and_then(|()| file.install_as(2));
                (self.file, self.kind) = (Some(file), *kind);
                return;
            }
        }
    }

    /// Queues a report. With no console it goes to the kernel's log.
    pub fn report(&mut self, line: &[u8]) {
        if self.kind == Kind::Terminal {
            let queue = &mut self.queue;
            self.screen
                .report(line, &mut |bytes| queue.push_or_lose(bytes));
            self.send();
        }
        // also when the last terminal has just broken
        if self.kind == Kind::Nowhere {
            kernel_log(line);
        }
    }

    /// Whether a full buffer of output finds room, and reports after it.
    pub fn has_room(&self) -> bool {
        const REPORTS: usize = 4096;
        self.queue.room() >= Screen::at_most(LONGEST) + REPORTS
    }

    /// Queues a piece of output; there must be room.
    pub fn piece(&mut self, stream: Stream, piece: &[u8]) {
        if self.kind == Kind::Terminal {
            let queue = &mut self.queue;
            self.screen
                .piece(stream, piece, &mut |bytes| queue.push_or_lose(bytes));
        }
    }

    /// Sends what the console takes now. When it breaks, the next best takes over with what
    /// was not sent.
    pub fn send(&mut self) {
        while let Some(file) = &self.file {
            if self.kind == Kind::Nowhere {
                return self.queue.clear();
            }
            if self.queue.send(file).is_ok() {
                return;
            }
            self.move_on();
        }
    }

    /// The descriptor to wait on while something is queued.
    pub fn waiting(&self) -> Option<fd::RawFd> {
        self.file
            .as_ref()
            .filter(|_| !self.queue.is_empty())
            .map(Fd::raw)
    }

    /// How many bytes are queued here or in the terminal.
    pub fn backlog(&self) -> usize {
        match &self.file {
            Some(file) if self.kind == Kind::Terminal => self.queue.len() + tty::unsent(file.raw()),
            _ => 0,
        }
    }

    /// The descriptor, for a panic's last words.
    pub fn raw(&self) -> fd::RawFd {
        self.file.as_ref().map_or(-1, Fd::raw)
    }
}

/// Writes a line to the kernel's log, where there is one.
pub fn kernel_log(line: &[u8]) {
    if let Ok(log) = Fd::open(c"/dev/kmsg", Flags::WRITE) {
        // nowhere is left to tell of a failure
        let _ = log.write(line);
    }
}
