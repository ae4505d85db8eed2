//! The node around the state machine: its home, its CometBFT, and how it starts and stops. Nothing
//! here is consensus, so clocks are allowed.

pub mod config;
pub mod feed;
pub mod init;
pub mod node_key;
pub mod sidecar;
pub mod snapshots;
pub mod start;
pub mod watch;

/// Makes a panic in any thread end the process, after the usual message.
///
/// A thread that dies alone would leave the others running on half a state. `panic = "abort"` in
/// the profile would do the same, but then tests, which need unwinding, and binaries could not
/// share one build.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        eprintln!(
            "the node stops: after a panic its state may be half written; a restart replays from \
             the last snapshot"
        );
        std::process::abort();
    }));
}
