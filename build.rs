//! Compiles the protos: Rust code, and the descriptor set that reflection and the access layer read.
//!
//! The descriptor set is written as protox encodes it, since prost's own types drop the method options.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ROOT}");

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(protos()?)?;

    #[expect(clippy::disallowed_methods, reason = "a build script is told by its environment where to write")]
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .btree_map(".")
        .codec_path("crate::grpc::codec::SmallProst")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Every proto of the package, in a stable order.
fn protos() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = fs::read_dir(Path::new(ROOT).join("countersign/v1"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    paths.sort();
    Ok(paths)
}
