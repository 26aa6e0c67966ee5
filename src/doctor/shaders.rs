//! The shaders before any device sees them.

use crate::shader::{self, Shader};

/// Whether every shader is valid with nothing but WebGPU's baseline, and what every graphics API
/// accepts: its name, and what is wrong with it.
pub fn check_shaders() -> Vec<(&'static str, Option<String>)> {
    shader::shaders()
        .into_iter()
        .map(|shader| (shader.name, translate(&shader).err()))
        .collect()
}

/// Parses, validates, and translates to SPIR-V (Vulkan), MSL (Metal) and HLSL (DX12).
fn translate(shader: &Shader) -> std::result::Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    let source = &shader.source;
    // Every WebGPU device packs and unpacks float16; only older APIs lack that.
    let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, shader.needs_subgroups);
    let module =
        naga::front::wgsl::parse_str(source).map_err(|error| error.emit_to_string(source))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| error.emit_to_string(source))?;
    spv::write_vec(&module, &info, &spv::Options::default(), None)
        .map_err(|error| error.to_string())?;
    msl::write_string(
        &module,
        &info,
        &msl::Options::default(),
        &msl::PipelineOptions::default(),
    )
    .map_err(|error| error.to_string())?;
    let options = hlsl::Options::default();
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .map_err(|error| error.to_string())?;
    Ok(())
}
