# expect: load: index tiles of shapes (4,) and (3,) do not broadcast
# caret: 10:tile.load(x, (tile.iota(4), tile.iota(3)))
# hint: rows[:, None] and cols[None, :] address a block
# args: x=f32(8, 8)


@tile_kernel
def kernel(x: "f32[N, M]"):
    i = tile.grid(1)
    t = tile.load(x, (tile.iota(4), tile.iota(3)))
