//! Every shader is valid with WebGPU's baseline capabilities and translates to what Vulkan, Metal and
//! DX12 take, so that a shader that no vendor accepts cannot land.

use minift::doctor::check_shaders;

#[test]
fn every_shader_is_valid_and_translates_for_every_graphics_api() {
    let checked = check_shaders();
    assert_eq!(checked.len(), 13 + 3 * 3 + 2 * 6);
    for (name, problem) in checked {
        assert_eq!(problem, None, "{name}.wgsl");
    }
}
