# expect: a condition must be a scalar, got tile<bool, 4>; use where, & and |
# caret: 10:tile.load(x, (0, 4)) > 0
# hint: tile.where(c, x, y), or a reduction of the tile
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    if tile.load(x, (0, 4)) > 0:
        tile.store(x, (0, 4), 1.0)
