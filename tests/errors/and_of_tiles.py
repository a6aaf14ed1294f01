# expect: a condition must be a scalar, got tile<bool, 4>; use where, & and |
# caret: 11:t > 0
# hint: tile.where(c, x, y), or a reduction of the tile
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4))
    u = t > 0 and t < 1
