//! `ampoule test` and `ampoule run` on images of a small app. They need the kit, QEMU and OVMF.

mod extract;
mod image;
mod run;
mod verdicts;
