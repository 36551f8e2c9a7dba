//! What the owner of an app lets in: flags that `build` and `analyze` share.

use clap::Args;

use crate::spec::value;

/// Flags that lift a refusal.
#[derive(Debug, Clone, Args)]
pub struct LeaveArgs {
    /// Let a shell or busybox in
    #[arg(long)]
    pub allow_shell: bool,
    /// Take what a refusal names as it is: a program that is not there, or an
    /// option of the kernel; repeatable
    #[arg(long, value_name = "NAME", value_parser = value::accepted)]
    pub accept: Vec<String>,
}
