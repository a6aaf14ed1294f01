# expect: sum takes 2 arguments, got 3
# caret: 10:tile.sum(tile.load(x, (0, 4)), 0, 0)
# hint: sum(x, axis)
# args: x=f32(8)


@tile_kernel
def kernel(x: "f32[N]"):
    i = tile.grid(1)
    t = tile.sum(tile.load(x, (0, 4)), 0, 0)
