//! Small ELF files, made here, through the reader and the verdict.
