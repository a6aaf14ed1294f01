# expect: cast: round must be a compile-time constant, got Language
# caret: 10:tile.cast(i, tile.f32, tile)
# hint:
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.cast(i, tile.f32, tile)
