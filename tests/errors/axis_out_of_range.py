# expect: sum: axis 1 is not an axis of a tile of rank 1
# caret: 10:tile.sum(tile.load(x, (0, 4)), 1)
# hint: 0 to 0
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.sum(tile.load(x, (0, 4)), 1)
