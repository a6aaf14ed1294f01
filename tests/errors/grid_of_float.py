# expect: grid: an extent must be an integer scalar, got tile<f32>
# caret: 9:tile.grid(s)
# hint:
# args: x=f32(8), s=1.0


@tile_kernel
def kernel(x: "f32[N]", s: "f32"):
    i = tile.grid(s)
