# expect: load: x has 3 dimensions, 2 coordinates given
# caret: 10:tile.load(x, (0, 4))
# hint: one each: a scalar, (start, extent) or an index tile
# args: x=f32(2, 2, 2)


@tile_kernel
def kernel(x: "f32[N, M, K]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
