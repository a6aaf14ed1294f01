# expect: cast: expected a dtype, got 'f16'
# caret: 10:tile.cast(tile.load(x, (0, 4)), "f16")
# hint: tile.cast(x, tile.f32)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.cast(tile.load(x, (0, 4)), "f16")
