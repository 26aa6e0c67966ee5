//! Every shader is valid with WebGPU's baseline capabilities and translates to the shading languages of
//! Vulkan, Metal and DX12.

use minift::doctor::check_shaders;

#[test]
fn every_shader_translates_for_every_graphics_api() {
    let checked = check_shaders();
    assert_eq!(
        checked.len(),
        19 + 3 * 5 + 3 * 3 + (4 * 3 + 1) + 2 * 6 + 7 * 3 + 3 * 4
    );
    for (name, problem) in checked {
        assert_eq!(problem, None, "{name}.wgsl");
    }
}
