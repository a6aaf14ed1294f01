# expect: +: shapes (4,) and (3,) do not broadcast
# caret: 10:tile.load(x, (0, 4)) + tile.load(x, (0, 3))
# hint: extents must be equal or 1, counted from the last axis
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.load(x, (0, 4)) + tile.load(x, (0, 3))
