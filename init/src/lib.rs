//! What PID 1 and its host agree on, and the parts of PID 1 that need no kernel.
#![no_std]
#![forbid(unsafe_code)]
