//! Compiles the `.proto` files without a system `protoc`, and keeps the descriptor set for gRPC
//! reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    if env::var_os("CARGO_FEATURE_WIRE").is_none() {
        return Ok(());
    }
    let own = [
        "tidemark/v1/types.proto",
        "tidemark/v1/tx.proto",
        "tidemark/v1/service.proto",
        "tidemark/v1/event_log.proto",
    ];
    // Served by another process, so it has a descriptor set of its own.
    let sidecar = ["tidemark/oracle/v1/sidecar.proto"];
    // Its code is cosmos-sdk-proto's; reflection describes what is served of it.
    let served = own.into_iter().chain(["cosmos/auth/v1beta1/query.proto"]);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), protox::compile(served, ["proto"])?.encode_to_vec())?;
    let sidecar = protox::compile(sidecar, ["proto"])?;
    fs::write(out.join("sidecar_descriptors.bin"), sidecar.encode_to_vec())?;
    let mut own = protox::compile(own, ["proto"])?;
    own.file.extend(sidecar.file);
    tonic_build::configure().emit_rerun_if_changed(false).out_dir(&out).compile_fds(own)?;
    Ok(())
}
