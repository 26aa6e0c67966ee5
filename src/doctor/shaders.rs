//! Validation of the shaders without a device.

use crate::kernels::launch::Shader;

/// Validates every shader for WebGPU's baseline and all graphics APIs. Returns their names and errors.
pub fn check_shaders() -> Vec<(&'static str, Option<String>)> {
    crate::kernels::shaders()
        .into_iter()
        .map(|shader| (shader.name, translate(&shader).err()))
        .collect()
}

/// Parses and validates a shader, and translates it to SPIR-V (Vulkan), MSL (Metal) and HLSL (DX12).
fn translate(shader: &Shader) -> std::result::Result<(), String> {
    use naga::back::{hlsl, msl, spv};
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    let source = &shader.source;
    // Packing float16 is part of WebGPU; naga makes it optional for older APIs.
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
