//! `ampoule test`, `ampoule run` and `ampoule learn` on images of a small app. They need the kit, QEMU and OVMF.

mod extract;
mod image;
mod learn;
mod run;
mod verdicts;
