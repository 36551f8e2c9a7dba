//! Relays the program's standard output and error to the console.

use ampoule_init::screen::{LONGEST, Lines, Stream};
use ampoule_init::time::{Millis, earlier};

use crate::console::Console;
use crate::sys::Errno;
use crate::sys::fd::{Fd, RawFd};
use crate::sys::memory::Buffer;

/// How long the beginning of a line waits for its end before it is shown, in milliseconds.
const PATIENCE: u64 = 200;

/// What the two pipes' lines are collected in.
static OUT: Buffer<LONGEST> = Buffer::new();
static ERR: Buffer<LONGEST> = Buffer::new();

/// One of the two pipes.
struct Source {
    stream: Stream,
    pipe: Option<Fd>,
    lines: Lines<'static>,
    /// When the beginning of a line is shown as it is.
    show_at: Option<Millis>,
}

impl Source {
    /// Takes one buffer's worth; whether there was any.
    fn read(&mut self, console: &mut Console, now: Millis) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match pipe.read(self.lines.room()) {
            Err(Errno::EAGAIN) => return false,
            Ok(count @ 1..) => self.lines.filled(count),
            Ok(0) | Err(_) => self.pipe = None,
        }
        let stream = self.stream;
        self.lines.take(self.pipe.is_none(), &mut |piece| {
            console.piece(stream, piece)
        });
        self.show_at = self.lines.waiting().then(|| now.plus(PATIENCE));
        true
    }

    fn show(&mut self, console: &mut Console) {
        let stream = self.stream;
        self.lines
            .take(true, &mut |piece| console.piece(stream, piece));
        self.show_at = None;
    }
}

/// Both pipes.
pub struct Relay {
    sources: [Source; 2],
}

impl Relay {
    /// Reads from the given ends, which do not wait.
    pub fn new(out: Fd, err: Fd) -> Relay {
        let source = |stream, pipe, buffer| Source {
            stream,
            pipe: Some(pipe),
            lines: Lines::new(buffer),
            show_at: None,
        };
        Relay {
            sources: [
                source(Stream::Out, out, OUT.take()),
                source(Stream::Err, err, ERR.take()),
            ],
        }
    }

    /// The descriptors to wait on: none while the console has no room, so that the
    /// program waits for the console in the end.
    pub fn watched(&self, console: &Console) -> [Option<RawFd>; 2] {
        let has_room = console.has_room();
        [0, 1].map(|index| {
            self.sources[index]
                .pipe
                .as_ref()
                .filter(|_| has_room)
                .map(Fd::raw)
        })
    }

    /// `fd` can be read: whether it is one of the pipes.
    pub fn on_ready(&mut self, fd: RawFd, console: &mut Console, now: Millis) -> bool {
        let source = self
            .sources
            .iter_mut()
            .find(|one| one.pipe.as_ref().is_some_and(|pipe| pipe.raw() == fd));
        match source {
            Some(source) if console.has_room() => source.read(console, now),
            other => other.is_some(),
        }
    }

    /// When the beginning of a line is shown next.
    pub fn deadline(&self, console: &Console) -> Option<Millis> {
        if !console.has_room() {
            return None;
        }
        earlier(self.sources[0].show_at, self.sources[1].show_at)
    }

    /// Shows the beginnings of lines that have waited long enough.
    pub fn on_timer(&mut self, console: &mut Console, now: Millis) {
        for source in &mut self.sources {
            if source.show_at.is_some_and(|at| at <= now) && console.has_room() {
                source.show(console);
            }
        }
    }

    /// Takes one buffer's worth of what is still in the pipes; whether there was any.
    /// There must be room.
    pub fn drain(&mut self, console: &mut Console, now: Millis) -> bool {
        self.sources
            .iter_mut()
            .any(|source| source.read(console, now))
    }

    /// Shows what is left.
    pub fn finish(&mut self, console: &mut Console) {
        self.sources
            .iter_mut()
            .for_each(|source| source.show(console));
    }
}
