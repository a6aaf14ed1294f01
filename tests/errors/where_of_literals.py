# expect: where: one of the values must be a tile
# caret: 10:tile.where(tile.load(x, (0, 4)) > 0, 1.0, 0.0)
# hint: tile.full(shape, value, dtype) makes a tile of a number
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.where(tile.load(x, (0, 4)) > 0, 1.0, 0.0)
