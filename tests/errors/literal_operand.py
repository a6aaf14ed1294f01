# expect: sum: x must be a tile, got 3
# caret: 10:tile.sum(3, 0)
# hint: tile.full(shape, value, dtype) makes a tile of a number
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.sum(3, 0)
